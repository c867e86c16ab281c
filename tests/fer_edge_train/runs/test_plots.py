from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge_train.runs.plots import draw_confusion


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "name",
    [
        "$_$",
        "a$^$",
        r"\frac{$x$",
        "two\nlines",
        "\x1b[31m",
        "bad \udcff byte",
        "x" * 255,
        "喜",  # not in matplotlib's font
    ],
)
def test_a_class_and_a_title_may_have_any_name(tmp_path: Path, name: str) -> None:
    draw_confusion(tmp_path / "a.png", np.eye(2, dtype=np.int64), (name, "sad"), f"best.keras on {name}, testing")

    assert cv2.imread(str(tmp_path / "a.png")).std() > 10


def test_hundreds_of_classes_make_no_larger_a_picture_than_forty(tmp_path: Path) -> None:
    for classes in (40, 300):
        names = tuple(map(str, range(classes)))
        draw_confusion(tmp_path / f"{classes}.png", np.eye(classes, dtype=np.int64), names, "testing")

    assert cv2.imread(str(tmp_path / "300.png")).shape == cv2.imread(str(tmp_path / "40.png")).shape
