import os
from pathlib import Path

import numpy as np
import pytest

from fer_edge.detection.detector import (
    BUNDLED_DETECTORS,
    CHOICES,
    LANDMARK_NAMES,
    MOST_PIXELS,
    SIDE,
    SIDES,
    Choice,
    Detection,
    WholeFrame,
    YuNet,
    make_detector,
)
from fer_edge.detection.detector_contract import fitted, read_detector
from fer_edge.detection.yunet import Faces
from fer_edge.device.processor import detector_recipe
from fer_edge.errors import ModelError, UsageError
from fer_edge.imaging.crop import Box, overlap
from fer_edge.imaging.images import Pixels
from fer_edge.synthetic.render import clip, draw_face

SIZES = [(1, 1), (1, 3000), (3000, 1), (2, 5), (3000, 4000)]
FORMS = pytest.mark.parametrize("path", BUNDLED_DETECTORS.values(), ids=BUNDLED_DETECTORS)


def grey_frame(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), 128, np.uint8)


def finding(monkeypatch: pytest.MonkeyPatch, *boxes: list[int]) -> YuNet:
    """The bundled detector, whose network sees these boxes in whatever picture it gets, landmarks 1 to 10 beside."""
    detector = YuNet()
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    landmarks = rows[:, None, :2] + np.arange(1, 11, dtype=np.float32).reshape(5, 2)
    found = Faces(rows, np.linspace(0.9, 0.5, len(rows), dtype=np.float32), landmarks)
    monkeypatch.setattr(detector, "find", lambda pixels: found)
    return detector


def test_auto_is_the_detector_that_comes_with_fer_edge(capfd: pytest.CaptureFixture[str]) -> None:
    detector = make_detector()

    assert isinstance(detector, YuNet)
    assert detector.model.path == BUNDLED_DETECTORS[detector_recipe()]
    assert detector.side == SIDE
    printed, logged = capfd.readouterr()
    assert printed == ""
    assert set(logged.splitlines()) <= {"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."}  # LiteRT's own


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_auto_takes_the_form_for_this_processor(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.detection.detector.detector_recipe", lambda: recipe)

    assert make_detector().name == f"yunet_{recipe}"


@pytest.mark.parametrize(("choice", "name"), [*zip(CHOICES[1:], ("yunet_int8", "yunet_float16", "none"), strict=True)])
def test_a_form_that_is_named_is_taken_whatever_the_processor(
    choice: Choice, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_edge.detection.detector.detector_recipe", lambda: "none of them")

    assert make_detector(choice).name == name


def test_auto_takes_a_detector_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(BUNDLED_DETECTORS["int8"].read_bytes())

    assert make_detector("auto", tmp_path / "mine.tflite").name == "mine"


def test_the_models_threshold_counts_unless_another_is_asked_for() -> None:
    own = read_detector(BUNDLED_DETECTORS["int8"]).contract.threshold

    assert YuNet().threshold == own
    assert YuNet(confidence=0.0).threshold == 0
    assert YuNet(confidence=0.9).threshold == 0.9


@pytest.mark.parametrize("shape", [(480, 640), (640, 480)], ids=["landscape", "portrait"])
def test_faces_are_told_in_pixels_of_the_frame(monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    (face,) = finding(monkeypatch, [10, 20, 30, 40]).detect(grey_frame(*shape))

    assert face.box == Box(20, 40, 60, 80)
    assert face.landmarks == ((22, 44), (26, 48), (30, 52), (34, 56), (38, 60))
    assert face.score == pytest.approx(0.9)


def test_both_axes_have_a_factor_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of 321x250 is seen 320x249 large."""
    (face,) = finding(monkeypatch, [10, 20, 30, 40]).detect(grey_frame(250, 321))

    across, down = 321 / 320, 250 / 249
    assert face.box == pytest.approx((10 * across, 20 * down, 30 * across, 40 * down))
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx((11 * across, 22 * down))


@pytest.mark.parametrize("side", SIDES)
@FORMS
def test_the_same_face_is_detected_at_every_input_size(path: Path, side: int) -> None:
    detector, (frame, _) = YuNet(path), next(iter(clip(1)))
    (face,) = detector.detect(frame)

    detector.side = side
    (again,) = detector.detect(frame)

    assert overlap(face.box, again.box) > 0.8
    assert list(detector._engines) == list(dict.fromkeys([(320, 256), (side, -(-side * 3 // 4 // 32) * 32)]))


def test_a_side_of_ones_own_is_taken() -> None:
    detector = YuNet(side=200)

    detector.detect(grey_frame(480, 640))

    assert (224, 160) in detector._engines


def test_both_forms_find_the_same_faces() -> None:
    """0.037 of a face's longer side lay between them at most."""
    int8, float16 = (YuNet(path) for path in BUNDLED_DETECTORS.values())
    total = 0
    for frame, truth in clip(12):
        found, exact = (sorted(one.detect(frame), key=lambda face: face.box.x) for one in (int8, float16))
        total += len(found)
        assert len(found) == len(exact) == len(truth)
        for face, other in zip(found, exact, strict=True):
            largest = 0.06 * other.box.longer
            np.testing.assert_allclose(face.box, other.box, atol=largest)
            np.testing.assert_allclose(face.landmarks or (), other.landmarks or (), atol=largest)
            assert face.score == pytest.approx(other.score, abs=0.02)
    assert total == 20


@FORMS
@pytest.mark.parametrize("expression", ["neutral", "happiness", "surprise"])
def test_the_landmarks_lie_in_the_box_where_their_names_say(path: Path, expression: str) -> None:
    """Right and left are the person's own: the right eye is the left one in the picture."""
    detector = YuNet(path)
    for seed in range(4):
        frame, box = draw_face(expression, seed, 320)
        face, *_ = detector.detect(frame)
        there = dict(zip(LANDMARK_NAMES, face.landmarks or (), strict=True))

        assert overlap(face.box, box) > 0.6
        for x, y in there.values():
            assert face.box.x < x < face.box.x + face.box.w
            assert face.box.y < y < face.box.y + face.box.h
        across, down = ({name: point[axis] for name, point in there.items()} for axis in (0, 1))
        assert across["right_eye"] < across["nose"] < across["left_eye"]
        assert across["mouth_right"] < across["mouth_left"]
        assert max(down["right_eye"], down["left_eye"]) < down["nose"]
        assert down["nose"] < min(down["mouth_right"], down["mouth_left"])


def test_photos_of_all_shapes_keep_few_networks_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.detection.detector.MOST_PIXELS", 3 * 320 * 320)
    detector = YuNet()
    for height in range(40, 400, 30):
        detector.detect(grey_frame(height, 320))

    assert (320, 320) in detector._engines
    assert 0 < sum(width * height for width, height in detector._engines) <= 3 * 320 * 320
    assert detector.detect(grey_frame(240, 320)) == []


def test_photos_of_any_shape_have_no_more_sizes_than_are_kept() -> None:
    sizes = set()
    for shorter in range(1, 161):
        for shape in ((shorter, 160), (160, shorter)):
            sizes.add(fitted(grey_frame(*shape), SIDE)[0].shape[:2])

    assert len(sizes) == 17
    assert sum(height * width for height, width in sizes) <= MOST_PIXELS


def test_an_input_larger_than_all_that_stays_loaded_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.detection.detector.MOST_PIXELS", 1000)
    detector = YuNet()

    for shape in ((240, 320), (320, 240)):
        assert detector.detect(grey_frame(*shape)) == []
        assert len(detector._engines) == 1


def test_a_face_outside_the_picture_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees 320x128 of which a 320x120 frame fills the upper part."""
    inside, on_the_edge, below = [10, 20, 30, 40], [100, 100, 30, 40], [200, 101, 30, 40]

    faces = finding(monkeypatch, inside, on_the_edge, below).detect(grey_frame(120, 320))

    assert [face.box.x for face in faces] == [10, 100]


def test_a_face_far_larger_than_the_picture_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 2x2 picture is enlarged twice."""
    faces = finding(monkeypatch, [-2, -2, 8, 8], [-3, -3, 10, 10]).detect(grey_frame(2, 2))

    assert [face.box for face in faces] == [Box(-1, -1, 4, 4)]


@pytest.mark.parametrize("confidence", [None, 0.0, 1.0])
@pytest.mark.parametrize("shape", SIZES)
@FORMS
def test_pictures_of_every_shape_are_borne(path: Path, shape: tuple[int, int], confidence: float | None) -> None:
    faces = YuNet(path, confidence).detect(grey_frame(*shape))

    assert all(np.isfinite([*face.box, *np.ravel(face.landmarks or ())]).all() for face in faces)
    if confidence != 0:  # nothing is to be seen on grey
        assert faces == []


@FORMS
def test_the_faces_come_best_first_and_the_frame_is_not_changed(path: Path) -> None:
    frame, _ = draw_face("happiness", seed=1, size=320)
    before = frame.copy()

    faces = YuNet(path, confidence=0.0, threads=2).detect(frame)

    assert len(faces) > 1
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    np.testing.assert_array_equal(frame, before)


@FORMS
def test_the_same_frame_gets_the_same_answer_after_others(path: Path) -> None:
    """Others of its size, of another one that fills more of the same input, and of other inputs."""
    detector, (frame, _) = YuNet(path, confidence=0.05), draw_face("happiness", seed=1, size=640)
    frame = np.ascontiguousarray(frame[:480])
    first = detector.detect(frame)
    assert len(first) > 0

    for shape in ((480, 640), (512, 640), (640, 480), (40, 40)):
        detector.detect(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))

        assert detector.detect(frame) == first


def test_a_missing_detector_is_never_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: No such file"):
        make_detector("auto", tmp_path / "none.tflite")


def test_yunets_onnx_file_is_no_detector_of_ours(tmp_path: Path) -> None:
    (tmp_path / "face_detection_yunet_2023mar.onnx").write_bytes(b"\x08\x06\x12\x07pytorch")

    with pytest.raises(ModelError, match=r"yunet_2023mar\.onnx: not a TFLite model"):
        make_detector("auto", tmp_path / "face_detection_yunet_2023mar.onnx")


def test_a_path_that_is_no_utf_8_is_borne(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"face\xff.tflite")
    path.write_bytes(BUNDLED_DETECTORS["int8"].read_bytes())

    assert isinstance(make_detector("auto", path), YuNet)


@pytest.mark.parametrize("choice", ["int8", "float16", "none"])
@pytest.mark.parametrize("name", ["none.tflite", "yunet.onnx"])
def test_a_file_for_a_choice_that_takes_none_is_refused(choice: Choice, name: str) -> None:
    why = f"^--detector {choice} takes no file; remove --detector-model or --detector {choice}$"

    with pytest.raises(UsageError, match=why):
        make_detector(choice, Path(name))


@pytest.mark.parametrize("choice", ["mtcnn", "haar", "yunet", ""])
def test_an_unknown_detector_is_refused_with_those_there_are(choice: str) -> None:
    with pytest.raises(UsageError, match="use one of: auto, int8, float16, none"):
        make_detector(choice)  # type: ignore[arg-type]  # what a caller without a type checker writes


def test_detector_none_takes_the_frame_as_the_face() -> None:
    assert WholeFrame().detect(np.zeros((3, 5, 3), np.uint8)) == [Detection(Box(0, 0, 5, 3), 1.0)]


@pytest.mark.parametrize(
    ("left_eye", "roll"),
    [((60, 40), 0.0), ((60, 60), 45.0), ((40, 20), -90.0), ((46, 46), 0.0), (None, 0.0)],
)
def test_the_line_through_both_eyes_says_how_a_face_is_turned_unless_they_are_too_near_or_not_known(
    left_eye: tuple[float, float] | None, roll: float
) -> None:
    landmarks = ((40.0, 40.0), left_eye, (50.0, 50.0), (42.0, 60.0), (58.0, 60.0)) if left_eye else None

    assert Detection(Box(20, 20, 60, 80), 0.9, landmarks).roll == pytest.approx(roll)
