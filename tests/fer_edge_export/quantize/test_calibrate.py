from dataclasses import replace

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, UsageError
from fer_edge_export.quantize.calibrate import calibration_subsets, calibration_warnings, shares, without_duplicates


@pytest.mark.parametrize(
    ("counts", "samples", "expected"),
    [
        ([50, 50], 10, [5, 5]),
        ([900, 90, 10], 100, [78, 14, 8]),  # 8 of each, and the rest in proportion
        ([900, 90, 3], 100, [82, 15, 3]),  # or all there are
        ([900, 0, 10], 20, [18, 0, 2]),  # a class without a face gets none
        ([3, 2], 100, [3, 2]),  # fewer faces than wanted
        ([9, 9, 9], 3, [1, 1, 1]),
    ],
)
def test_a_quarter_is_shared_equally_and_the_rest_by_size(counts: list[int], samples: int, expected: list[int]) -> None:
    assert shares(np.array(counts), samples).tolist() == expected


def test_fewer_samples_than_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="--calib-samples 2: fewer than the 3 classes"):
        shares(np.array([5, 5, 5]), 2)


def test_calibration_takes_training_faces_only(stripes: FaceSet) -> None:
    for chosen in calibration_subsets(stripes, 12, seed=0):
        assert set(chosen.split.tolist()) == {"training"}
        assert chosen.counts() == {"flat": 4, "lying": 4, "standing": 4}


def test_the_same_seed_samples_the_same_faces(stripes: FaceSet) -> None:
    names = [calibration_subsets(stripes, 12, seed)[0].names.tolist() for seed in (0, 0, 1)]

    assert names[0] == names[1]
    assert names[0] != names[2]


def test_a_seed_samples_these_faces_on_every_machine(stripes: FaceSet) -> None:
    first, second = calibration_subsets(stripes, 6, seed=0)

    assert first.names.tolist() == ["1.png", "29.png", "45.png", "46.png", "56.png", "72.png"]
    assert second.names.tolist() == ["2.png", "37.png", "63.png", "64.png", "81.png", "83.png"]


@pytest.mark.parametrize("samples", [3, 14, 15, 20, 30])
def test_two_sets_share_no_face_and_none_is_chosen_twice(stripes: FaceSet, samples: int) -> None:
    first, second = (chosen.names.tolist() for chosen in calibration_subsets(stripes, samples, seed=0))

    assert len(set(first + second)) == len(first + second)
    assert len(first) == samples
    assert len(second) == min(samples, 30 - samples)


def test_a_class_with_two_faces_is_in_both_sets(stripes: FaceSet) -> None:
    training = stripes.part("training")
    lying = np.flatnonzero(training.labels == 1)
    few = training.take(np.setdiff1d(np.arange(30), lying[2:]))

    assert [chosen.counts()["lying"] for chosen in calibration_subsets(few, 10, seed=0)] == [1, 1]


def test_held_out_faces_alone_cannot_calibrate(stripes: FaceSet) -> None:
    with pytest.raises(DataError, match="no training face"):
        calibration_subsets(stripes.part("testing"), 12, seed=0)


@pytest.fixture
def many(stripes: FaceSet) -> FaceSet:
    """40 good calibration faces."""
    return stripes.take(np.arange(40))


@pytest.fixture
def heldout(stripes: FaceSet) -> FaceSet:
    return stripes.take(np.arange(60, 90))


def test_good_calibration_gives_no_warning(many: FaceSet, heldout: FaceSet) -> None:
    assert calibration_warnings(many, heldout) == []


def test_fewer_than_32_faces_are_named(many: FaceSet, heldout: FaceSet) -> None:
    assert calibration_warnings(many.take(np.arange(32)), heldout) == []
    assert calibration_warnings(many.take(np.arange(31)), heldout) == [
        "only 31 calibration faces, the minimum is 32; give a larger set: --data SET.npz"
    ]


def test_one_repeated_picture_is_named(many: FaceSet, heldout: FaceSet) -> None:
    same = replace(many, faces=np.repeat(many.faces[1:2], 40, axis=0))

    assert calibration_warnings(same, heldout) == [
        "of 40 calibration faces only 1 are unique; give others: --data SET.npz"
    ]


def test_one_class_is_named(stripes: FaceSet, heldout: FaceSet) -> None:
    lying = stripes.take(np.flatnonzero(stripes.labels == 1))
    only = lying.take(np.arange(20).repeat(2))
    noise = np.random.default_rng(0).integers(0, 3, only.faces.shape)

    warnings = calibration_warnings(replace(only, faces=(only.faces + noise).astype(np.uint8)), heldout)

    assert warnings == ["every calibration face is lying; give faces of each class: --data SET.npz"]


def test_blank_pictures_are_named(many: FaceSet, heldout: FaceSet) -> None:
    grey = np.random.default_rng(0).integers(100, 110, many.faces.shape).astype(np.uint8)

    [warning] = calibration_warnings(replace(many, faces=grey), heldout)

    assert warning.startswith("the calibration faces are nearly blank (standard deviation 2.9 of 255); ")


def test_noise_is_named(many: FaceSet, heldout: FaceSet) -> None:
    noise = np.random.default_rng(0).integers(0, 256, many.faces.shape).astype(np.uint8)

    [warning] = calibration_warnings(replace(many, faces=noise), heldout)

    assert warning.startswith("the calibration faces look like noise (neighbouring pixels correlate by ")


def test_another_brightness_is_named(many: FaceSet, heldout: FaceSet) -> None:
    [warning] = calibration_warnings(replace(many, faces=many.faces // 3), heldout)

    assert warning.startswith("the calibration faces have another mean brightness (3")


def test_training_faces_that_are_held_out_are_left_out(many: FaceSet, heldout: FaceSet) -> None:
    faces = many.faces.copy()
    faces[:3] = heldout.faces[:3]

    assert without_duplicates(replace(many, faces=faces), heldout).names.tolist() == many.names[3:].tolist()
    assert len(without_duplicates(heldout, heldout)) == 0
