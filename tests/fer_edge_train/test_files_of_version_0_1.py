"""What fer-edge 0.1.0 wrote goes on to work; tests/data/version_0_1/README.md says how it was made."""

import json
import shutil
from pathlib import Path

import pytest

from fer_edge_train.runs.folder import SCORE, read_history
from support.command import FerEdge

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    """A copy of those files, with their own place in the settings of the run."""
    folder = Path(shutil.copytree(DATA / "version_0_1", tmp_path / "before"))
    for path in (folder / "run" / "config.json", folder / "run" / "config.yaml"):
        path.write_text(path.read_text().replace("FOLDER", str(folder)))
    return folder


def test_a_stopped_run_goes_on_to_the_same_end(fer_edge: FerEdge, before: Path) -> None:
    fer_edge("train", "--resume", before / "run", code=0)

    rows, expected = (
        read_history(path, SCORE) for path in (before / "run/history.csv", before / "finished_history.csv")
    )
    names = expected[0].keys() - {"seconds", "faces_per_s"}
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row, other in zip(rows, expected, strict=True):
        assert {name: row[name] for name in names} == pytest.approx({name: other[name] for name in names}, rel=1e-3)


@pytest.mark.parametrize(("model", "error"), [("run", 0.181), ("exported/model_int8.tflite", 0.192)])
@pytest.mark.parametrize("data", ["set.npz", "folders"])
def test_it_is_evaluated_on_unseen_faces(fer_edge: FerEdge, before: Path, model: str, data: str, error: float) -> None:
    command = ("evaluate", "--model", before / model, "--data", before / data, "--project", before / "evaluations")

    figures = json.loads(fer_edge(*command, "--json", code=0).stdout)

    assert (figures["split"], figures["n"], figures["trained_on"], figures["chosen_on"]) == ("testing", 6, 0, 0)
    assert figures["calibration_error"] == pytest.approx(error, abs=1e-3)


def test_its_run_is_exported(fer_edge: FerEdge, before: Path) -> None:
    fer_edge("export", before / "run", "--recipe", "float16")

    model = json.loads(fer_edge("info", before / "run/export/model_float16.tflite", "--json", code=0).stdout)
    assert model["data"]["training"]["settings"]["split"] == 0.25


def test_runs_of_it_are_listed(fer_edge: FerEdge, before: Path) -> None:
    [run] = json.loads(fer_edge("runs", "--project", before, "--json", code=0).stdout)["runs"]

    assert (run["state"], run["epochs"], run["planned"]) == ("stopped", 1, 3)


def test_its_model_file_runs(fer_edge: FerEdge, before: Path) -> None:
    model = before / "exported/model_int8.tflite"
    picture = next((before / "folders").rglob("*.png"))

    fer_edge("selftest", model, code=0)
    line = json.loads(fer_edge("run", "-m", model, "-s", picture, "--detector", "none", "--json", code=0).stdout)
    assert len(line["faces"]) == 1
