import numpy as np
import pytest

from fer_edge.errors import DataError, UsageError
from fer_edge.faceset import FaceSet
from fer_edge_export.calibrate import choose, shares


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
    chosen = choose(stripes, 12, seed=0)

    assert set(chosen.split.tolist()) == {"training"}
    assert chosen.counts() == {"flat": 4, "lying": 4, "standing": 4}


def test_the_same_seed_chooses_the_same_faces(stripes: FaceSet) -> None:
    names = [choose(stripes, 12, seed).names.tolist() for seed in (0, 0, 1)]

    assert names[0] == names[1]
    assert names[0] != names[2]


def test_one_seed_chooses_these_faces_on_every_machine(stripes: FaceSet) -> None:
    assert choose(stripes, 6, seed=0).names.tolist() == ["2.png", "29.png", "37.png", "46.png", "63.png", "72.png"]


def test_no_face_is_chosen_twice(stripes: FaceSet) -> None:
    assert len(set(choose(stripes, 30, seed=0).names.tolist())) == 30


def test_held_out_faces_alone_cannot_calibrate(stripes: FaceSet) -> None:
    with pytest.raises(DataError, match="no training face"):
        choose(stripes.part("testing"), 12, seed=0)
