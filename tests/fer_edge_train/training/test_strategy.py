"""Two workers on this machine, each with its TF_CONFIG or started by one command, against one alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fer_edge.errors import FerEdgeError, UsageError
from fer_edge_train import meeting
from fer_edge_train.cluster import Cluster, read_cluster
from fer_edge_train.meeting import meet
from fer_edge_train.mirrored import free_ports
from support.command import FerEdge

Weights = dict[str, npt.NDArray[np.float32]]
TOLERANCE = 1e-4
"""Of a weight: sums of halves round otherwise than sums of wholes. Seen: 2e-6 after three epochs."""


@pytest.fixture(autouse=True, scope="module")
def all_threads() -> Iterator[None]:
    """TensorFlow takes its own number of threads here: with one, Adam makes 2e-4 of what rounds otherwise."""
    with pytest.MonkeyPatch.context() as own:
        for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            own.delenv(name, raising=False)
        yield


def train(*arguments: str | Path) -> list[str]:
    settings = ["--imgsz", "24", "--learning-rate", "0.005", "--ema", "0.9", "--patience", "0"]
    return [sys.executable, "-m", "fer_edge", "train", *settings, *map(str, arguments)]


def start_two(command: list[str], cwd: Path) -> list[subprocess.Popen[str]]:
    return start([command, command], cwd)


def start(commands: list[list[str]], cwd: Path) -> list[subprocess.Popen[str]]:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    workers = []
    for index, command in enumerate(commands):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        environment = {**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"}
        workers.append(subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True))
    return workers


def run_two(command: list[str], cwd: Path) -> list[str]:
    workers = start_two(command, cwd)
    told = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    return told


def weights_in(path: Path) -> Weights:
    """Every weight of a .keras file."""
    from fer_edge_train.evaluation.evaluate import load_network

    return {weight.path: np.asarray(weight) for weight in load_network(path).weights}


def largest_difference(a: Weights, b: Weights, part: str = "") -> float:
    assert a.keys() == b.keys()
    return max(float(np.abs(a[name] - b[name]).max()) for name in a if part in name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def plain(bars: Path) -> list[str | Path]:
    """A training without dropout and batch normalisation, whose every face is changed at random."""
    return ["--data", bars, "--network", "legend-cnn", "--batch", "10", "--epochs", "3"]


@pytest.fixture(scope="module")
def alone(folder: Path, plain: list[str | Path]) -> Path:
    """The run of one process."""
    subprocess.run(train(*plain, "--name", "alone"), cwd=folder, check=True, capture_output=True)
    return folder / "runs/train/alone"


@pytest.fixture(scope="module")
def together(folder: Path, plain: list[str | Path]) -> Path:
    """The run of two workers."""
    leader, follower = run_two(train(*plain, "--name", "together"), folder)
    assert "wrote runs/train/together; next: fer-edge export" in leader
    assert "wrote" not in follower
    return folder / "runs/train/together"


def test_two_workers_get_the_result_of_one(alone: Path, together: Path) -> None:
    assert largest_difference(weights_in(together / "last.keras"), weights_in(alone / "last.keras")) < TOLERANCE


def test_two_workers_report_the_figures_of_one(alone: Path, together: Path) -> None:
    def figures(run: Path) -> list[list[float]]:
        rows = np.genfromtxt(run / "history.csv", delimiter=",", names=True)
        return [[float(row[name]) for name in ("loss", "accuracy", "val_loss", "val_accuracy")] for row in rows]

    np.testing.assert_allclose(figures(together), figures(alone), atol=TOLERANCE)


def test_only_the_leader_leaves_a_run_folder(alone: Path, together: Path) -> None:
    assert sorted(path.name for path in together.iterdir()) == sorted(path.name for path in alone.iterdir())
    assert not list(together.parent.glob("together?*"))


def test_batch_statistics_are_those_of_the_whole_batch(bars: Path, tmp_path: Path) -> None:
    # without averaged weights, whose statistics are taken after the step, when Adam has blown up what rounds otherwise
    one_step = train("--data", bars, "--network", "edge", "--batch", "150", "--epochs", "1", "--ema", "0")

    run_two([*one_step, "--name", "together"], tmp_path)
    subprocess.run([*one_step, "--name", "alone"], cwd=tmp_path, check=True, capture_output=True)

    together, alone = (weights_in(tmp_path / "runs/train" / name / "last.keras") for name in ("together", "alone"))
    assert sum("moving_variance" in name for name in alone) == 14
    assert largest_difference(together, alone, "moving_") < TOLERANCE


def killed(victim: int, plain: list[str | Path], folder: Path) -> Path:
    """Kill one of two workers in the middle, and look at what the other says; gives the run."""
    run = folder / "runs/train/exp"
    workers = start_two(train(*plain[:-1], "300"), folder)
    deadline = time.monotonic() + 120
    while not (run / "last.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.01)

    workers[victim].send_signal(signal.SIGKILL)
    told = workers[1 - victim].communicate(timeout=60)[1]  # TensorFlow's heartbeat notices within ten seconds
    workers[victim].communicate()

    assert workers[1 - victim].returncode == 1
    [line] = [line for line in told.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: another worker is gone; ")
    assert line.endswith(" holds every whole epoch: start all workers again, with --resume")
    assert "Traceback" not in told
    return run


def test_a_killed_leader_ends_the_run(plain: list[str | Path], tmp_path: Path) -> None:
    killed(0, plain, tmp_path)


def test_a_killed_worker_ends_the_run_and_leaves_what_can_be_gone_on_with(
    plain: list[str | Path], tmp_path: Path
) -> None:
    run = killed(1, plain, tmp_path)

    shorten(run, epochs=3)
    run_two([sys.executable, "-m", "fer_edge", "train", "--resume", str(run)], tmp_path)
    assert (run / "metrics.json").exists()


def shorten(run: Path, epochs: int) -> None:
    """Let a run end soon; its weights say nothing more about one that was planned so."""
    config: dict[str, Any] = json.loads((run / "config.json").read_text())
    config["settings"]["epochs"] = max(epochs, len((run / "history.csv").read_text().splitlines()) + 1)
    (run / "config.json").write_text(json.dumps(config))


def test_a_batch_that_cannot_be_divided_is_one_clear_error(bars: Path, tmp_path: Path) -> None:
    command = train("--data", bars, "--network", "legend-cnn", "--batch", "7", "--epochs", "1")

    workers = start_two(command, tmp_path)

    for worker in workers:
        assert "a batch of 7 cannot be divided among 2 workers; choose a multiple: --batch" in worker.communicate()[1]


def test_workers_with_different_settings_are_refused(bars: Path, tmp_path: Path) -> None:
    commands = [train("--data", bars, "--network", "legend-cnn", "--epochs", epochs) for epochs in ("1", "2")]

    workers = start(commands, tmp_path)

    told = [worker.communicate()[1] for worker in workers]
    assert all(
        "error: the workers have different data or settings; start all of them with the same" in it for it in told
    )


@pytest.mark.parametrize(
    ("text", "cluster"),
    [
        (None, None),
        ("", None),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}', None),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            Cluster(("a:1", "b:1"), 1),
        ),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}',
            Cluster(("a:1", "b:1"), 0),
        ),
    ],
)
def test_tf_config_names_the_cluster(text: str | None, cluster: Cluster | None) -> None:
    assert read_cluster(text) == cluster


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a", "b:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1", 5]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "ps": ["c:1"]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_damaged_tf_config_says_how_it_should_look(text: str) -> None:
    with pytest.raises(UsageError, match=r"TF_CONFIG cannot be read: .*it should look like TF_CONFIG='"):
        read_cluster(text)


TWO = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'


def test_a_strategy_for_others_without_others_is_one_line(fer_edge: FerEdge, tmp_path: Path) -> None:
    done = fer_edge("train", "--data", "nowhere", "--strategy", "multiworker", cwd=tmp_path, code=2)

    [line] = done.stderr.splitlines()
    assert line.startswith("error: --strategy multiworker: TF_CONFIG names no other worker; it should look like")


def test_a_strategy_that_the_engine_lacks_is_one_line(
    fer_edge: FerEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")

    done = fer_edge("train", "--data", "nowhere", "--strategy", "multiworker", cwd=tmp_path, code=2, TF_CONFIG=TWO)

    assert done.stderr == "error: --strategy multiworker: not with KERAS_BACKEND=jax; leave that out\n"


AS_IF_TWO_GPUS = """
from fer_edge.cli import app
from fer_edge_train import mirrored

mirrored.gpus = lambda: ["0", "1"]
app(prog_name="fer-edge")
"""


def mirrored(*arguments: str | Path) -> list[str]:
    """The command on a machine with two GPUs; there are none here, so its two workers compute on the CPU."""
    settings = train(*arguments, "--strategy", "mirrored")
    return [settings[0], "-c", AS_IF_TWO_GPUS, *settings[3:]]


def test_mirrored_starts_a_worker_per_gpu_and_gets_the_result_of_one(
    alone: Path, plain: list[str | Path], tmp_path: Path
) -> None:
    done = subprocess.run(mirrored(*plain, "--name", "both"), cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "worker 0 of 2, waiting for 127.0.0.1:" in done.stderr
    assert "wrote runs/train/both; next: fer-edge export" in done.stderr
    both = tmp_path / "runs/train/both"
    assert largest_difference(weights_in(both / "last.keras"), weights_in(alone / "last.keras")) < TOLERANCE


def test_mirrored_tells_of_a_worker_that_ends(plain: list[str | Path], tmp_path: Path) -> None:
    ends = "import os, sys\nif 'TF_CONFIG' in os.environ: sys.exit('no memory left')\n"
    command = mirrored(*plain)
    command[2] = ends + command[2]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        "worker 1 ended: no memory left",
        "error: another worker ended before it was there",
    ]


def test_mirrored_wants_several_gpus(fer_edge: FerEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge_train.mirrored.gpus", list)

    done = fer_edge("train", "--data", "nowhere", "--strategy", "mirrored", cwd=tmp_path, code=2)

    assert done.stderr == "error: --strategy mirrored is for several GPUs, TensorFlow sees no GPU; leave it out\n"


@pytest.fixture
def three() -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in free_ports(3))


def test_workers_go_on_together_whoever_comes_first(three: tuple[str, ...]) -> None:
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, Cluster(three, 2), bool)
        time.sleep(0.3)
        leader = pool.submit(meet, Cluster(three, 0), bool)
        with retrying_connection(three[0]) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\n")
        assert not first.done()
        assert not leader.done()

        meet(Cluster(three, 1), bool)

        first.result(timeout=10)
        leader.result(timeout=10)


def retrying_connection(address: str) -> socket.socket:
    host, port = address.split(":")
    for _ in range(100):
        try:
            return socket.create_connection((host, int(port)))
        except OSError:
            time.sleep(0.05)
    raise AssertionError(address)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_does_not_wait_forever(rank: int, three: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "WAIT_S", 0.3)

    with pytest.raises(FerEdgeError, match=r"^not all of 127.0.0.1:\d+, .* came within 0.3 s; start all of them$"):
        meet(Cluster(three, rank), bool)


def test_a_port_in_use_is_named(three: tuple[str, ...]) -> None:
    told = rf"^cannot take part as {three[0]}: .*; is the port in use\?$"

    with socket.create_server(("", int(three[0].split(":")[1]))), pytest.raises(FerEdgeError, match=told):
        meet(Cluster(three, 0), bool)


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_waits_hears_ctrl_c(index: int, plain: list[str | Path], tmp_path: Path) -> None:
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        waiting = subprocess.Popen(
            train(*plain), cwd=tmp_path, env={**os.environ, "TF_CONFIG": config}, stderr=subprocess.PIPE, text=True
        )
    finally:
        signal.signal(signal.SIGINT, ours)
    assert waiting.stderr
    assert "waiting for" in waiting.stderr.readline()

    waiting.send_signal(signal.SIGINT)

    assert waiting.wait(20) == 130
