import json
import re
import sys
from pathlib import Path

import pytest

from fer_edge.device.doctor_facts import EXTRAS, Import, built_with, call_python, try_import
from fer_edge.device.processor import detector_reason
from support.command import FerEdge
from support.paths import ROOT


def test_a_package_that_is_missing_says_so() -> None:
    found, about = try_import("no_such_package", '{"version": "1"}')

    assert (found, about) == (Import(None, "No module named 'no_such_package'"), {})


def test_the_cause_of_an_import_error_is_told_rather_than_the_advice_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blas.py").write_text(
        "try:\n    1 / 0\nexcept Exception as e:\n    raise ImportError('read this') from e"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert try_import("blas", '{"version": "1"}')[0] == Import(None, "division by zero")


def test_a_wheel_that_ends_the_process_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrong_wheel.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found, _ = try_import("wrong_wheel", '{"version": "1"}')

    assert found.trouble == "Python was killed by SIGILL (a wheel for another processor?)"


def test_packages_are_not_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lonely.py").touch()
    monkeypatch.chdir(tmp_path)

    assert not try_import("lonely", '{"version": "1"}')[0].works


def test_a_python_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.device.doctor_facts.PATIENCE_S", 0.2)

    answer = call_python("-c", "import time; time.sleep(60)")

    assert (answer.returncode, answer.stderr) == (1, "no answer within 0.2 seconds")


def test_what_opencv_says_of_its_build_is_read() -> None:
    import cv2

    assert built_with(cv2.getBuildInformation())["ffmpeg"] is True
    assert built_with("  GUI:    GTK3\n    v4l/v4l2:   NO\n") == {"v4l": False, "ffmpeg": False, "windows": True}


def test_the_extras_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text()

    for extra, modules in EXTRAS.items():
        (packages,) = re.findall(rf"^{extra} = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
        assert all(f'"{module}' in packages for module in modules)


def test_the_command_checks_this_machine_in_one_line_per_finding_or_json(fer_edge: FerEdge) -> None:
    finished = fer_edge("doctor", "--json")

    document = json.loads(finished.stdout)
    facts = document["facts"]
    assert finished.code == (0 if document["passed"] else 1)
    assert len(finished.stderr.splitlines()) == len(document["findings"])
    assert facts["python"] == list(sys.version_info[:3])
    assert [facts[package]["trouble"] for package in ("numpy", "opencv", "runtime")] == [None, None, None]
    assert facts["models"] == {"edge.tflite": None, "yunet_int8.tflite": None, "yunet_float16.tflite": None}
    assert facts["detector"] == detector_reason()
    assert facts["memory_mb"] > facts["memory_free_mb"] > 0
    assert facts["temporary"]
