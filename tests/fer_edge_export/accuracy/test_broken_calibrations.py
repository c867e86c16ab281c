"""Common calibration mistakes and a badly built network through the command; the sets are those of benchmarks/."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_edge.data.faceset import FaceSet
from fer_edge.errors import DataError
from studies.accuracy import broken_calibrations as broken
from support.bad_network import badly_built
from support.command import FerEdge


@pytest.mark.parametrize(
    ("name", "warning"),
    [
        ("one class", "every calibration face is flat; give faces of each class: --data SET.npz"),
        ("one picture", "of 30 calibration faces only 1 are unique; give others: --data SET.npz"),
        ("eight faces", "only 8 calibration faces, the minimum is 32; give a larger set: --data SET.npz"),
        ("black pictures", "the calibration faces are nearly blank (standard deviation "),
        ("noise", "the calibration faces look like noise (neighbouring pixels correlate by "),
        ("dark pictures", "the calibration faces have another mean brightness ("),
    ],
)
def test_a_broken_calibration_gives_its_warning(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path, name: str, warning: str
) -> None:
    training, heldout = stripes.part("training"), stripes.take(stripes.split != "training")
    broken.joined(broken.BROKEN[name](training, heldout), heldout).save(tmp_path / "set.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "set.npz", "--json")

    found = broken.read(result.code, result.stdout, result.stderr)
    assert any(doubt.startswith(warning) for doubt in found.doubts), found
    assert f"warning: {warning}" in result.stderr
    assert found.caught


def test_held_out_faces_do_not_calibrate(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    training, heldout = stripes.part("training"), stripes.take(stripes.split != "training")
    broken.joined(broken.BROKEN["the judging faces"](training, heldout), heldout).save(tmp_path / "set.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "set.npz", "--json")

    found = broken.read(result.code, result.stdout, result.stderr)
    assert (found.left_out, found.exit_code) == (30, 0)


def test_a_badly_built_network_fails_with_advice_on_its_layer(fer_edge: FerEdge, make_run: Callable[..., Path]) -> None:
    run = make_run()
    network = badly_built(loud=3000)  # stripes raise channels 0 and 1 from 0.00 to 0.12 and more
    strength = np.array([[0, 40, 0], [0, 0, 40], [0, 0, 0]], np.float32)
    network.layers[-1].set_weights([strength, np.array([0.06 * 40, 0, 0], np.float32)])
    network.save(run / "best.keras")

    result = fer_edge("export", run, "--json")

    found = broken.read(result.code, result.stdout, result.stderr)
    assert (found.exit_code, found.float32) == (3, 1.0), result.stderr
    assert found.layer_advice[0].startswith("conv2d")
    assert "one channel spans" in found.layer_advice[0]
    assert "one channel spans" in found.error


def test_a_good_network_with_good_faces_has_no_warning() -> None:
    report = {
        "comparison": {"float32": {"accuracy": 0.9}, "drop": 0.001, "drop_interval": [0, 0.002], "agreement": 0.99},
        "calibration": {"doubts": []},
        "gate": {"findings": ["few faces"]},
        "worst_layer": "No layer has a large error",
        "advice": [],
    }

    assert not broken.read(0, json.dumps(report), "").caught


def test_an_error_without_a_report_counts_as_caught() -> None:
    found = broken.read(
        1, "", "converting to int8\nerror: the int8 model does not run; are all calibration faces equal?\n"
    )

    assert found.caught
    assert (found.drop, found.advice) == (None, None)


def test_a_traceback_is_an_error() -> None:
    with pytest.raises(DataError, match="ended with 1 and said: Traceback"):
        broken.read(1, "", "Traceback (most recent call last):\n")
