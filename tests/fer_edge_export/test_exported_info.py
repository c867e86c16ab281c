"""What `fer-edge info` reads is what `fer-edge export` wrote: of its own file nothing is "not stated"."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fer_edge.cli import app


@pytest.mark.parametrize("recipe", ["int8", "float16", "float32"])
def test_info_states_all_of_an_exported_model(make_run: Callable[..., Path], tmp_path: Path, recipe: str) -> None:
    runner, out = CliRunner(env={"COLUMNS": "200"}), tmp_path / "out"
    exported = runner.invoke(app, ["export", str(make_run()), "--recipe", recipe, "--out", str(out)])
    assert exported.exit_code == 0, exported.stderr

    for path in out.glob("*.tflite"):  # the float32 model lies beside each other one
        told = runner.invoke(app, ["info", str(path)]).stderr

        assert "not stated" not in told
        assert "accuracy       100.00%; balanced 100.00%; macro-F1 100.00%" in told
        assert "stripes; sha256 555555555555" in told
        assert ("gate           passed: 1.00 points may be lost" in told) == (path.stem != "model_float32")
        assert ("calibrated     30 training faces" in told) == (path.stem == "model_int8")
