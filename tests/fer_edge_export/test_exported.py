"""Files and output of an export with each recipe."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from fer_edge.model.contract import read_model
from support.command import FerEdge, Finished
from support.exports import FILES, STRIPES

Exported = Callable[[str], tuple[Path, Finished]]


@pytest.fixture(scope="module")
def exported(fer_edge: FerEdge, run_in: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Exports a run with a recipe, once; returns the folder and the output."""

    @cache
    def export(recipe: str) -> tuple[Path, Finished]:
        run, flags = run_in(tmp_path_factory.mktemp(recipe)), () if recipe == "int8" else ("--recipe", recipe)
        return run / "export", fer_edge("export", run, *flags, "--json", code=0)

    return export


def test_run_folder_becomes_two_models_and_a_report(exported: Exported) -> None:
    out, result = exported("int8")

    assert sorted(path.name for path in out.iterdir()) == FILES
    report = json.loads(result.stdout)
    assert report == json.loads((out / "export_report.json").read_text())
    assert report["heldout"] == {"split": "testing", "protocol": "one label per face"}
    assert report["comparison"]["float32"]["accuracy"] == report["comparison"]["int8"]["accuracy"] == 1.0
    per_class = {"flat": 10, "lying": 10, "standing": 10}
    calibration = report["calibration"]
    assert (calibration["faces"], calibration["seed"], calibration["per_class"]) == (30, 0, per_class)
    assert calibration["source"] == STRIPES
    assert (out / "labels.txt").read_text() == "flat\nlying\nstanding\n"


def test_the_comparison_is_printed_on_stderr(exported: Exported) -> None:
    _, result = exported("int8")

    assert "testing faces, protocol: one label per face, n=30" in result.stderr
    assert "recall standing" in result.stderr
    output = " ".join(result.stderr.split())
    assert "a drop of 0.00 points, 1 allowed: passed. Baseline, always flat: 33.33%." in output
    assert "30 faces are too few to show a drop within 1 point" in output


def test_both_models_have_the_complete_contract(exported: Exported) -> None:
    out, _ = exported("int8")

    for recipe in ("float32", "int8"):
        model = read_model(out / f"model_{recipe}.tflite")
        contract = model.contract
        assert (contract.recipe, contract.size, contract.temperature) == (recipe, 16, 0.5)
        assert contract.labels == ("flat", "lying", "standing")
        assert contract.network == {"name": "stripes", "parameters": 29, "macs": 3534}
        assert contract.data["training"] == STRIPES
        assert contract.metrics["int8"]["accuracy"] == 1.0
        assert model.golden.logits.shape == (16, 3)


@pytest.mark.parametrize("recipe", ["int8", "int16x8", "float16", "dynamic", "float32"])
def test_every_recipe_predicts_correctly_and_passes_its_selftest(
    fer_edge: FerEdge, exported: Exported, recipe: str
) -> None:
    out, result = exported(recipe)

    assert json.loads(result.stdout)["comparison"][recipe]["accuracy"] == 1.0
    assert f"try it: fer-edge selftest {out / f'model_{recipe}.tflite'}" in result.stderr
    assert read_model(out / f"model_{recipe}.tflite").contract.recipe == recipe
    for path in out.glob("*.tflite"):  # including float32
        fer_edge("selftest", path, code=0)


@pytest.mark.parametrize("recipe", ["int8", "float16", "float32"])
def test_info_prints_all_facts_of_an_exported_model(fer_edge: FerEdge, exported: Exported, recipe: str) -> None:
    out, _ = exported(recipe)

    for path in out.glob("*.tflite"):
        output = fer_edge("info", path).stderr

        assert "not stated" not in output
        assert "accuracy       100.00%; balanced 100.00%; macro-F1 100.00%" in output
        assert "stripes; sha256 555555555555" in output
        assert ("gate           passed: allowed drop 1.00 points" in output) == (path.stem != "model_float32")
        assert ("calibrated     30 training faces" in output) == (path.stem == "model_int8")
