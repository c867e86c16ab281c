from pathlib import Path

import pytest

from fer_edge.errors import DataError, FerEdgeError, UsageError
from fer_edge.files import replacing
from fer_edge_train.runs.folder import (
    FILES,
    SCORE,
    clear,
    new_run,
    read_config,
    read_history,
    run_lock,
    write_history,
)


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    assert [new_run(tmp_path, "exp").name for _ in range(3)] == ["exp", "exp2", "exp3"]


def test_exist_ok_takes_the_name_again(tmp_path: Path) -> None:
    run = new_run(tmp_path, "exp")
    with run_lock(run):
        (run / "calibration.npz").touch()  # killed before there is a config.json
    assert new_run(tmp_path, "exp", exist_ok=True) == run


@pytest.mark.parametrize("taken", ["folder", "file", "dangling link"])
def test_exist_ok_takes_nothing_but_a_run(tmp_path: Path, taken: str) -> None:
    if taken == "folder":
        (tmp_path / "exp").mkdir()
        (tmp_path / "exp" / "metrics.json").touch()
    elif taken == "file":
        (tmp_path / "exp").touch()
    else:
        (tmp_path / "exp").symlink_to("nowhere")
    with pytest.raises(FerEdgeError, match="not a run that --exist-ok could replace; give another --name"):
        new_run(tmp_path, "exp", exist_ok=True)


def test_a_cleared_run_keeps_only_what_its_owner_put_there(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    for name in (*FILES, "export/model_int8.tflite", "notes.txt"):
        (tmp_path / name).touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_trainings_never_share_a_folder(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(FerEdgeError, match=r"another training is running in .*--name"):
        run_lock(tmp_path).__enter__()
    with run_lock(tmp_path):
        pass


def test_a_training_sweeps_up_after_one_that_was_killed(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        writing = replacing(tmp_path / "last.keras")
        writing.__enter__()  # and a kill never let it leave
    with run_lock(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a/"])
def test_a_name_is_that_of_one_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"give the name of one folder; .* --project"):
        new_run(tmp_path / "runs", name)


@pytest.mark.parametrize("project", ["file", "link/runs"])
def test_a_project_below_a_file_or_a_dangling_link_is_one_clear_error(tmp_path: Path, project: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FerEdgeError, match=r"(file|link) is not a folder; choose another"):
        new_run(tmp_path / project, "exp")


def test_history_comes_back_as_written(tmp_path: Path) -> None:
    rows = [{"epoch": float(epoch), SCORE: 0.5} for epoch in (1, 2)]
    write_history(tmp_path / "history.csv", rows)
    assert read_history(tmp_path / "history.csv", SCORE) == rows


def test_no_history_yet_is_an_empty_one(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.csv", SCORE) == []


@pytest.mark.parametrize("content", ["epoch,loss\n1,2\n", "epoch,val_accuracy\n1,x\n", "epoch,val_accuracy\n1\n"])
def test_a_damaged_history_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataError, match=r"history\.csv is damaged"):
        read_history(tmp_path / "history.csv", SCORE)


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}}'])
def test_a_damaged_config_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json"):
        read_config(tmp_path)


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        read_config(tmp_path)
