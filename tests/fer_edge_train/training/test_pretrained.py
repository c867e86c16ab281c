"""Transfer learning: whose weights a network starts from, and when its head is new."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.errors import ModelError, UsageError
from fer_edge.files import sha256
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import read_model
from fer_edge.model.quantization import to_input
from fer_edge.recognition.classifier import BUNDLED, Classifier
from fer_edge_train.training import pretrained
from fer_edge_train.training.networks import make_network
from fer_edge_train.training.pretrained import start_from
from support.command import FerEdge

CLASSES = ("calm", "wink", "tongue out")


def test_float_weights_of_the_bundled_model_give_its_answers() -> None:
    rng = np.random.default_rng(0)
    faces = np.stack([cv2.GaussianBlur(rng.integers(0, 256, (48, 48), np.uint8), (0, 0), 3) for _ in range(64)])
    network = make_network("edge", len(EXPRESSIONS), 48)

    start_from(network, "edge", EXPRESSIONS)

    wanted, logits = Classifier(BUNDLED).network.logits(faces), network.predict(to_input(faces), verbose=0)
    assert np.corrcoef(wanted.ravel(), logits.ravel())[0, 1] > 0.99


def test_float_weights_are_those_of_the_bundled_file() -> None:
    with np.load(pretrained.WEIGHTS) as stored:
        facts = json.loads(str(stored["facts"]))

    assert facts["sha256_of_model"] == sha256(BUNDLED.read_bytes())
    assert facts["source"] == read_model(BUNDLED).contract.data["training"]  # with its licence


def test_other_classes_get_a_new_head() -> None:
    network, same = make_network("edge", 3, 32), make_network("edge", len(EXPRESSIONS), 48)
    head = network.get_weights()[-2:]

    start_from(network, "edge", CLASSES)
    start_from(same, "edge", EXPRESSIONS)

    pairs = list(zip(network.get_weights(), same.get_weights(), strict=True))
    assert all((own == given).all() for own, given in pairs[:-2])
    assert all((own == before).all() for own, before in zip(network.get_weights()[-2:], head, strict=True))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    make_network("nano", 3, 24).save(tmp_path / "nano.keras")

    start_from(make_network("nano", 3, 32), str(tmp_path / "nano.keras"), CLASSES)
    with pytest.raises(UsageError, match=r"--pretrained edge: another architecture than --network nano at --imgsz 32"):
        start_from(make_network("nano", 3, 32), "edge", CLASSES)
    with pytest.raises(ModelError, match="no such file"):
        start_from(make_network("nano", 3, 32), str(tmp_path / "none.keras"), CLASSES)


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pretrained, "WEIGHTS", tmp_path / "edge_weights.npz")

    with pytest.raises(ModelError, match=r"missing or damaged; install fer-edge again: pip install \."):
        start_from(make_network("edge", 3, 24), "edge", CLASSES)


def test_a_run_starts_from_another_and_says_so(fer_edge: FerEdge, bars: Path, tmp_path: Path) -> None:
    flags = (
        "--data",
        bars,
        "--network",
        "nano",
        "--imgsz",
        "24",
        "--epochs",
        "1",
        "--batch",
        "8",
        "--project",
        tmp_path,
    )
    fer_edge("train", *flags, "--name", "first", code=0)
    second = fer_edge("train", *flags, "--name", "second", "--pretrained", tmp_path / "first", code=0)

    assert f"starting from the weights of {tmp_path}/first, with its head" in second.stderr
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["settings"]["pretrained"] == str(tmp_path / "first")
