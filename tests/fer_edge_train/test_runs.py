from pathlib import Path

import pytest

from fer_edge.errors import DataError, FerEdgeError
from fer_edge_train.runs import HISTORY, new_run, read_config, read_history, write_history


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    assert [new_run(tmp_path, "exp").name for _ in range(3)] == ["exp", "exp2", "exp3"]


def test_exist_ok_takes_the_name_again(tmp_path: Path) -> None:
    new_run(tmp_path, "exp")
    assert new_run(tmp_path, "exp", exist_ok=True) == tmp_path / "exp"


def test_a_project_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FerEdgeError, match="--project"):
        new_run(tmp_path / "file", "exp")


def test_history_comes_back_as_written(tmp_path: Path) -> None:
    rows = [dict.fromkeys(HISTORY, float(epoch)) for epoch in (1, 2)]
    write_history(tmp_path / "history.csv", rows)
    assert read_history(tmp_path / "history.csv") == rows


def test_no_history_yet_is_an_empty_one(tmp_path: Path) -> None:
    assert read_history(tmp_path / "history.csv") == []


@pytest.mark.parametrize("content", ["epoch,loss\n1,2\n", "epoch,loss\n1,x\n"])
def test_a_damaged_history_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataError, match=r"history\.csv is damaged"):
        read_history(tmp_path / "history.csv")


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}}'])
def test_a_damaged_config_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json"):
        read_config(tmp_path)


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        read_config(tmp_path)
