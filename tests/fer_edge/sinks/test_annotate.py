import itertools
from typing import Any

import cv2
import numpy as np
import pytest

from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.annotate import PALETTE, UNCERTAIN_COLOUR, annotated, colour, drawn_name, legend


def face(label: str, box: tuple[int, int, int, int] = (20, 30, 20, 20)) -> Face:
    probabilities = {name: 0.9 if name == label else 0.1 / 7 for name in EXPRESSIONS}
    return Face(box, label, 0.9, probabilities, 1.0)


def test_nothing_is_drawn_without_a_face() -> None:
    frame_bgr = np.full((400, 400, 3), 50, np.uint8)

    np.testing.assert_array_equal(annotated(frame_bgr, []), frame_bgr)


def test_the_frame_itself_stays_clean() -> None:
    frame_bgr = np.full((400, 400, 3), 50, np.uint8)
    picture = annotated(frame_bgr, [face("fear")])

    assert (frame_bgr == 50).all()
    assert (picture != 50).any()


def test_a_small_picture_is_enlarged_until_letters_can_be_read() -> None:
    assert annotated(np.zeros((48, 48, 3), np.uint8), [face("fear", (0, 0, 48, 48))]).shape == (336, 336, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (1080, 1920)])
@pytest.mark.parametrize("box", [(0, 0, 1, 1), (470, 0, 30, 1)])
def test_pictures_of_every_shape_can_be_drawn_on(shape: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    assert annotated(np.zeros((*shape, 3), np.uint8), [face("happiness", box)]).dtype == np.uint8


def test_every_expression_has_its_own_colour() -> None:
    colours = [colour(face(name)) for name in EXPRESSIONS]

    assert colours == list(PALETTE)
    assert min(np.abs(np.subtract(a, b)).sum() for a, b in itertools.combinations(colours, 2)) > 60


@pytest.mark.parametrize(
    ("label", "drawn"), [("fear", "fear"), ("Überraschung", "Uberraschung"), ("悲しみ", "class 2"), ("a\nb", "class 3")]
)
def test_names_are_drawn_in_ascii_or_as_a_number(label: str, drawn: str) -> None:
    assert drawn_name(label, ["fear", "Überraschung", "悲しみ", "a\nb"]) == drawn


def test_a_name_that_cannot_be_drawn_is_drawn_as_its_number() -> None:
    frame_bgr = np.zeros((400, 400, 3), np.uint8)
    pictures = [
        annotated(frame_bgr, [Face((20, 99, 9, 9), name, 0.9, {name: 1.0}, 1.0)]) for name in ("喜び", "class 0")
    ]

    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_only_numbers_are_explained() -> None:
    assert legend(("fear", "Überraschung", "悲しみ")) == "class 2 is 悲しみ"
    assert legend(EXPRESSIONS) == ""


def test_uncertain_is_grey() -> None:
    assert colour(face("uncertain")) == UNCERTAIN_COLOUR


def test_labels_of_neighbouring_faces_do_not_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[tuple[int, int, int, int]] = []
    draw = cv2.rectangle

    def rectangle(canvas: Any, one: tuple[int, int], other: tuple[int, int], tint: Any, thickness: int) -> None:
        if thickness == cv2.FILLED:
            filled.append((*one, *other))
        draw(canvas, one, other, tint, thickness)

    monkeypatch.setattr(cv2, "rectangle", rectangle)
    annotated(np.zeros((480, 640, 3), np.uint8), [face("happiness", (200 + 40 * n, 150, 60, 80)) for n in range(3)])
    assert len(filled) == 3
    for one, other in itertools.combinations(filled, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
