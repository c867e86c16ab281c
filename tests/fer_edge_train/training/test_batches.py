import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from fer_edge.model.quantization import to_input
from fer_edge_train.settings import NO_AUGMENTATION, Augmentation, TrainSettings
from fer_edge_train.training.augment import augment
from fer_edge_train.training.batches import Batches, class_weights, targets


def voted_faces(votes: list[list[int]], agreed: list[bool]) -> FaceSet:
    """Faces with these votes for three classes; face i is all i."""
    n = len(votes)
    faces = np.repeat(np.arange(n, dtype=np.uint8), 16).reshape(n, 4, 4)
    names = np.array([f"{i}.png" for i in range(n)])
    split = np.full(n, "training")
    table = np.array(votes, np.float32)
    return FaceSet(faces, table, np.array(agreed), split, names, names, ("a", "b", "c"))


def test_soft_labels_are_shares_of_votes_without_single_votes() -> None:
    kept, chosen = targets(voted_faces([[6, 2, 1], [3, 3, 0]], [True, False]), "soft")
    assert len(kept) == 2
    np.testing.assert_allclose(chosen, [[0.75, 0.25, 0], [0.5, 0.5, 0]])


def test_a_data_set_with_one_label_a_face_keeps_it() -> None:
    _, chosen = targets(voted_faces([[0, 1, 0]], [True]), "soft")
    np.testing.assert_array_equal(chosen, [[0, 1, 0]])


def test_a_face_with_nothing_but_single_votes_teaches_nothing() -> None:
    kept, _ = targets(voted_faces([[1, 1, 1], [0, 5, 1]], [False, True]), "soft")
    assert kept.tolist() == [1]


def test_majority_labels_are_one_hot_and_leave_out_the_faces_people_disagree_on() -> None:
    kept, chosen = targets(voted_faces([[6, 2, 1], [3, 3, 3]], [True, False]), "majority")
    assert kept.tolist() == [0]
    np.testing.assert_array_equal(chosen, [[1, 0, 0]])


def test_no_face_left_to_learn_from_is_an_error() -> None:
    with pytest.raises(DataError, match="--label-mode majority"):
        targets(voted_faces([[1, 1, 1]], [False]), "majority")


def test_class_weights_give_every_class_the_same_mass() -> None:
    chosen = np.eye(3, dtype=np.float32)[[0, 0, 0, 1]]
    weights = class_weights(chosen)
    np.testing.assert_allclose(chosen.T @ weights, [2, 2, 0])
    assert weights.mean() == pytest.approx(1)


def test_input_is_grey_between_zero_and_one() -> None:
    pixels = np.array([[[0, 51], [255, 102]]], np.uint8)
    np.testing.assert_allclose(to_input(pixels)[0, :, :, 0], [[0, 0.2], [1, 0.4]], rtol=1e-6)


def test_no_augmentation_changes_nothing() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (4, 12, 12), np.uint8)
    np.testing.assert_array_equal(augment(faces, NO_AUGMENTATION, np.random.default_rng(1)), faces)


def test_a_flipped_face_is_its_mirror_image() -> None:
    face = np.random.default_rng(0).integers(0, 256, (1, 12, 12), np.uint8)
    only_flip = Augmentation(flip=True, shift=0, rotation=0, zoom=0, brightness=0)
    changed = {augment(face, only_flip, np.random.default_rng(seed)).tobytes() for seed in range(20)}
    assert changed == {face.tobytes(), face[:, :, ::-1].tobytes()}


def test_light_saturates_and_does_not_wrap() -> None:
    face = np.full((64, 8, 8), 250, np.uint8)
    changed = augment(face, Augmentation(False, 0, 0, 0, brightness=0.3), np.random.default_rng(0))
    assert changed.min() >= 250 - 0.3 * 255 - 1
    assert changed.max() == 255


def test_batches_are_the_same_for_the_same_seed_and_epoch_only() -> None:
    faces = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    chosen = np.eye(4, dtype=np.float32)[np.arange(40) % 4]

    def first(seed: int, epoch: int) -> bytes:
        batches = Batches(faces, chosen, np.ones(40, np.float32), TrainSettings(batch=8, seed=seed))
        batches.start(epoch)
        return batches[0][0].tobytes()

    assert first(0, 3) == first(0, 3)
    assert len({first(0, 3), first(0, 4), first(1, 3)}) == 3


def test_an_epoch_shows_every_face_once() -> None:
    faces = np.repeat(np.arange(24, dtype=np.uint8), 64).reshape(24, 8, 8)
    settings = TrainSettings(batch=8, augmentation=NO_AUGMENTATION)
    batches = Batches(faces, np.eye(24, dtype=np.float32), np.ones(24, np.float32), settings)
    seen = np.concatenate([np.round(batches[i][0][:, 0, 0, 0] * 255) for i in range(len(batches))])
    assert sorted(seen.tolist()) == list(range(24))


def test_fewer_faces_than_a_batch_make_one_batch() -> None:
    faces, chosen = np.zeros((3, 8, 8), np.uint8), np.eye(3, dtype=np.float32)
    batches = Batches(faces, chosen, np.ones(3, np.float32), TrainSettings(batch=8))
    assert len(batches) == 1
    assert batches.batch == 3
    assert batches[0][0].shape == (3, 8, 8, 1)
