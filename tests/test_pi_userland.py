"""A Raspberry Pi's userland under qemu: benchmarks/studies/pi/userland.py, and its comparison of results."""

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

SIZES = pi_answers.StepSizes(logit=0.07, temperature=0.7, score_log_odds=0.04, threshold=0.5)
STEP = 2 * SIZES.logit / SIZES.temperature
"""Change of a probability's log odds if every logit moves by a step."""


def face(box: tuple[int, int, int, int] = (10, 10, 50, 60), happy: float = 0.7, score: float = 0.9) -> dict[str, Any]:
    """A face as printed by `run --json`."""
    probabilities = {"happiness": happy, "neutral": 1 - happy}
    label = max(probabilities, key=lambda name: probabilities[name])
    return {"box": list(box), "label": label, "probs": probabilities, "detection_score": score}


def compared(first: list[dict[str, Any]], second: list[dict[str, Any]], *, cropped: bool = False) -> Any:
    return pi_answers.compare({"photo.jpg": first}, {"photo.jpg": second}, SIZES, cropped=cropped)


def shift_odds(probability: float, log_odds: float) -> float:
    odds = probability / (1 - probability) * 2.718281828459045**log_odds
    return round(odds / (1 + odds), 4)


def test_equal_results_have_no_difference() -> None:
    comparison = compared([face(), face((200, 10, 50, 60))], [face((200, 10, 50, 60)), face()])

    assert (comparison.faces, comparison.same_box, comparison.steps, comparison.faults) == (2, 2, 0.0, [])


def test_expressions_may_differ_by_one_step() -> None:
    comparison = compared([face(happy=0.7)], [face(happy=shift_odds(0.7, STEP))], cropped=True)

    assert comparison.steps == pytest.approx(1, abs=0.01)
    assert comparison.faults == []


@pytest.mark.parametrize(("cropped", "faults"), [(True, ["expressions are 2.0 steps apart"]), (False, [])])
def test_expressions_that_differ_by_more_than_one_step_are_a_fault_on_equal_crops(
    cropped: bool, faults: list[str]
) -> None:
    assert compared([face(happy=0.7)], [face(happy=shift_odds(0.7, 2 * STEP))], cropped=cropped).faults == faults


def test_rounding_to_four_digits_is_no_difference() -> None:
    assert compared([face(happy=0.0001)], [face(happy=0.0002)]).steps == 0.0


def test_another_box_is_counted() -> None:
    comparison = compared([face(), face((200, 10, 50, 60))], [face(), face((200, 10, 50, 61), happy=0.1)])

    assert (comparison.same_box, comparison.other_labels, comparison.faults) == (1, 1, [])
    assert comparison.least_overlap == pytest.approx(60 / 61)


def test_too_few_boxes_to_compare_are_a_fault() -> None:
    assert compared([face()], [face((10, 10, 50, 61))]).faults == ["only 0 of 1 boxes are the same"]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_face_in_one_run_only_is_a_fault(swapped: bool) -> None:
    runs = [[face(), face((200, 10, 50, 60))], [face()]]

    comparison = compared(*runs[:: -1 if swapped else 1])

    assert comparison.faults == ["in one run only: photo.jpg [200, 10, 50, 60]"]


def test_a_face_elsewhere_is_another_one() -> None:
    assert len(compared([face()], [face((60, 10, 50, 60))]).alone) == 2


def test_a_face_at_the_threshold_may_be_in_one_run_only() -> None:
    comparison = compared([face(), face((200, 10, 50, 60), score=shift_odds(0.5, 2 * SIZES.score_log_odds))], [face()])

    assert (comparison.near_threshold, comparison.faults) == (1, [])


def test_very_different_scores_are_a_fault() -> None:
    assert compared([face()], [face(score=shift_odds(0.9, 10 * SIZES.score_log_odds))]).faults == [
        "scores of faces are 10.0 steps apart"
    ]


def test_no_faces_are_a_fault() -> None:
    assert compared([], []).faults == ["no faces to compare"]


def test_an_incomplete_folder_is_not_kept(tmp_path: Path) -> None:
    def stop(folder: Path) -> None:
        (folder / "half").touch()
        raise FerEdgeError("the network went away")

    with pytest.raises(FerEdgeError, match="went away"):
        pi_userland.cached_folder(tmp_path / "tree", "Debian", stop)
    made = pi_userland.cached_folder(tmp_path / "tree", "Debian", lambda folder: (folder / "complete").touch())

    assert [path.name for path in made.iterdir()] == ["complete"]
    assert pi_userland.cached_folder(made, "Debian", stop) == made


def test_a_full_disk_is_an_error_before_any_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = type(shutil.disk_usage(tmp_path))(10**9, 10**9 - 10**7, 10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)

    with pytest.raises(FerEdgeError, match=r"10 MB free, 800 MB required; choose another folder: --cache DIR"):
        pi_userland.cached_folder(tmp_path / "tree", "Debian", lambda folder: None)


def test_temporary_files_of_a_killed_run_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_userland, "missing", list)
    write_picture(tmp_path / "face.png", draw_face("happiness", seed=1)[0])
    (tmp_path / "cache" / ".writing-1" / "usr").mkdir(parents=True)

    pi_userland.check_request(tmp_path, tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_photos_are_evenly_spaced(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    (tmp_path / "notes.txt").touch()

    taken = pi_userland.sample_photos(tmp_path, 3, tmp_path / "sample")

    assert sorted(path.name for path in taken.iterdir()) == ["0.png", "3.png", "6.png"]


def script(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, pi_userland.__file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("folder", ["missing", "."])
def test_a_folder_without_photos_is_one_line(folder: str, tmp_path: Path) -> None:
    finished = script("--photos", tmp_path / folder, "--cache", tmp_path / "cache")

    assert finished.returncode == 1
    [line] = finished.stderr.splitlines()
    assert line.endswith("not a folder with pictures; use --photos DIR with photos of faces")


def test_missing_programs_are_one_line_with_what_installs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pi_userland, "find_program", lambda program: None)
    write_picture(tmp_path / "face.png", draw_face("happiness", seed=1)[0])

    with pytest.raises(FerEdgeError, match=r"run: sudo apt-get install debootstrap dpkg .*qemu-user-static"):
        pi_userland.check_request(tmp_path, tmp_path / "cache")


needs_programs = pytest.mark.skipif(
    bool(pi_userland.missing()), reason=f"needs {' and '.join(pi_userland.missing())} (Debian's packages)"
)


@needs_programs
def test_an_unreachable_mirror_is_one_line(tmp_path: Path) -> None:
    make = partial(pi_userland.make_tree, mirror="http://127.0.0.1:9/debian")

    with pytest.raises(FerEdgeError, match=r"debootstrap: E: Failed .* check network and disk"):
        pi_userland.cached_folder(tmp_path / "tree", "Debian", make)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@needs_programs
@pytest.mark.usefixtures("registry")
def test_a_pis_userland_gives_the_same_results_as_x86(unpacked: Callable[[str], Path]) -> None:
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
