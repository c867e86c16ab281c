from dataclasses import replace

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, UsageError
from fer_edge_export.quantize.calibrate import apart_from, choose_two, doubts, shares


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
    for chosen in choose_two(stripes, 12, seed=0):
        assert set(chosen.split.tolist()) == {"training"}
        assert chosen.counts() == {"flat": 4, "lying": 4, "standing": 4}


def test_the_same_seed_chooses_the_same_faces(stripes: FaceSet) -> None:
    names = [choose_two(stripes, 12, seed)[0].names.tolist() for seed in (0, 0, 1)]

    assert names[0] == names[1]
    assert names[0] != names[2]


def test_one_seed_chooses_these_faces_on_every_machine(stripes: FaceSet) -> None:
    first, second = choose_two(stripes, 6, seed=0)

    assert first.names.tolist() == ["1.png", "29.png", "45.png", "46.png", "56.png", "72.png"]
    assert second.names.tolist() == ["2.png", "37.png", "63.png", "64.png", "81.png", "83.png"]


@pytest.mark.parametrize("samples", [3, 14, 15, 20, 30])
def test_two_sets_share_no_face_and_none_is_chosen_twice(stripes: FaceSet, samples: int) -> None:
    first, second = (chosen.names.tolist() for chosen in choose_two(stripes, samples, seed=0))

    assert len(set(first + second)) == len(first + second)
    assert len(first) == samples
    assert len(second) == min(samples, 30 - samples)


def test_a_class_with_two_faces_is_in_both_sets(stripes: FaceSet) -> None:
    training = stripes.part("training")
    lying = np.flatnonzero(training.labels == 1)
    few = training.take(np.setdiff1d(np.arange(30), lying[2:]))

    assert [chosen.counts()["lying"] for chosen in choose_two(few, 10, seed=0)] == [1, 1]


def test_held_out_faces_alone_cannot_calibrate(stripes: FaceSet) -> None:
    with pytest.raises(DataError, match="no training face"):
        choose_two(stripes.part("testing"), 12, seed=0)


@pytest.fixture
def many(stripes: FaceSet) -> FaceSet:
    """40 faces that nothing is wrong with."""
    return stripes.take(np.arange(40))


@pytest.fixture
def judged(stripes: FaceSet) -> FaceSet:
    return stripes.take(np.arange(60, 90))


def test_good_calibration_raises_no_doubt(many: FaceSet, judged: FaceSet) -> None:
    assert doubts(many, judged) == []


def test_fewer_than_32_faces_are_named(many: FaceSet, judged: FaceSet) -> None:
    assert doubts(many.take(np.arange(32)), judged) == []
    assert doubts(many.take(np.arange(31)), judged) == [
        "only 31 calibration faces, 32 are the least; give a set with more: --data SET.npz"
    ]


def test_one_repeated_picture_is_named(many: FaceSet, judged: FaceSet) -> None:
    same = replace(many, faces=np.repeat(many.faces[1:2], 40, axis=0))

    assert doubts(same, judged) == ["of 40 calibration faces only 1 differ; give others: --data SET.npz"]


def test_one_class_is_named(stripes: FaceSet, judged: FaceSet) -> None:
    lying = stripes.take(np.flatnonzero(stripes.labels == 1))
    only = lying.take(np.arange(20).repeat(2))
    noise = np.random.default_rng(0).integers(0, 3, only.faces.shape)

    told = doubts(replace(only, faces=(only.faces + noise).astype(np.uint8)), judged)

    assert told == ["every calibration face is lying; give faces of each class: --data SET.npz"]


def test_blank_pictures_are_named(many: FaceSet, judged: FaceSet) -> None:
    grey = np.random.default_rng(0).integers(100, 110, many.faces.shape).astype(np.uint8)

    [told] = doubts(replace(many, faces=grey), judged)

    assert told.startswith("the calibration faces are nearly blank (their grey values spread by 2.9 of 255); ")


def test_noise_is_named(many: FaceSet, judged: FaceSet) -> None:
    noise = np.random.default_rng(0).integers(0, 256, many.faces.shape).astype(np.uint8)

    [told] = doubts(replace(many, faces=noise), judged)

    assert told.startswith("the calibration faces look like noise (neighbouring pixels correlate by ")


def test_another_brightness_is_named(many: FaceSet, judged: FaceSet) -> None:
    [told] = doubts(replace(many, faces=many.faces // 3), judged)

    assert told.startswith("the calibration faces are of another brightness (3")


def test_training_faces_that_judge_are_left_out(many: FaceSet, judged: FaceSet) -> None:
    faces = many.faces.copy()
    faces[:3] = judged.faces[:3]

    assert apart_from(replace(many, faces=faces), judged).names.tolist() == many.names[3:].tolist()
    assert len(apart_from(judged, judged)) == 0
