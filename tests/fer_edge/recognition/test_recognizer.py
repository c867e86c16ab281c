from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

import fer_edge
from fer_edge.detection.detector import Choice, Detection, Detector, Landmarks
from fer_edge.device.processor import detector_recipe
from fer_edge.errors import DataError, ModelError
from fer_edge.imaging.crop import Box, overlap
from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.synthetic.render import draw_face

FACE, BOX = draw_face("happiness", seed=1)


class Fixed(Detector):
    """A detector with a fixed answer."""

    name = "fixed"

    def __init__(self, *boxes: Box) -> None:
        self.boxes = boxes
        self.landmarks: Landmarks | None = None

    def detect(self, frame_bgr: Pixels) -> list[Detection]:
        return [Detection(box, 0.75, self.landmarks) for box in self.boxes]


def test_the_package_offers_the_recognizer() -> None:
    assert fer_edge.Recognizer is Recognizer


def test_a_face_has_box_label_score_and_probabilities(tiny: Path) -> None:
    (face,) = Recognizer(tiny, Fixed(BOX)).predict(FACE)

    assert tuple(face.probabilities) == EXPRESSIONS
    assert sum(face.probabilities.values()) == pytest.approx(1)
    assert face.score == max(face.probabilities.values())
    assert face.label in ("uncertain", max(face.probabilities, key=face.probabilities.__getitem__))
    assert face.detection_score == 0.75
    assert all(type(value) is int for value in face.box)


def test_a_face_has_the_landmarks_that_the_detector_saw(tiny: Path) -> None:
    landmarks = tuple((float(x), -2.5 * x) for x in range(5))
    detector = Fixed(BOX)
    detector.landmarks = landmarks

    (face,) = Recognizer(tiny, detector).predict(FACE)

    assert face.landmarks == landmarks  # those beyond the edge are not clipped: they are what the face is turned by
    assert [face.landmarks for face in Recognizer(tiny, "none").predict(FACE)] == [None]


@pytest.mark.parametrize("choice", ["auto", "int8", "float16"])
def test_the_bundled_detector_is_made_by_its_choice(tiny: Path, choice: Choice) -> None:
    frame, box = draw_face("happiness", seed=1, size=300)
    recognizer = Recognizer(tiny, choice)

    (face,) = recognizer.predict(frame)

    assert recognizer.detector.name == f"yunet_{detector_recipe() if choice == 'auto' else choice}"
    assert overlap(Box(*face.box), box) > 0.6
    assert len(face.landmarks or ()) == 5


def test_the_box_is_clipped_to_the_frame_so_that_it_can_slice_it(tiny: Path) -> None:
    (face,) = Recognizer(tiny, Fixed(Box(-10.4, 5.6, 60, 200))).predict(FACE)

    assert face.box == (0, 6, 50, 90)


def test_the_crop_is_not_clipped(tiny: Path) -> None:
    recognizer = Recognizer(tiny, Fixed(Box(-10, 5, 60, 60)), threads=2)

    inside = recognizer.crop(FACE, [Detection(Box(0, 5, 50, 60), 1.0)])

    assert not np.array_equal(recognizer.crop(FACE, recognizer.detector.detect(FACE)), inside)


def test_faces_come_in_the_detectors_order(tiny: Path) -> None:
    faces = Recognizer(tiny, Fixed(Box(40, 0, 20, 20), Box(0, 0, 20, 20))).predict(FACE)

    assert [face.box[0] for face in faces] == [40, 0]


def test_a_frame_without_a_face_is_an_empty_list(tiny: Path) -> None:
    assert Recognizer(tiny, Fixed()).predict(FACE) == []


def test_every_stage_is_timed_and_the_total_is_their_sum(tiny: Path) -> None:
    ms = Recognizer(tiny, "none").recognize(FACE).ms

    assert list(ms) == ["detect", "crop", "classify", "total"]
    assert ms["total"] == pytest.approx(ms["detect"] + ms["crop"] + ms["classify"])


def test_the_frame_is_not_changed(tiny: Path) -> None:
    frame_bgr = FACE.copy()
    Recognizer(tiny, Fixed(BOX)).predict(frame_bgr)

    np.testing.assert_array_equal(frame_bgr, FACE)


def test_a_mirrored_view_is_as_good_as_a_copy(tiny: Path) -> None:
    recognizer = Recognizer(tiny, "none")

    assert recognizer.predict(FACE[:, ::-1]) == recognizer.predict(FACE[:, ::-1].copy())


def test_a_face_cannot_be_changed(tiny: Path) -> None:
    (face,) = Recognizer(tiny, "none").predict(FACE)

    with pytest.raises(FrozenInstanceError):
        face.label = "joy"


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (FACE[:, :, 0], "COLOR_GRAY2BGR"),
        (FACE[:, :, :1], "COLOR_GRAY2BGR"),
        (np.dstack([FACE, FACE[:, :, 0]]), "COLOR_BGRA2BGR"),
        (FACE / 255, r"astype\(np.uint8\)"),
        (FACE[:0], "it is empty"),
        (FACE[None], "one frame at a time"),
        (None, "not NoneType; read one: cv2.imread"),  # what cv2.imread gives for a missing file
    ],
)
def test_what_is_no_colour_frame_is_refused_with_what_to_do(tiny: Path, frame: Pixels, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        Recognizer(tiny, "none").predict(frame)


def test_a_missing_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"none\.tflite: No such file"):
        Recognizer("none.tflite", "none")
