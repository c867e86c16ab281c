"""The commands as a user types them; each `fer_edge` here is a process of its own."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, LANDMARK_NAMES
from fer_edge.detection.detector_contract import read_detector, write_detector
from fer_edge.imaging.images import read_picture, write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import read_model, write_model
from fer_edge.synthetic.render import draw_face
from support.command import FerEdge
from support.videos import grey, write_video

HEAVY = ("tensorflow", "keras", "pandas", "matplotlib", "starlette", "uvicorn", "paho")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawn faces and a broken picture."""
    path = tmp_path / "faces"
    for name in ("fear", "happiness"):
        write_picture(path / f"{name}.png", draw_face(name, seed=3)[0])
    (path / "broken.png").touch()
    return path


def test_run_prints_one_json_line_per_picture(fer_edge: FerEdge, tiny: Path, folder: Path) -> None:
    finished = fer_edge("run", "--model", tiny, "--source", folder, "--detector", "none", "--json")

    assert finished.code == 0
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [(line["source"], line["frame"]) for line in lines] == [
        (str(folder / "fear.png"), 1),
        (str(folder / "happiness.png"), 2),
    ]
    assert set(lines[0]) == {"source", "t", "frame", "age_ms", "dropped", "detector", "faces", "ms"}
    assert list(lines[0]["ms"]) == ["capture", "detect", "crop", "classify", "total"]
    (face,) = lines[0]["faces"]
    assert (face["id"], face["box"]) == (0, [0, 0, 96, 96])
    assert list(face["probs"]) == list(EXPRESSIONS)
    assert face["stable"] is (face["label"] != "uncertain")
    assert finished.stderr.splitlines()[-1] == "1 of 3 images could not be read"


def test_run_finds_faces_with_the_bundled_detector_and_says_nothing_about_it(
    fer_edge: FerEdge, tiny: Path, folder: Path
) -> None:
    finished = fer_edge("run", "-m", tiny, "-s", folder / "fear.png", "--conf", 0.02, "--json")

    assert (finished.code, finished.stderr) == (0, "")
    face = json.loads(finished.stdout)["faces"][0]
    assert set(face["probs"]) == set(EXPRESSIONS)
    assert tuple(face["landmarks"]) == LANDMARK_NAMES


@pytest.mark.parametrize("choice", ["int8", "float16"])
def test_run_takes_the_form_of_the_detector_that_is_named(
    fer_edge: FerEdge, tiny: Path, folder: Path, choice: str
) -> None:
    command = ("run", "-m", tiny, "-s", folder / "fear.png", "--conf", 0.02, "--json")

    finished, by_file = (
        fer_edge(*command, *flags)
        for flags in (("--detector", choice), ("--detector-model", BUNDLED_DETECTORS[choice]))
    )

    assert (finished.code, finished.stderr) == (0, "")
    faces, others = (json.loads(one.stdout)["faces"] for one in (finished, by_file))
    assert faces == others != []


def test_run_takes_the_detector_that_is_named(fer_edge: FerEdge, tiny: Path, folder: Path, tmp_path: Path) -> None:
    model = read_detector(BUNDLED_DETECTORS["int8"])
    blind = tmp_path / "blind.tflite"
    write_detector(blind, model.flatbuffer, replace(model.contract, threshold=1.0), model.golden)

    command = ("run", "-m", tiny, "-s", folder / "fear.png", "--detector-model", blind, "--json")
    finished, told = fer_edge(*command), fer_edge(*command, "--conf", 0.02)

    assert json.loads(finished.stdout)["faces"] == []
    assert json.loads(told.stdout)["faces"]


def test_run_prints_a_short_line_for_people(fer_edge: FerEdge, tiny: Path, folder: Path) -> None:
    finished = fer_edge("run", "-m", tiny, "-s", folder / "happiness.png", "--detector", "none")

    assert finished.stdout.startswith(f"{folder / 'happiness.png'}: ")
    assert len(finished.stdout.splitlines()) == 1
    assert finished.stderr == ""


def test_run_saves_annotated_pictures_under_their_names(
    fer_edge: FerEdge, tiny: Path, folder: Path, tmp_path: Path
) -> None:
    finished = fer_edge("run", "-m", tiny, "-s", folder, "--detector", "none", "--save", tmp_path / "out")

    assert finished.code == 0
    assert names(tmp_path / "out") == ["fear.png", "happiness.png"]
    assert not np.array_equal(read_picture(tmp_path / "out" / "fear.png"), read_picture(folder / "fear.png"))


def test_run_tells_once_which_class_a_drawn_number_is(
    fer_edge: FerEdge, tiny: Path, folder: Path, tmp_path: Path
) -> None:
    model = read_model(tiny)
    contract = replace(model.contract, labels=("中立", "喜び", *model.contract.labels[2:]))
    write_model(tmp_path / "other.tflite", model.flatbuffer, contract, model.golden)

    finished = fer_edge(
        "run", "-m", tmp_path / "other.tflite", "-s", folder, "--detector", "none", "--save", tmp_path / "out"
    )

    assert finished.code == 0
    assert "in saved images, class 0 is 中立, class 1 is 喜び" in finished.stderr.splitlines()[0]
    assert finished.stderr.count("class 0 is") == 1


def test_run_never_saves_over_its_source(fer_edge: FerEdge, tiny: Path, folder: Path) -> None:
    before = (folder / "fear.png").read_bytes()

    finished = fer_edge("run", "-m", tiny, "-s", folder, "--detector", "none", "--save", folder)

    assert finished.code == 1
    assert "would be overwritten" in finished.stderr
    assert (folder / "fear.png").read_bytes() == before


def test_run_saves_every_second_frame_of_a_video(fer_edge: FerEdge, tiny: Path, video: Path, tmp_path: Path) -> None:
    finished = fer_edge(
        "run", "-m", tiny, "-s", video, "--detector", "none", "--vid-stride", 2, "--save", tmp_path / "out", "--json"
    )

    assert [json.loads(line)["t"] for line in finished.stdout.splitlines()] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    saved = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert (saved.get(cv2.CAP_PROP_FRAME_COUNT), saved.get(cv2.CAP_PROP_FPS)) == (6, 5)
    assert names(tmp_path / "out") == ["clip.mp4"]


def test_ctrl_c_leaves_a_complete_video(tiny: Path, tmp_path: Path) -> None:
    source, out = write_video(tmp_path / "long.mp4", [grey(0)] * 3000, 10), tmp_path / "out"
    arguments = ["run", "-m", str(tiny), "-s", str(source), "--detector", "none", "--save", str(out)]
    program = (  # a shell starts background jobs, such as these tests perhaps, deaf to Ctrl-C
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"from fer_edge.cli import app; app({arguments!r})"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        for _ in range(20):
            running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)

    assert running.returncode == 130
    assert errors.decode().splitlines()[-1] == "stopped"
    assert cv2.VideoCapture(str(next(out.iterdir()))).get(cv2.CAP_PROP_FRAME_COUNT) >= 19  # the line comes first
    assert [Path(name).stem for name in names(out)] == ["long"]


def test_a_reader_that_goes_away_ends_run_quietly(tiny: Path, video: Path) -> None:
    command = [sys.executable, "-m", "fer_edge", "run", "-m", str(tiny), "-s", str(video), "--detector", "none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        errors = running.stderr.read()
        running.wait(timeout=60)

    assert errors == b""


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    [
        (["--help"], (*HEAVY, "cv2", "numpy", "ai_edge_litert")),
        (["run", "--help"], (*HEAVY, "cv2", "numpy", "ai_edge_litert")),
        (["run", "-m", "{tiny}", "-s", "{folder}", "--json"], HEAVY),
    ],
)
def test_nothing_heavy_is_imported(tiny: Path, folder: Path, arguments: list[str], unwanted: tuple[str, ...]) -> None:
    typed = [argument.format(tiny=tiny, folder=folder) for argument in arguments]
    program = (
        "import sys\nfrom fer_edge.cli import app\n"
        f"try:\n    app({typed!r})\nfinally:\n"
        f"    sys.stderr.write(' '.join(sorted(set({unwanted!r}) & set(sys.modules))))"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.returncode == 0, finished.stderr
    assert (finished.stderr.splitlines() or [""])[-1] in ("", "1 of 3 images could not be read")


@pytest.mark.parametrize("command", ["run", "info", "selftest"])
def test_every_command_has_an_example(fer_edge: FerEdge, command: str) -> None:
    assert f"Example: fer-edge {command}" in fer_edge(command, "--help").stdout


@pytest.mark.parametrize(("closed", "told"), [(">&-", ""), ("2>&-", "happiness.png: "), (">&- 2>&-", "")])
def test_a_run_without_stdout_or_stderr_is_a_run(
    tiny: Path, picture: Path, tmp_path: Path, closed: str, told: str
) -> None:
    arguments = f"run -m {tiny} -s {picture} --detector none --csv {tmp_path / 'faces.csv'} {closed}"
    finished = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m fer_edge {arguments}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert finished.returncode == 0
    assert finished.stdout.startswith(str(picture) if told else "")
    assert finished.stderr == ""
    assert [line.count(",") for line in (tmp_path / "faces.csv").read_text().splitlines()] == [22, 22]


def test_a_second_ctrl_c_ends_at_once_and_not_in_a_traceback() -> None:
    program = (
        "import atexit, os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "import fer_edge.inspection.models\n"
        "from fer_edge.cli import app\n"
        "fer_edge.inspection.models.read_any = lambda path: os.kill(os.getpid(), signal.SIGINT)\n"
        "atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
        "app(['info'])"
    )

    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert finished.stderr == "stopped\n"
    assert finished.returncode == -signal.SIGINT
