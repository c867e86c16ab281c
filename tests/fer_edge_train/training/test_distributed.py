"""Several devices of one process, and two processes on loopback, against one process with one device (JAX, on CPU)."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import UsageError
from fer_edge_train.settings import TrainSettings
from fer_edge_train.training import devices, fit
from fer_edge_train.training.processes import VARIABLES, Processes, read_processes
from support.command import FerEdge
from support.runs import contents, figures

pytest.importorskip("jax", reason="needs jax: pip install '.[dev]'")

PROGRAM = """
import os, signal, sys

signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell are deaf to Ctrl-C
sys.modules["tensorflow"] = None  # not needed, and takes seconds
import keras

from fer_edge.cli import app
from fer_edge_train.training import processes
from fer_edge_train.training import fit
from fer_edge_train.training.batches import Batches

keras.config.set_floatx("float64")  # else Adam makes much of what rounds otherwise


def tiny_network(name, classes, size):
    return keras.Sequential([
        keras.Input((size, size, 1)),
        keras.layers.Conv2D(8, 3, strides=2, use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.ReLU(6),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(classes),
    ])


def start(batches, epoch, start=Batches.start):
    if epoch == int(os.environ.get("DIES_IN_EPOCH", -1)):
        os.kill(os.getpid(), int(os.environ["DIES_BY"]))
    start(batches, epoch)


fit.make_network, Batches.start = tiny_network, start
processes.START_S = int(os.environ.get("START_S", processes.START_S))
app(sys.argv[1:])
"""
QUICKLY = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"  # compiling is most of it
JAX = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": "1", "XLA_FLAGS": QUICKLY}
FOUR = "--xla_force_host_platform_device_count=4"
EPOCHS = 12


def start(folder: Path, *arguments: object, **environment: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, "train", *map(str, arguments)]
    environment = {**os.environ, **JAX, **{name: str(value) for name, value in environment.items()}}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)  # type: ignore[arg-type]


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def start_two(
    folder: Path, *commands: list[object], dies: int | None = None, by: int = signal.SIGKILL
) -> list["subprocess.Popen[str]"]:
    """Start two processes, each with a command of its own or both with one; process `dies` ends in epoch 2."""
    address = free_address()
    return [
        start(
            folder,
            *commands[rank % len(commands)],
            **dict(zip(VARIABLES, (address, 2, rank), strict=True)),
            DIES_IN_EPOCH=2 if rank == dies else -1,
            DIES_BY=int(by),
        )
        for rank in range(2)
    ]


def end(*processes: "subprocess.Popen[str]", codes: tuple[int, ...]) -> list[str]:
    """What they told on stderr; they end with `codes`."""
    told = [process.communicate(timeout=120)[1] for process in processes]
    assert tuple(process.returncode for process in processes) == codes, told
    assert not any("Traceback" in text for text in told), told
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distributed")


@pytest.fixture(scope="module")
def command(bars: Path, folder: Path) -> list[object]:
    """A training with all there is: averaged weights, dropout, mixed faces, a teacher, early stopping."""
    settings = TrainSettings((str(bars),), network="expw-cnn", epochs=1, batch=50, imgsz=24)
    teacher = fit.train(settings, folder, "teacher")
    settings = ["--imgsz", 24, "--batch", 30, "--epochs", EPOCHS, "--ema", 0.8, "--mixup", 0.1, "--learning-rate", 0.01]
    return ["--data", bars, *settings, "--patience", 2, "--teacher", teacher]


@pytest.fixture(scope="module")
def alone(folder: Path, command: list[object]) -> Path:
    """The run of one process with one device."""
    end(start(folder, *command, "--name", "alone"), codes=(0,))
    return folder / "runs/train/alone"


@pytest.fixture(scope="module")
def killed(folder: Path, command: list[object]) -> list[str]:
    """Process 1 of two is killed in epoch 2; what both told."""
    return end(*start_two(folder, [*command, "--name", "together"], dies=1), codes=(1, -signal.SIGKILL))


@pytest.fixture(scope="module")
def together(folder: Path, killed: list[str]) -> Path:
    """That run, gone on with by two processes."""
    told = end(*start_two(folder, ["--resume", "runs/train/together"]), codes=(0, 0))
    assert "wrote runs/train/together; next: fer-edge export" in told[0]
    assert "wrote" not in told[1]
    return folder / "runs/train/together"


@pytest.fixture(scope="module")
def on_devices(folder: Path, command: list[object]) -> Path:
    """The run of one process with four devices, of which 30 faces can be divided among three."""
    process = start(folder, *command, "--name", "devices", XLA_FLAGS=f"{QUICKLY} {FOUR}")
    assert "a batch of 30 is divided among 3 of 4 devices" in end(process, codes=(0,))[0]
    return folder / "runs/train/devices"


@pytest.mark.parametrize("several", ["together", "on_devices"])
def test_several_devices_get_the_weights_and_figures_of_one(
    several: str, alone: Path, request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(several)

    assert figures(run) == [pytest.approx(row, abs=1e-5) for row in figures(alone)]
    assert 3 < len(figures(run)) < EPOCHS, "nothing was stopped early"
    for name in ("last.keras", "best.keras"):
        expected, found = contents(alone / name), contents(run / name)
        assert expected.keys() == found.keys()
        for part in expected:
            np.testing.assert_allclose(found[part], expected[part], atol=1e-5, err_msg=part)


def test_only_the_first_process_leaves_a_run_folder(alone: Path, together: Path) -> None:
    assert sorted(path.name for path in together.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert not list(together.parent.glob("together?*"))


def test_a_killed_process_ends_the_others_with_one_line(killed: list[str]) -> None:
    assert killed[0].splitlines()[-2:] == [
        "to resume this run: fer-edge train --resume runs/train/together",
        "error: another process was lost; start all of them again with --resume runs/train/together, "
        "which holds every complete epoch",
    ]


def test_a_first_process_that_is_terminated_ends_the_others_with_one_line(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    told = end(
        *start_two(tmp_path, ["--data", bars, "--imgsz", 24, "--batch", 30, "--ema", 0], dies=0, by=signal.SIGTERM),
        codes=(-signal.SIGTERM, 1),
    )

    assert [line for line in told[1].splitlines() if "epoch" not in line or "error" in line][1:] == [
        "a batch of 30 is divided among 2 of 2 devices",
        "error: another process was lost; start all of them again with --resume RUN, the run folder of process 0, "
        "which holds every complete epoch",
    ]
    assert not list(temporary.iterdir()), "process 1 left its folder"


def test_processes_with_different_settings_are_refused(command: list[object], tmp_path: Path) -> None:
    told = end(*start_two(tmp_path, command, [*command, "--seed", 1]), codes=(2, 2))

    for text in told:
        line = "error: the processes have different data or settings; start all of them with the same ones"
        assert text.splitlines()[-1] == line
    assert not list(tmp_path.rglob("config.json"))


def test_processes_that_do_not_come_are_not_waited_for_forever(bars: Path, tmp_path: Path) -> None:
    address = free_address()
    variables = dict(zip(VARIABLES, (address, 2, 1), strict=True))

    told = end(start(tmp_path, "--data", bars, **variables, START_S=1), codes=(1,))

    assert told[0].splitlines() == [
        f"process 1 of 2, waiting for all of them at {address}",
        f"error: not all of 2 processes joined {address} within 1 s; start all of them",
    ]


def test_a_process_that_waits_hears_ctrl_c(bars: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "--data", bars, **dict(zip(VARIABLES, (free_address(), 2, 0), strict=True)))
    assert process.stderr
    assert "waiting for" in process.stderr.readline()

    process.send_signal(signal.SIGINT)

    assert process.wait(20) in (-signal.SIGINT, 130)


@pytest.mark.parametrize(
    ("values", "processes"),
    [
        (("", "", ""), None),
        (("host1:1234", "1", "0"), None),
        (("host1:1234", "2", "1"), Processes("host1:1234", 2, 1)),
        (("host1:1234,host2:1234", "2", "0"), Processes("host1:1234", 2, 0)),
    ],
)
def test_variables_name_the_processes(values: tuple[str, ...], processes: Processes | None) -> None:
    assert read_processes(dict(zip(VARIABLES, values, strict=True))) == processes


@pytest.mark.parametrize(
    "values", [("host1:1234", "", ""), ("host1", "2", "0"), ("host1:1234", "2", "2"), ("host1:1234", "two", "0")]
)
def test_damaged_variables_say_how_they_should_look(values: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="all three of KERAS_DISTRIBUTION_JOB_ADDRESSES=host1:1234 "):
        read_processes(dict(zip(VARIABLES, values, strict=True)))


def test_several_processes_on_tensorflow_are_told_what_to_type(fer_edge: FerEdge, tmp_path: Path) -> None:
    variables = dict(zip(VARIABLES, ("127.0.0.1:1234", "2", "0"), strict=True))

    done = fer_edge("train", "--data", "nowhere", cwd=tmp_path, code=2, **variables)

    [line] = done.stderr.splitlines()
    assert line.endswith("type: pip install '.[jax]', then KERAS_BACKEND=jax fer-edge train ...")


def test_several_gpus_on_tensorflow_are_told_what_to_type(
    fer_edge: FerEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["GPU:0", "GPU:1"])

    done = fer_edge("train", "--data", "nowhere", cwd=tmp_path, code=1)

    assert done.stderr.startswith("TensorFlow trains on one of 2 GPUs; for all of them type: pip install '.[jax]' ")


def test_a_batch_that_cannot_be_divided_among_processes_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    monkeypatch.setattr(devices, "rank_and_count", lambda: (0, 2))

    with (
        pytest.raises(UsageError, match="a batch of 7 cannot be divided among 2 processes; choose a multiple: --batch"),
        devices.data_parallel(7),
    ):
        pass
