import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fer_edge.centre_points import Faces

from fer_edge.crop import Box, overlap
from fer_edge.detect import (
    BUNDLED_DETECTOR,
    SIDES,
    CentrePoints,
    Detection,
    Sides,
    Whole,
    Yunet,
    make_detector,
)
from fer_edge.detector_contract import read_detector
from fer_edge.errors import FerEdgeError, ModelError, UsageError
from fer_edge.images import Pixels
from fer_edge.render import clip, draw_face

SIZES = [(1, 1), (1, 3000), (3000, 1), (2, 5), (3000, 4000)]
YUNET = "face_detection_yunet_2023mar.onnx"
RELU = bytes.fromhex(
    "080742040a00100b3a4e0a0f0a01781201791a016e220452656c751201675a1b0a017812160a14080112100a0208010a0208"
    "030a0208200a020820621b0a017912160a14080112100a0208010a0208030a0208200a020820"
)
"""An ONNX network of one ReLU: OpenCV loads it and fails with the first picture."""


def grey_frame(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 128, np.uint8)


def finding(monkeypatch: pytest.MonkeyPatch, *boxes: list[int]) -> CentrePoints:
    """The bundled detector, whose network sees these boxes in whatever picture it gets."""
    detector = CentrePoints()
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    found = Faces(rows, np.linspace(0.9, 0.5, len(rows), dtype=np.float32), rows + 1)
    monkeypatch.setattr(detector, "find", lambda pixels: found)
    return detector


def test_auto_is_the_detector_that_comes_with_fer_edge(capfd: pytest.CaptureFixture[str]) -> None:
    detector = make_detector()

    assert isinstance(detector, CentrePoints)
    assert (detector.name, detector.model.path) == ("face", BUNDLED_DETECTOR)
    assert capfd.readouterr() == ("", "")


def test_auto_takes_a_detector_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(BUNDLED_DETECTOR.read_bytes())

    assert make_detector("auto", tmp_path / "mine.tflite").name == "mine"


def test_the_models_threshold_counts_unless_another_is_asked_for() -> None:
    own = read_detector(BUNDLED_DETECTOR).contract.threshold

    assert CentrePoints().threshold == own
    assert CentrePoints(confidence=0.0).threshold == 0
    assert CentrePoints(confidence=0.9).threshold == 0.9


def test_faces_are_told_in_pixels_of_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = finding(monkeypatch, [10, 20, 30, 40])

    (face,) = detector.detect(grey_frame(480, 640))

    assert face.box == Box(20, 40, 60, 80)
    assert face.eyes == (22, 42, 62, 82)
    assert face.score == pytest.approx(0.9)


def test_a_portrait_is_seen_as_large_as_a_landscape_and_its_faces_told_in_its_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (face,) = finding(monkeypatch, [10, 20, 30, 40]).detect(grey_frame(640, 320))

    assert face.box == Box(20, 40, 60, 80)


def test_of_two_looks_a_face_that_both_saw_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look has a large face and a face; the other the same face, surer, and a small one."""
    detector = CentrePoints()
    detector.sides = (160, 320)
    rows = {
        160: (np.array([[0, 0, 60, 60], [80, 40, 20, 20]], np.float32), np.array([0.9, 0.5], np.float32)),
        320: (np.array([[161, 81, 40, 40], [250, 100, 10, 10]], np.float32), np.array([0.8, 0.6], np.float32)),
    }

    def find(pixels: Pixels) -> Faces:
        boxes, scores = rows[pixels.shape[1]]
        return Faces(boxes, scores, boxes)

    monkeypatch.setattr(detector, "find", find)

    faces = detector.detect(grey_frame(240, 320))

    assert [(tuple(face.box), round(face.score, 2)) for face in faces] == [
        ((0, 0, 120, 120), 0.9),
        ((161, 81, 40, 40), 0.8),
        ((250, 100, 10, 10), 0.6),
    ]


@pytest.mark.parametrize("sides", SIDES)
def test_the_same_face_is_found_however_large_the_frame_is_seen(sides: Sides) -> None:
    detector, (frame, _) = CentrePoints(), next(iter(clip(1)))
    (face,) = detector.detect(frame)

    detector.sides = sides
    (again,) = detector.detect(frame)

    assert overlap(face.box, again.box) > 0.5


def test_photos_of_all_shapes_keep_few_networks_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.detect.MOST_ENGINES", 3)
    detector = CentrePoints()
    for height in range(40, 400, 30):
        detector.detect(grey_frame(height, 320))

    assert len(detector._engines) == 3
    assert detector.detect(grey_frame(240, 320)) == []


def test_a_face_outside_the_picture_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees 320x240 of which a 320x120 frame fills the upper half."""
    inside, on_the_edge, below = [10, 20, 30, 40], [100, 100, 30, 40], [200, 101, 30, 40]

    faces = finding(monkeypatch, inside, on_the_edge, below).detect(grey_frame(120, 320))

    assert [face.box.x for face in faces] == [10, 100]


def test_a_face_far_larger_than_the_picture_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 2x2 picture is enlarged twice."""
    faces = finding(monkeypatch, [-2, -2, 8, 8], [-3, -3, 10, 10]).detect(grey_frame(2, 2))

    assert [face.box for face in faces] == [Box(-1, -1, 4, 4)]


@pytest.mark.parametrize("confidence", [None, 0.0, 1.0])
@pytest.mark.parametrize("shape", SIZES)
def test_pictures_of_every_shape_are_borne(shape: tuple[int, int], confidence: float | None) -> None:
    faces = CentrePoints(confidence=confidence).detect(grey_frame(*shape))

    assert all(np.isfinite([*face.box, *(face.eyes or ())]).all() for face in faces)
    if confidence == 1:
        assert faces == []


def test_the_faces_come_best_first_and_the_frame_is_not_changed() -> None:
    frame, _ = draw_face("happiness", seed=1, size=320)
    before = frame.copy()

    faces = CentrePoints(confidence=0.0, threads=2).detect(frame)

    assert len(faces) > 1
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    np.testing.assert_array_equal(frame, before)


def test_the_same_frame_gets_the_same_answer_after_another() -> None:
    detector, (frame, _) = CentrePoints(confidence=0.05), draw_face("happiness", seed=1, size=320)
    first = detector.detect(frame)
    detector.detect(255 - frame)

    assert detector.detect(frame) == first


def test_a_missing_detector_is_never_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: No such file"):
        make_detector("auto", tmp_path / "none.tflite")
    with pytest.raises(FerEdgeError, match=r"none\.onnx: no such file; leave out --detector and --detector-model"):
        make_detector("yunet", tmp_path / "none.onnx")


def test_an_expression_model_is_no_detector(tiny: Path) -> None:
    with pytest.raises(ModelError, match="finds no faces; give it as --model"):
        make_detector("auto", tiny)


def test_a_detector_with_a_broken_network_is_refused() -> None:
    model = read_detector(BUNDLED_DETECTOR)

    with pytest.raises(ModelError, match=r"face\.tflite: .* cannot run it"):
        CentrePoints(replace(model, flatbuffer=model.flatbuffer[:5000]))


def test_yunets_file_without_its_name_is_refused_with_what_to_type() -> None:
    with pytest.raises(UsageError, match=r"--detector yunet --detector-model 'my files/yunet\.onnx'$"):
        make_detector("auto", Path("my files/yunet.onnx"))


def test_yunet_without_its_file_is_refused_with_what_to_type() -> None:
    with pytest.raises(UsageError, match=f"--detector yunet needs its file: --detector-model {YUNET}"):
        make_detector("yunet")


@pytest.mark.parametrize("content", [b"", b"no network", RELU], ids=["empty", "text", "another network"])
def test_a_file_that_is_not_yunet_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.onnx").write_bytes(content)

    with pytest.raises(FerEdgeError, match=r"bad\.onnx: not YuNet's file; it is face_detection_yunet_2023mar\.onnx"):
        make_detector("yunet", tmp_path / "bad.onnx")


def test_our_own_detector_is_not_yunet() -> None:
    with pytest.raises(FerEdgeError, match=r"face\.tflite: not YuNet's file"):
        make_detector("yunet", BUNDLED_DETECTOR)


def test_an_onnx_file_that_is_cut_short_is_refused(shared: Path, tmp_path: Path) -> None:
    content = (shared / "models" / YUNET).read_bytes()
    (tmp_path / "short.onnx").write_bytes(content[:100_000])

    with pytest.raises(FerEdgeError, match=r"short\.onnx: not YuNet's file"):
        make_detector("yunet", tmp_path / "short.onnx")


def test_a_path_that_is_no_utf_8_is_refused_for_yunet(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"yunet\xff.onnx")
    path.write_bytes(b"whatever: OpenCV takes no such path")

    with pytest.raises(FerEdgeError, match=r"onnx: not YuNet's file"):
        make_detector("yunet", path)


def test_a_path_that_is_no_utf_8_is_borne_for_our_own(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"face\xff.tflite")
    path.write_bytes(BUNDLED_DETECTOR.read_bytes())

    assert isinstance(make_detector("auto", path), CentrePoints)


@pytest.mark.parametrize("name", ["none.tflite", "yunet.onnx"])
def test_a_file_for_no_detector_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="--detector none takes no file"):
        make_detector("none", Path(name))


@pytest.mark.parametrize("choice", ["mtcnn", "haar", ""])
def test_an_unknown_detector_is_refused_with_those_there_are(choice: str) -> None:
    with pytest.raises(UsageError, match="choose one of: auto, yunet, none"):
        make_detector(choice)  # type: ignore[arg-type]  # what a caller without a type checker writes


def test_no_detector_takes_the_whole_frame() -> None:
    assert Whole().detect(np.zeros((3, 5, 3), np.uint8)) == [Detection(Box(0, 0, 5, 3), 1.0)]


@pytest.mark.parametrize("shape", SIZES)
def test_yunet_bears_pictures_of_every_shape(shared: Path, shape: tuple[int, int]) -> None:
    detector = Yunet(shared / "models" / YUNET)

    assert detector.detect(grey_frame(*shape)) == []


def test_yunet_tells_box_and_eyes_in_pixels_of_the_frame(shared: Path) -> None:
    frame, box = draw_face("happiness", seed=1, size=300)
    large = cv2.resize(frame, (600, 600), interpolation=cv2.INTER_CUBIC)
    detector = make_detector("yunet", shared / "models" / YUNET, confidence=0.3)

    faces = [detector.detect(np.asarray(picture, np.uint8)) for picture in (frame, large)]

    (small_face, *_), (large_face, *_) = faces
    np.testing.assert_allclose(np.array(large_face.box) / 2, small_face.box, atol=10)
    np.testing.assert_allclose(small_face.box, box, atol=60)
    assert small_face.eyes is not None
    assert box.x < small_face.eyes[0] < small_face.eyes[2] < box.x + box.w
