"""Bad calibration sets and a badly built network, exported by the command; from benchmarks/studies."""

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
def test_a_bad_calibration_set_causes_a_warning(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path, name: str, warning: str
) -> None:
    training, heldout = stripes.part("training"), stripes.take(stripes.split != "training")
    broken.concatenated(broken.BROKEN[name](training, heldout), heldout).save(tmp_path / "set.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "set.npz", "--json")

    outcome = broken.parse_outcome(result.code, result.stdout, result.stderr)
    assert any(doubt.startswith(warning) for doubt in outcome.doubts), outcome
    assert f"warning: {warning}" in result.stderr
    assert outcome.caught


def test_heldout_faces_are_excluded_from_calibration(
    fer_edge: FerEdge, make_run: Callable[..., Path], stripes: FaceSet, tmp_path: Path
) -> None:
    training, heldout = stripes.part("training"), stripes.take(stripes.split != "training")
    broken.concatenated(broken.BROKEN["the judging faces"](training, heldout), heldout).save(tmp_path / "set.npz")

    result = fer_edge("export", make_run(), "--data", tmp_path / "set.npz", "--json")

    outcome = broken.parse_outcome(result.code, result.stdout, result.stderr)
    assert (outcome.left_out, outcome.exit_code) == (30, 0)


def test_a_badly_built_network_is_stopped_with_advice_on_its_layer(
    fer_edge: FerEdge, make_run: Callable[..., Path]
) -> None:
    run = make_run()
    network = badly_built(outlier_scale=3000)  # stripes strengthen channels 0 and 1 from 0.00 to 0.12 and more
    strength = np.array([[0, 40, 0], [0, 0, 40], [0, 0, 0]], np.float32)
    network.layers[-1].set_weights([strength, np.array([0.06 * 40, 0, 0], np.float32)])
    network.save(run / "best.keras")

    result = fer_edge("export", run, "--json")

    outcome = broken.parse_outcome(result.code, result.stdout, result.stderr)
    assert (outcome.exit_code, outcome.float32) == (3, 1.0), result.stderr
    assert outcome.layer_advice[0].startswith("conv2d")
    assert "one channel spans" in outcome.layer_advice[0]
    assert "one channel spans" in outcome.error


def test_a_good_export_has_no_findings() -> None:
    report = {
        "comparison": {"float32": {"accuracy": 0.9}, "drop": 0.001, "drop_interval": [0, 0.002], "agreement": 0.99},
        "calibration": {"doubts": []},
        "gate": {"findings": ["little is sure"]},
        "worst_layer": "Nothing stands out",
        "advice": [],
    }

    assert not broken.parse_outcome(0, json.dumps(report), "").caught


def test_an_error_without_a_report_counts_as_detected() -> None:
    outcome = broken.parse_outcome(
        1, "", "converting to int8\nerror: the int8 model does not run; are all calibration faces equal?\n"
    )

    assert outcome.caught
    assert (outcome.drop, outcome.advice) == (None, None)


def test_a_traceback_is_an_error() -> None:
    with pytest.raises(DataError, match="failed with exit code 1: Traceback"):
        broken.parse_outcome(1, "", "Traceback (most recent call last):\n")
