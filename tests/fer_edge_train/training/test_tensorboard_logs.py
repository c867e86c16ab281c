from pathlib import Path

import pytest

from fer_edge.errors import FerEdgeError
from fer_edge_train.runs.folder import Row
from fer_edge_train.training import tensorboard

ROWS: list[Row] = [{"epoch": float(epoch), "loss": 1 / epoch, "val_loss": 2 / epoch} for epoch in (1, 2, 3)]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows: name -> (epoch, value) of every point."""
    accumulators = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard: pip install '.[dev]'"
    )
    from tensorflow import make_ndarray

    found = {}
    for part in ("training", "validation"):
        events = accumulators.EventAccumulator(str(folder / part), size_guidance={"tensors": 0})
        events.Reload()
        for name in events.Tags()["tensors"]:
            points = [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors(name)]
            found[f"{part} {name}"] = points
    return found


def log(folder: Path, known: list[Row], new: list[Row]) -> None:
    """Train on from the epochs `known` until a kill after the epochs `new`."""
    rows = list(known)
    logs = tensorboard.TensorBoardLogs(folder, rows)
    logs.on_train_begin()
    for row in new:
        rows.append(row)
        logs.on_epoch_end(0)


def test_every_epoch_is_on_disk_as_soon_as_it_is_over(tmp_path: Path) -> None:
    log(tmp_path, [], ROWS[:2])

    assert scalars(tmp_path) == {"training loss": [(1, 1.0), (2, 0.5)], "validation loss": [(1, 2.0), (2, 1.0)]}


def test_a_resumed_run_draws_no_epoch_twice(tmp_path: Path) -> None:
    log(tmp_path, [], ROWS[:2])
    log(tmp_path, ROWS[:1], ROWS[1:])  # last.keras was that of the first epoch

    assert scalars(tmp_path)["training loss"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(FerEdgeError, match="type: pip install"):
        tensorboard.TensorBoardLogs(tmp_path, [])
