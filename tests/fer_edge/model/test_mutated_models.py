"""Damaged model files, made as in benchmarks/studies/robustness/mutants.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.imaging.images import write_picture
from fer_edge.recognition.classifier import BUNDLED
from fer_edge.synthetic.render import draw_face
from studies.robustness import mutants, mutations
from support.paths import TINY

MUTANTS_PER_KIND = 24


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A process that runs commands on mutants of the tiny model."""
    folder = tmp_path_factory.mktemp("mutants")
    write_picture(folder / "face.png", draw_face("happiness", seed=1)[0])
    made = mutants.Worker(TINY, folder)
    yield made
    made.stop()


@pytest.mark.parametrize("kind", mutations.KINDS)
def test_a_damaged_model_gives_a_result_or_one_error_line(worker: Any, kind: str) -> None:
    outcomes = {}
    for seed in range(MUTANTS_PER_KIND):
        command = mutants.COMMANDS[seed % len(mutants.COMMANDS)]
        outcomes[command, seed] = worker.run(kind, seed, command)

    assert {case: found for case, found in outcomes.items() if found not in ("0", "1")} == {}
    assert "1" in outcomes.values()  # else no mutant is damaged


def test_mutants_are_reproducible(tiny: Path) -> None:
    intact = mutations.read_intact(tiny)

    for kind in mutations.KINDS:
        first, again = mutations.mutant(intact, kind, 3), mutations.mutant(intact, kind, 3)
        assert len(first) == len(again), kind  # a zip holds the time of its writing
        assert mutations.mutant(intact, kind, 4) != first, kind


def test_a_forged_digest_is_valid(tiny: Path, tmp_path: Path) -> None:
    intact = mutations.read_intact(tiny)
    (tmp_path / "a.tflite").write_bytes(mutations.forged(intact, intact.other))

    assert mutations.read_packed(tmp_path / "a.tflite").flatbuffer == intact.other


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "expected"),
    [
        (0, "{}", "", "0"),
        (1, "", "error: a.tflite: broken\n", "1"),
        (1, "", "a.tflite:\n  crop: same\nerror: broken\n", "1"),
        (1, "", "broken\n", "exit code 1 with 'broken\\n'"),
        (1, "", "error: one\nerror: two\n", "exit code 1 with 'error: one\\nerror: two\\n'"),
        (1, "", "error: one\nmore\n", "exit code 1 with 'error: one\\nmore\\n'"),
        (2, "", "error: one\n", "exit code 2 with 'error: one\\n'"),
        (0, "{}", "a.py:1: RuntimeWarning: overflow\n", "Python warning: a.py:1: RuntimeWarning: overflow"),
    ],
)
def test_exit_code_and_output_are_checked(code: int, stdout: str, stderr: str, expected: str) -> None:
    assert mutants.verdict(code, stdout, stderr) == expected


def test_a_traceback_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr("fer_edge.inspection.models.read_any", broken)

    assert mutants.outcome(["info", str(BUNDLED)]).startswith("TRACEBACK: KeyError: 'nothing' (test_mutated_models.py:")


def test_a_crash_is_a_finding(tiny: Path, tmp_path: Path) -> None:
    worker = mutants.Worker(tiny, tmp_path)
    worker.run("truncated", 0, "info")
    worker._process.kill()
    worker._process.join()

    assert worker.run("truncated", 0, "info").startswith("CRASH")
    assert worker.run("truncated", 0, "info") == "1"
    worker.stop()
