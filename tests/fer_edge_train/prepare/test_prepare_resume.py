import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import fer_edge_train.data.crops
import fer_edge_train.prepare.resume
from fer_edge.errors import FerEdgeError
from fer_edge.imaging.images import InputColour, write_picture
from fer_edge_train.data.settings import DataSettings
from fer_edge_train.prepare.prepare import load_faces, prepare
from fer_edge_train.runs.folder import run_lock
from support.tiny_data_sets import expw, legend, picture

PICTURES, PART = 40, 8
OUTS = ("out", "out.npz")

KILLED = """
import importlib, itertools, os, pathlib, signal, sys
import fer_edge_train.data.crops, fer_edge_train.prepare.resume
from fer_edge_train.prepare.prepare import prepare

fer_edge_train.data.crops.PART = fer_edge_train.prepare.resume.PART = 8
fer_edge_train.data.crops.BATCH = 2
out, owner, name, nth = sys.argv[1:]
owner = pathlib.Path if owner == "Path" else importlib.import_module(owner)
done, calls = getattr(owner, name), itertools.count(1)

def kill_at_nth(*args, **options):
    if next(calls) == int(nth):
        os.kill(os.getpid(), signal.SIGKILL)
    return done(*args, **options)

setattr(owner, name, kill_at_nth)
prepare(pathlib.Path("data"), pathlib.Path(out))
"""


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ExpW of forty photos, one that cannot be read and one with two faces among them; parts of eight pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fer_edge_train.data.crops, "PART", PART)
    monkeypatch.setattr(fer_edge_train.prepare.resume, "PART", PART)
    monkeypatch.setattr(fer_edge_train.data.crops, "BATCH", 2)
    rows = [f"{i:02}.png 0 10 10 50 50 60 {i % 3}" for i in range(PICTURES)]
    root = expw(Path("data"), [*rows, "07.png 1 0 0 30 30 60 1"])
    (root / "origin/05.png").write_text("this is text")
    return root


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that were read."""
    names: list[str] = []
    whole = fer_edge_train.data.crops.read_content

    def reading(path: Path) -> bytes:
        names.append(path.name)
        return whole(path)

    monkeypatch.setattr(fer_edge_train.data.crops, "read_content", reading)
    return names


def stop_at(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Let `error` come instead of the picture `name`, until `monkeypatch.undo`."""
    whole = fer_edge_train.data.crops.read_content

    def stopping(path: Path) -> bytes:
        if path.name == name:
            raise error
        return whole(path)

    monkeypatch.setattr(fer_edge_train.data.crops, "read_content", stopping)


def content(out: str) -> dict[str, bytes]:
    """Every file of a result."""
    path = Path(out)
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return {file.as_posix(): file.read_bytes() for file in files}


def undisturbed(out: str, colour: InputColour = "grey") -> dict[str, bytes]:
    """What `prepare` writes if it is not interrupted."""
    prepare(Path("data"), Path(out), colour=colour)
    whole = content(out)
    shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    return whole


def parts(out: str) -> int:
    return len(list(Path(f"{out}.part").glob("[0-9]*.npz")))


@pytest.mark.parametrize(
    ("out", "owner", "name", "nth", "least"),
    [
        ("out", "fer_edge_train.data.crops", "read_content", 1, 0),  # before anything is done
        ("out", "fer_edge_train.data.crops", "read_content", 20, 1),  # a part is finished, others half
        ("out", "Path", "replace", 3, 1),  # a part is written, but not yet called so
        ("out", "Path", "replace", 20, 5),  # some faces are where they belong
        ("out", "fer_edge_train.prepare.resume", "must_be_free", 3, 5),  # all is put together
        ("out.npz", "fer_edge_train.data.crops", "read_content", 40, 3),
        ("out.npz", "numpy.lib.format", "write_array", 34, 5),  # in the middle of the set
        ("out.npz", "fer_edge_train.prepare.resume", "must_be_free", 3, 5),
    ],
)
def test_killed_at_any_moment_it_goes_on_and_ends_as_if_undisturbed(
    out: str, owner: str, name: str, nth: int, least: int, read: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    whole = undisturbed(out)
    killed = subprocess.run([sys.executable, "-c", KILLED, out, owner, name, str(nth)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert not Path(out).exists()
    done = parts(out)
    assert done >= least
    read.clear()
    prepare(Path("data"), Path(out))
    assert sorted(read) == [f"{i:02}.png" for i in range(PART * done, PICTURES)]
    assert (f"found {PART * done} of 40 photos done" in capfd.readouterr().err.replace("\n", "")) == (done > 0)
    assert content(out) == whole
    assert not Path(f"{out}.part").exists()


@pytest.mark.parametrize("out", OUTS)
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    out: str, read: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = undisturbed(out)
    with monkeypatch.context() as stopped:
        stop_at(stopped, "20.png", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            prepare(Path("data"), Path(out))
    said = capfd.readouterr().err.replace("\n", "")
    assert f"16 of 40 photos done in {Path(out).absolute()}.part; to resume, run the same command again" in said
    assert not Path(out).exists()
    read.clear()
    prepare(Path("data"), Path(out))
    assert len(read) == 24
    assert content(out) == whole


def interrupted(monkeypatch: pytest.MonkeyPatch, out: str, colour: InputColour = "grey") -> None:
    """Stop a `prepare` that has finished two parts."""
    with monkeypatch.context() as stopped:
        stop_at(stopped, "20.png", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            prepare(Path("data"), Path(out), colour=colour)
    assert parts(out) == 2


@pytest.mark.parametrize("out", OUTS)
def test_faces_in_colour_are_gone_on_with_in_colour(out: str, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = undisturbed(out, "rgb")
    interrupted(monkeypatch, out, "rgb")
    read.clear()
    prepare(Path("data"), Path(out), colour="rgb")
    assert len(read) == 24
    assert content(out) == whole


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("change", ["settings", "size", "colour", "picture", "label"])
def test_other_data_or_settings_start_anew(
    out: str,
    change: str,
    read: list[str],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupted(monkeypatch, out)
    if change == "picture":
        write_picture(data / "origin/03.png", picture(99))
    if change == "label":
        (data / "label.lst").write_text((data / "label.lst").read_text().replace("03.png 0 10 10", "03.png 0 10 12"))
    settings, size = DataSettings(seed=int(change == "settings")), 16 if change == "size" else None
    colour: InputColour = "rgb" if change == "colour" else "grey"
    read.clear()
    prepare(data, Path(out), settings, size=size, colour=colour)
    assert len(read) == PICTURES
    assert "is of other data or settings; starting again" in capfd.readouterr().err
    resumed = content(out)
    shutil.rmtree(out) if Path(out).is_dir() else Path(out).unlink()
    prepare(data, Path(out), settings, size=size, colour=colour)
    assert content(out) == resumed


def test_a_damaged_part_is_made_again(read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = undisturbed("out.npz")
    interrupted(monkeypatch, "out.npz")
    part = Path("out.npz.part/1.npz")
    part.write_bytes(part.read_bytes()[:-200])
    read.clear()
    prepare(Path("data"), Path("out.npz"))
    assert len(read) == PICTURES - PART
    assert content("out.npz") == whole


def test_a_folder_that_no_prepare_left_is_refused_and_never_touched() -> None:
    Path("out.part").mkdir()
    Path("out.part/mine.txt").write_text("mine")
    with pytest.raises(FerEdgeError, match=r"out\.part exists and is not of prepare; move it away"):
        prepare(Path("data"), Path("out"))
    assert content("out.part") == {"out.part/mine.txt": b"mine"}


@pytest.mark.parametrize("out", OUTS)
def test_two_at_once_are_one_clear_refusal(out: str) -> None:
    folder = Path(f"{out}.part")
    folder.mkdir()
    with (
        run_lock(folder),
        pytest.raises(FerEdgeError, match=rf"another fer-edge prepare is writing {out}; wait for it"),
    ):
        prepare(Path("data"), Path(out))
    prepare(Path("data"), Path(out))
    assert not Path(f"{out}.part").exists()


@pytest.mark.parametrize("out", OUTS)
def test_a_full_disk_is_one_line_and_what_is_finished_stays(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = undisturbed(out)
    with monkeypatch.context() as full:
        stop_at(full, "30.png", OSError(28, "No space left on device"))
        with pytest.raises(FerEdgeError, match=f"cannot write {out}: .*full"):
            prepare(Path("data"), Path(out))
    assert parts(out) == 3
    prepare(Path("data"), Path(out))
    assert content(out) == whole


LINKED = """
import os, pathlib, signal
import fer_edge_train.data.crops, fer_edge_train.prepare.resume
from fer_edge_train.prepare.prepare import prepare

fer_edge_train.data.crops.PART = fer_edge_train.prepare.resume.PART = 8
fer_edge_train.prepare.resume.Checkpoint.add = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare(pathlib.Path("faces"), pathlib.Path("out"), link=True)
"""


def test_a_link_that_a_killed_prepare_left_is_never_written_through(monkeypatch: pytest.MonkeyPatch) -> None:
    picture_file = legend(Path("faces"), [f"1,{i:02}.jpg,anger" for i in range(4)]) / "images/00.jpg"
    killed = subprocess.run([sys.executable, "-c", LINKED], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert Path("out.part/faces/0.jpg").samefile(picture_file)
    before = picture_file.stat().st_mtime_ns

    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    report = prepare(Path("faces"), Path("out"), link=True)
    assert report.notes[0].startswith("4 pictures were copied")
    assert picture_file.stat().st_mtime_ns == before
    assert picture_file.stat().st_nlink == 1


def test_training_and_evaluating_leave_nothing_beside_the_data() -> None:
    load_faces(Path("data"), size=24)
    assert [path.name for path in Path().iterdir()] == ["data"]
