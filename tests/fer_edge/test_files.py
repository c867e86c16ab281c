import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.files import (
    must_be_writable,
    remove_temporaries,
    replacing,
    replacing_folder,
    sha256,
    write_bytes,
    write_text,
)


def fail_half_way(writing: AbstractContextManager[Path]) -> None:
    with writing as temporary:
        (temporary / "half" if temporary.is_dir() else temporary).write_bytes(b"half")
        raise RuntimeError


def test_text_is_written_as_utf8_into_new_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "é\n")

    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\xc3\xa9\n"


def test_a_failing_block_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")

    with pytest.raises(RuntimeError):
        fail_half_way(replacing(path))

    assert path.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["model.tflite"]


def test_the_temporary_name_keeps_the_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "best.keras") as temporary:
        assert temporary.suffix == ".keras"


def test_a_written_file_can_be_read_by_the_team(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(before)

    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_what_a_kill_left_half_written_can_be_removed(tmp_path: Path) -> None:
    (tmp_path / ".mine").touch()
    replacing(tmp_path / "a.txt").__enter__()

    remove_temporaries(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [".mine"]


def test_a_file_in_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        FerEdgeError, match=r"cannot write .*file/a\.txt: .*file is not a folder; choose another folder"
    ):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_a_folder_is_checked_without_creating_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    must_be_writable(tmp_path / "new" / "folder")
    with pytest.raises(FerEdgeError, match=r"cannot write .*file/out: .*file is not a folder; choose another folder"):
        must_be_writable(tmp_path / "file" / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()

    with pytest.raises(FerEdgeError, match="already exists"), replacing_folder(tmp_path / "out"):
        pass

    assert (tmp_path / "out" / "precious").exists()


def test_a_folder_is_written_atomically(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fail_half_way(replacing_folder(tmp_path / "out"))

    assert list(tmp_path.iterdir()) == []


def test_a_digest_is_hex() -> None:
    assert sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
