"""What a training does to faces, targets and loss; that a resumed run repeats it; and what stops it."""

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError, FerEdgeError
from fer_edge_train.evaluation.evaluate import load_network
from fer_edge_train.runs.folder import SCORE
from fer_edge_train.settings import NO_AUGMENTATION, Augmentation, TrainSettings
from fer_edge_train.training import callbacks, fit
from fer_edge_train.training.augment import augment
from fer_edge_train.training.batches import (
    Batches,
    balanced_sample,
    class_weights,
    mixup,
    shuffled_indices,
    smooth_labels,
)
from fer_edge_train.training.callbacks import update_batch_norm
from fer_edge_train.training.epochs import make_optimizer
from fer_edge_train.training.losses import training_loss
from fer_edge_train.training.training_set import read_training_set, training_batches
from support.runs import figures

SHARES = ("erasing", "low_resolution", "gaussian_blur", "jpeg")


def noise(n: int = 8, size: int = 48) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    return np.random.default_rng(0).integers(0, 256, (n, size, size), np.uint8)


def test_smoothing_spreads_a_share_over_all_classes() -> None:
    chosen = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)

    np.testing.assert_allclose(
        smooth_labels(chosen, 0.2), [[0.85, 0.05, 0.05, 0.05], [0.45, 0.45, 0.05, 0.05]], rtol=1e-6
    )
    np.testing.assert_array_equal(smooth_labels(chosen, 0), chosen)


def test_a_mixed_face_is_as_much_of_a_class_as_its_picture() -> None:
    faces = np.eye(16, dtype=np.float32).reshape(16, 4, 4, 1)  # face i is bright in pixel i alone
    chosen = np.eye(16, dtype=np.float32)

    mixed, targets, weights = mixup(faces, chosen, np.ones(16, np.float32), 1.0, np.random.default_rng(0))

    np.testing.assert_allclose(mixed.reshape(16, 16), targets, atol=1e-6)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights, 1, atol=1e-6)
    assert (targets.max(axis=1) < 0.99).sum() > 8
    assert mixed.dtype == targets.dtype == weights.dtype == np.float32


def test_a_mixed_face_costs_what_its_two_faces_cost() -> None:
    chosen, weights = np.eye(4, dtype=np.float32), np.array([1, 2, 4, 0], np.float32)
    faces = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1)

    rng = np.random.default_rng(2)
    other, shares = shuffled_indices(4, rng), rng.beta(0.4, 0.4, 4)
    _, targets, both = mixup(faces, chosen, weights, 0.4, np.random.default_rng(2))

    costs = np.array([1.0, 3.0, 5.0, 7.0])  # of predicting each class
    expected = shares * weights * costs + (1 - shares) * (weights * costs)[other]
    np.testing.assert_allclose(both * (targets @ costs), expected, rtol=1e-5)


def test_balanced_sampling_shows_as_many_faces_of_every_class_and_all_of_a_rare_one() -> None:
    labels = np.repeat([0, 1, 2], [160, 36, 4])
    weights = class_weights(np.eye(3, dtype=np.float32)[labels])

    rows = balanced_sample(weights, np.random.default_rng(0))

    counts = np.bincount(labels[rows], minlength=3)
    assert len(rows) == 200
    assert np.abs(counts - 200 / 3).max() <= 1
    assert set(rows[labels[rows] == 2]) == {196, 197, 198, 199}
    assert (np.diff(labels[rows]) != 0).sum() > 80, "one class after the other"


def test_balanced_sampling_is_drawn_by_seed_and_epoch() -> None:
    chosen = np.eye(2, dtype=np.float32)[np.arange(40) % 10 // 9]
    batches = Batches(noise(40, 8), chosen, np.ones(40, np.float32), TrainSettings(batch=40, balanced_sampling=True))

    def drawn(epoch: int) -> bytes:
        batches.start(epoch)
        return batches[0][1].tobytes()

    assert drawn(1) == drawn(1) != drawn(2)
    assert batches[0][1].mean(axis=0).tolist() == [0.5, 0.5]


def test_batches_of_everything_at_once_are_the_same_whatever_came_before() -> None:
    strong = Augmentation(**dict.fromkeys(SHARES, 0.5))
    settings = TrainSettings(batch=8, mixup=0.4, label_smoothing=0.1, balanced_sampling=True, augmentation=strong)
    chosen = np.eye(3, dtype=np.float32)[np.arange(32) % 7 % 3]
    one, other = (Batches(noise(32, 24), chosen, np.ones(32, np.float32), settings) for _ in range(2))
    one.start(5)
    one[0], one[1]
    other.start(5)

    for a, b in zip(one[2], other[2], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", SHARES)
def test_a_change_is_made_to_its_share_of_the_faces(name: str) -> None:
    faces = noise(200)

    changed = augment(faces, replace(NO_AUGMENTATION, **{name: 0.3}), np.random.default_rng(0))

    touched = (changed != faces).any(axis=(1, 2)).mean()
    assert 0.2 < touched < 0.4
    assert (augment(faces, replace(NO_AUGMENTATION, **{name: 1.0}), np.random.default_rng(0)) != faces).any()


def test_erasing_leaves_most_of_a_face_as_it_was() -> None:
    faces = noise(50)

    changed = augment(faces, replace(NO_AUGMENTATION, erasing=1), np.random.default_rng(0)) != faces

    shares = changed.mean(axis=(1, 2))
    assert 0.01 < shares.min() < shares.max() < 0.22


@pytest.mark.parametrize("name", ["low_resolution", "gaussian_blur", "jpeg"])
def test_a_poor_camera_takes_detail_and_leaves_the_light(name: str) -> None:
    faces = noise(50) // 4 + 60  # so faint that a JPEG drops some of it

    changed = augment(faces, replace(NO_AUGMENTATION, **{name: 1}), np.random.default_rng(0))

    assert np.diff(changed.astype(int), axis=2).std() < 0.9 * np.diff(faces.astype(int), axis=2).std()
    assert abs(float(changed.mean()) - float(faces.mean())) < 3


def test_the_smallest_faces_can_be_changed_as_well() -> None:
    everything = Augmentation(**dict.fromkeys(SHARES, 1.0))

    assert augment(noise(20, 1), everything, np.random.default_rng(0)).shape == (20, 1, 1)
    assert augment(noise(0, 48), everything, np.random.default_rng(0)).shape == (0, 48, 48)


def test_every_default_of_the_newer_changes_is_off() -> None:
    assert [getattr(Augmentation(), name) for name in SHARES] == [0, 0, 0, 0]
    assert [getattr(NO_AUGMENTATION, column.name) for column in fields(Augmentation)] == [0] * 9


def loss_of(loss: keras.losses.Loss, targets: list[list[float]], logits: list[list[float]]) -> float:
    return float(loss(np.array(targets, np.float32), np.array(logits, np.float32)))


def test_without_adjustment_the_loss_is_cross_entropy() -> None:
    loss = training_loss(np.array([0.9, 0.1], np.float32), TrainSettings())

    assert loss_of(loss, [[1, 0]], [[0, 0]]) == pytest.approx(np.log(2), rel=1e-5)


def test_the_adjusted_loss_is_least_where_logits_tell_the_classes_apart_but_not_their_shares() -> None:
    priors = np.array([0.9, 0.1], np.float32)
    loss = training_loss(priors, TrainSettings(logit_adjustment=1.0))

    knows_nothing = loss_of(loss, [[0.9, 0.1]], [[0, 0]])

    assert knows_nothing == pytest.approx(-(0.9 * np.log(0.9) + 0.1 * np.log(0.1)), rel=1e-5)
    assert knows_nothing < min(loss_of(loss, [[0.9, 0.1]], [logits]) for logits in ([0.1, 0], [0, 0.1], [2.2, 0]))


def test_a_class_without_a_face_makes_no_infinite_loss() -> None:
    loss = training_loss(np.array([1, 0], np.float32), TrainSettings(logit_adjustment=2.0))

    assert np.isfinite(loss_of(loss, [[0.5, 0.5]], [[0, 0]]))


def test_the_adjusted_loss_survives_the_way_through_a_file() -> None:
    loss = training_loss(np.array([0.7, 0.3], np.float32), TrainSettings(logit_adjustment=1.5))

    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))

    targets, logits = [[0.2, 0.8]], [[1.0, -1.0]]
    assert loss_of(again, targets, logits) == loss_of(loss, targets, logits)


def test_sgd_has_nesterov_momentum_and_the_weight_decay_given() -> None:
    sgd = make_optimizer(TrainSettings(optimizer="sgd", learning_rate=0.05, weight_decay=5e-4, ema=0.9), steps=4)

    assert type(sgd) is keras.optimizers.SGD
    assert (sgd.momentum, sgd.nesterov, sgd.weight_decay, sgd.use_ema) == (0.9, True, 5e-4, True)


EVERYTHING = TrainSettings(
    network="expw-cnn",
    epochs=3,
    batch=16,
    imgsz=24,
    optimizer="sgd",
    learning_rate=0.02,
    weight_decay=5e-4,
    ema=0.9,
    label_smoothing=0.1,
    mixup=0.4,
    logit_adjustment=1.0,
    augmentation=Augmentation(**dict.fromkeys(SHARES, 0.3)),
)


def test_nothing_of_the_adjustment_is_left_in_the_network(bars: Path, tmp_path: Path) -> None:
    run = fit.train(replace(EVERYTHING, data=(str(bars),), epochs=1), tmp_path, "exp")

    network = keras.models.load_model(run / "best.keras", compile=False)
    assert type(network.layers[-1]) is keras.layers.Dense
    assert network.layers[-1].activation is keras.activations.linear


@pytest.mark.parametrize("step", [2, 9])
def test_a_loss_that_is_no_number_stops_within_the_epoch_and_keeps_the_last_good_weights(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    get, kept = Batches.__getitem__, dict[str, bytes]()

    def broken(self: Batches, index: int) -> Any:
        faces, targets, weights = get(self, index)
        if self._epoch == 1 and index == step - 1:
            kept.update((name, (tmp_path / "exp" / name).read_bytes()) for name in ("best.keras", "last.keras"))
            targets = targets * np.float32("nan")
        return faces, targets, weights

    monkeypatch.setattr(Batches, "__getitem__", broken)
    with pytest.raises(DataError) as stopped:
        fit.train(replace(EVERYTHING, data=(str(bars),)), tmp_path, "exp")

    assert str(stopped.value).startswith(f"epoch 2, step {step} of 9: the loss is not finite; ")
    assert f"{tmp_path / 'exp'} keeps the weights of epoch 1; start a new run with a lower --learning-rate" in str(
        stopped.value
    )
    assert {name: (tmp_path / "exp" / name).read_bytes() for name in kept} == kept
    assert [row["epoch"] for row in figures(tmp_path / "exp")] == [1]


def test_weights_that_are_no_numbers_are_not_kept_though_the_loss_is_one(tmp_path: Path) -> None:
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    network.set_weights([np.array([[1], [np.inf]]), np.zeros(1)])
    batches = Batches(noise(4, 8), np.eye(4, dtype=np.float32), np.ones(4, np.float32), TrainSettings(batch=2))
    recorder = callbacks.Recorder(tmp_path, batches, [], score=SCORE, patience=0, seed=0)
    recorder.set_model(network)
    recorder.on_epoch_begin(0)

    with pytest.raises(
        DataError, match="epoch 1: weights are not finite; no earlier weights were saved; start a new run"
    ):
        recorder.on_epoch_end(0, {"loss": 1.0, "val_accuracy": 0.5})
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 MB, as root may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_named_and_leaves_a_checkpoint_to_go_on_from(
    bars: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, settings = small_disk / "exp", replace(EVERYTHING, data=(str(bars),))
    filler, before = small_disk / "filler", b""

    def fill(self: callbacks.EpochProgress, epoch: int, logs: object = None) -> None:
        nonlocal before
        if epoch == 0:
            before = (run / "last.keras").read_bytes()
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize
            filler.write_bytes(bytes(free))

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.EpochProgress, "on_epoch_end", fill)
        with pytest.raises(FerEdgeError) as refused:
            fit.train(settings, small_disk, "exp")
    assert f"the disk of {small_disk} is full (0.0 of 67.1 MB free); free space" in str(refused.value)
    assert (run / "last.keras").read_bytes() == before
    assert not list(run.glob(".writing-*"))

    filler.unlink()
    fit.resume(run)
    assert [row["epoch"] for row in figures(run)] == [1, 2, 3]


def test_a_full_disk_is_told_from_one_without_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    callbacks.save_network(network, tmp_path / "last.keras")
    before = (tmp_path / "last.keras").read_bytes()
    monkeypatch.setattr(network, "save", full)

    with pytest.raises(FerEdgeError, match=r"last\.keras: the disk of /.* is full \(.* MB free\); free space"):
        callbacks.save_network(network, tmp_path / "last.keras")
    assert (tmp_path / "last.keras").read_bytes() == before


def test_a_class_that_validation_lacks_is_said_before_the_training(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = FaceSet.load(bars)
    faces.take((faces.split != "validation") | (faces.labels != 2)).save(tmp_path / "lacking.npz")

    fit.train(replace(EVERYTHING, data=(str(tmp_path / "lacking.npz"),), epochs=1), tmp_path, "exp")

    assert "warning: no validation face of low" in capsys.readouterr().err


class Given(list[Any]):
    """Batches that are there already."""

    unit, batch = "faces", 2

    def start(self, epoch: int) -> None:
        """There is but one epoch."""


def test_statistics_are_the_mean_over_the_first_batches() -> None:
    network = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization(momentum=0.9)])
    batches = Given([(np.array([[0.0], [2.0]]),), (np.array([[5.0], [5.0]]),), (np.array([[0.0], [6.0]]),)])

    update_batch_norm(network, batches)

    [layer] = network.layers
    assert layer.momentum == 0.9
    np.testing.assert_allclose(layer.moving_mean, [3.0], rtol=1e-6)  # of 1, 5 and 3
    np.testing.assert_allclose(layer.moving_variance, [10 / 3], rtol=1e-6)  # of 1, 0 and 9


def test_averaged_weights_are_written_with_their_own_statistics(bars: Path, tmp_path: Path) -> None:
    settings = TrainSettings(data=(str(bars),), imgsz=24, epochs=2, batch=50, ema=0.9, patience=0)
    run = fit.train(settings, tmp_path, "run")
    training_set = read_training_set(settings)
    batches = training_batches(training_set, settings, None)
    batches.start(1)
    network = load_network(run / "last.keras")
    written = [weight.numpy() for weight in network.non_trainable_weights]

    update_batch_norm(network, batches)

    assert len(written) == 28  # mean and variance of 14 normalisations
    for before, weight in zip(written, network.non_trainable_weights, strict=True):
        np.testing.assert_allclose(before, weight, rtol=1e-3, atol=1e-5)


def test_networks_of_one_process_name_their_layers_alike(bars: Path) -> None:
    settings = TrainSettings(data=(str(bars),), imgsz=24)
    batches = training_batches(read_training_set(settings), settings, None)

    first, second = (fit.build_network(settings, batches, ("high", "middle", "low")) for _ in range(2))

    assert [weight.path for weight in second.weights] == [weight.path for weight in first.weights]


def test_keras_remembers_which_weights_are_in_place_where_resuming_sets_it() -> None:
    assert keras.callbacks.SwapEMAWeights()._ema_weights_in_model is False  # private: `Averaging` sets it
