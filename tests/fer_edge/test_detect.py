from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge import yunet
from fer_edge.crop import Box
from fer_edge.detect import Detection, Haar, Whole, Yunet, make_detector
from fer_edge.errors import FerEdgeError, UsageError

SIZES = [(1, 1), (1, 3000), (3000, 1), (2, 5), (3000, 4000)]


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without YuNet's file, and a network that answers nothing."""
    monkeypatch.delenv("FER_EDGE_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(yunet, "URL", "http://127.0.0.1:1/yunet.onnx")


@pytest.mark.usefixtures("offline")
def test_auto_without_yunet_is_haar_and_exactly_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    assert make_detector("auto").name == "haar"

    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "finds 59 of 100 faces where YuNet finds 94" in lines[0]
    assert "curl -L -o" in lines[0]


@pytest.mark.usefixtures("offline")
def test_yunet_without_its_file_is_refused_with_what_to_type() -> None:
    with pytest.raises(FerEdgeError, match=r"cannot download YuNet .* type: mkdir -p .* curl -L -o"):
        make_detector("yunet")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("choice", ["auto", "yunet"])
def test_a_named_file_that_is_missing_is_never_replaced_by_another(choice: str, tmp_path: Path) -> None:
    with pytest.raises(FerEdgeError, match=r"none\.onnx: no such file"):
        make_detector(choice, tmp_path / "none.onnx")


def test_a_file_that_is_not_yunet_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no network")

    with pytest.raises(FerEdgeError, match=r"bad\.onnx: not YuNet's file"):
        make_detector("yunet", tmp_path / "bad.onnx")


def test_an_onnx_file_that_is_cut_short_is_refused(shared: Path, tmp_path: Path) -> None:
    content = (shared / "models" / yunet.FILE_NAME).read_bytes()
    (tmp_path / "short.onnx").write_bytes(content[:100_000])

    with pytest.raises(FerEdgeError, match=r"short\.onnx: not YuNet's file"):
        make_detector("yunet", tmp_path / "short.onnx")


@pytest.mark.parametrize("choice", ["haar", "none"])
def test_a_file_for_a_detector_that_takes_none_is_refused(choice: str) -> None:
    with pytest.raises(UsageError, match="takes no file"):
        make_detector(choice, Path("a.onnx"))


def test_an_unknown_detector_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="choose one of: auto, yunet, haar, none"):
        make_detector("mtcnn")


def test_opencv_5_says_that_it_has_no_haar_cascade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "CascadeClassifier")

    with pytest.raises(FerEdgeError, match=r"has no Haar cascade; get YuNet: .*'opencv-python-headless<5'"):
        Haar()


def test_no_detector_takes_the_whole_frame() -> None:
    assert Whole().detect(np.zeros((3, 5, 3), np.uint8)) == [Detection(Box(0, 0, 5, 3), 1.0)]


@pytest.mark.parametrize("shape", SIZES)
def test_haar_bears_pictures_of_every_shape(shape: tuple[int, int]) -> None:
    assert Haar().detect(np.full((*shape, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("shape", SIZES)
def test_yunet_bears_pictures_of_every_shape(shared: Path, shape: tuple[int, int]) -> None:
    detector = Yunet(shared / "models" / yunet.FILE_NAME)

    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == []
