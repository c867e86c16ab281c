"""A Raspberry Pi's userland under qemu: benchmarks/studies/pi/userland.py, and how it compares answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fer_edge.errors import FerEdgeError
from fer_edge.imaging.images import write_picture
from fer_edge.synthetic.render import draw_face
from studies.pi import answers as pi_answers
from studies.pi import userland as pi_userland

SCALE = pi_answers.Scale(logit=0.07, temperature=0.7, heat=0.04, threshold=0.5)
STEP = 2 * SCALE.logit / SCALE.temperature
"""Log odds that a probability moves when every logit moves by a step."""


def face(box: tuple[int, int, int, int] = (10, 10, 50, 60), happy: float = 0.7, score: float = 0.9) -> dict[str, Any]:
    """What `run --json` says of a face."""
    probabilities = {"happiness": happy, "neutral": 1 - happy}
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"box": list(box), "label": label, "probs": probabilities, "detection_score": score}


def compared(first: list[dict[str, Any]], second: list[dict[str, Any]], *, cut: bool = False) -> Any:
    return pi_answers.compared({"photo.jpg": first}, {"photo.jpg": second}, SCALE, cut=cut)


def moved(probability: float, log_odds: float) -> float:
    odds = probability / (1 - probability) * 2.718281828459045**log_odds
    return round(odds / (1 + odds), 4)


def test_the_same_answers_are_no_step_apart() -> None:
    found = compared([face(), face((200, 10, 50, 60))], [face((200, 10, 50, 60)), face()])

    assert (found.faces, found.same_box, found.steps, found.faults) == (2, 2, 0.0, [])


def test_expressions_a_step_apart_pass() -> None:
    found = compared([face(happy=0.7)], [face(happy=moved(0.7, STEP))], cut=True)

    assert found.steps == pytest.approx(1, abs=0.01)
    assert found.faults == []


@pytest.mark.parametrize(("cut", "faults"), [(True, ["expressions are 2.0 steps apart"]), (False, [])])
def test_expressions_more_than_a_step_apart_are_a_fault_where_both_saw_the_same(cut: bool, faults: list[str]) -> None:
    assert compared([face(happy=0.7)], [face(happy=moved(0.7, 2 * STEP))], cut=cut).faults == faults


def test_what_rounding_to_four_digits_hides_is_no_step() -> None:
    assert compared([face(happy=0.0001)], [face(happy=0.0002)]).steps == 0.0


def test_another_box_is_told() -> None:
    found = compared([face(), face((200, 10, 50, 60))], [face(), face((200, 10, 50, 61), happy=0.1)])

    assert (found.same_box, found.other_labels, found.faults) == (1, 1, [])
    assert found.least_overlap == pytest.approx(60 / 61)


def test_too_few_boxes_to_compare_are_a_fault() -> None:
    assert compared([face()], [face((10, 10, 50, 61))]).faults == ["only 0 of 1 boxes are the same"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_face_that_one_run_alone_has_is_a_fault(swapped: bool) -> None:
    runs = [[face(), face((200, 10, 50, 60))], [face()]]

    found = compared(*runs[:: -1 if swapped else 1])

    assert found.faults == ["found by one alone: photo.jpg [200, 10, 50, 60]"]


def test_a_face_elsewhere_is_another_one() -> None:
    assert len(compared([face()], [face((60, 10, 50, 60))]).alone) == 2


def test_a_face_at_the_threshold_may_be_found_by_one_run_alone() -> None:
    found = compared([face(), face((200, 10, 50, 60), score=moved(0.5, 2 * SCALE.heat))], [face()])

    assert (found.near_threshold, found.faults) == (1, [])


def test_scores_far_apart_are_a_fault() -> None:
    assert compared([face()], [face(score=moved(0.9, 10 * SCALE.heat))]).faults == [
        "scores of faces are 10.0 steps apart"
    ]


def test_no_face_is_nothing_to_go_by() -> None:
    assert compared([], []).faults == ["no faces to compare"]


def test_a_folder_that_was_not_finished_is_not_taken_for_one(tmp_path: Path) -> None:
    def stop(folder: Path) -> None:
        (folder / "half").touch()
        raise FerEdgeError("the network went away")

    with pytest.raises(FerEdgeError, match="went away"):
        pi_userland.finished_folder(tmp_path / "tree", "Debian", stop)
    made = pi_userland.finished_folder(tmp_path / "tree", "Debian", lambda folder: (folder / "whole").touch())

    assert [path.name for path in made.iterdir()] == ["whole"]
    assert pi_userland.finished_folder(made, "Debian", stop) == made


def test_a_full_disk_is_told_before_anything_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type(shutil.disk_usage(tmp_path))(10**9, 10**9 - 10**7, 10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)

    with pytest.raises(FerEdgeError, match=r"10 MB free, 800 needed; name another: --cache DIR"):
        pi_userland.finished_folder(tmp_path / "tree", "Debian", lambda folder: None)


def test_what_a_killed_run_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_userland, "missing", list)
    write_picture(tmp_path / "face.png", draw_face("happiness", seed=1)[0])
    (tmp_path / "cache" / ".writing-1" / "usr").mkdir(parents=True)

    pi_userland.check_request(tmp_path, tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_photos_are_spread_over_the_folder(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "notes.txt").touch()

    taken = pi_userland.chosen(tmp_path, 3, tmp_path / "chosen")

    assert sorted(path.name for path in taken.iterdir()) == ["0.png", "3.png", "6.png"]


def script(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, pi_userland.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_photos_is_one_line(folder: str, tmp_path: Path) -> None:
    finished = script("--photos", tmp_path / folder, "--cache", tmp_path / "cache")

    assert finished.returncode == 1
    [line] = finished.stderr.splitlines()
    assert line.endswith("no folder with pictures; name one with photos of faces: --photos DIR")


def test_missing_programs_are_one_line_with_what_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_userland, "found", lambda program: None)
    write_picture(tmp_path / "face.png", draw_face("happiness", seed=1)[0])

    with pytest.raises(FerEdgeError, match=r"type: sudo apt-get install debootstrap dpkg .*qemu-user-static"):
        pi_userland.check_request(tmp_path, tmp_path / "cache")


needs_programs = pytest.mark.skipif(
    bool(pi_userland.missing()), reason=f"needs {' and '.join(pi_userland.missing())} (Debian's packages)"
)


@needs_programs
def test_a_mirror_out_of_reach_is_one_line(tmp_path: Path) -> None:
    make = partial(pi_userland.make_tree, mirror="http://127.0.0.1:9/debian")

    with pytest.raises(FerEdgeError, match=r"debootstrap: E: Failed .* look at the network"):
        pi_userland.finished_folder(tmp_path / "tree", "Debian", make)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_programs
@pytest.mark.usefixtures("registry")
def test_a_pis_userland_answers_as_x86_does(unpacked: Callable[[str], Path]) -> None:
    finished = script("--photos", unpacked("expw") / "origin")

    if "Failed getting release file" in finished.stderr:
        pytest.skip("needs a Debian mirror that answers")
    assert finished.returncode == 0, finished.stderr
    document = json.loads(finished.stdout)
    judged = [one for one in document["compared"] if one["judged"]]
    assert [(one["arm64"], one["on"], one["faces"] > 10, one["faults"]) for one in judged] == [
        ("litert", "photos", True, []),
        ("litert", "faces", True, []),
        ("tflite", "photos", True, []),
        ("tflite", "faces", True, []),
    ]
    for runtime, package in (("litert", "ai-edge-litert"), ("tflite", "tflite-runtime")):
        assert package in document[runtime]["installed"]
        differences = document[runtime]["selftest"]
        assert (differences["edge: network"], differences["yunet_int8: network"]) == (0, 0)  # to the bit
