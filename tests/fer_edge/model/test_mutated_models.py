"""Broken model files, made by benchmarks/studies/robustness/mutants.py, which makes thousands of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fer_edge.imaging.images import write_picture
from fer_edge.recognition.classifier import BUNDLED
from fer_edge.synthetic.render import draw_face
from studies.robustness import mutants, mutations
from support.paths import TINY

EACH = 24


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A process that runs commands on mutants of the tiny model."""
    folder = tmp_path_factory.mktemp("mutants")
    write_picture(folder / "face.png", draw_face("happiness", seed=1)[0])
    made = mutants.Worker(TINY, folder)
    yield made
    made.end()


@pytest.mark.parametrize("kind", mutations.KINDS)
def test_a_broken_model_ends_in_an_answer_or_one_line(worker: Any, kind: str) -> None:
    outcomes = {}
    for seed in range(EACH):
        command = mutants.COMMANDS[seed % len(mutants.COMMANDS)]
        outcomes[command, seed] = worker.ask(kind, seed, command)

    assert {case: found for case, found in outcomes.items() if found not in ("0", "1")} == {}
    assert "1" in outcomes.values()  # else the mutants are not broken


def test_a_mutant_is_made_again_by_its_seed(tiny: Path) -> None:
    whole = mutations.whole(tiny)

    for kind in mutations.KINDS:
        first, again = mutations.mutant(whole, kind, 3), mutations.mutant(whole, kind, 3)
        assert len(first) == len(again), kind  # a zip holds the time of its writing
        assert mutations.mutant(whole, kind, 4) != first, kind


def test_a_forged_digest_fits(tiny: Path, tmp_path: Path) -> None:
    whole = mutations.whole(tiny)
    (tmp_path / "a.tflite").write_bytes(mutations.forged(whole, whole.other))

    assert mutations.read_packed(tmp_path / "a.tflite").flatbuffer == whole.other


@pytest.mark.parametrize(
    ("code", "stdout", "stderr", "judged"),
    [
        (0, "{}", "", "0"),
        (1, "", "error: a.tflite: broken\n", "1"),
        (1, "", "a.tflite:\n  crop: same\nerror: broken\n", "1"),
        (1, "", "broken\n", "exit code 1 with 'broken\\n'"),
        (1, "", "error: one\nerror: two\n", "exit code 1 with 'error: one\\nerror: two\\n'"),
        (1, "", "error: one\nmore\n", "exit code 1 with 'error: one\\nmore\\n'"),
        (2, "", "error: one\n", "exit code 2 with 'error: one\\n'"),
        (0, "{}", "a.py:1: RuntimeWarning: overflow\n", "a warning of Python: a.py:1: RuntimeWarning: overflow"),
    ],
)
def test_how_a_command_ended_is_judged(code: int, stdout: str, stderr: str, judged: str) -> None:
    assert mutants.verdict(code, stdout, stderr) == judged


def test_a_traceback_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise KeyError("nothing")

    monkeypatch.setattr("fer_edge.inspection.models.read_any", broken)

    assert mutants.outcome(["info", str(BUNDLED)]).startswith("TRACEBACK: KeyError: 'nothing' (test_mutated_models.py:")


def test_a_crash_is_a_finding(tiny: Path, tmp_path: Path) -> None:
    worker = mutants.Worker(tiny, tmp_path)
    worker.ask("truncated", 0, "info")
    worker._process.kill()
    worker._process.join()

    assert worker.ask("truncated", 0, "info").startswith("CRASH")
    assert worker.ask("truncated", 0, "info") == "1"
    worker.end()
