import json
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_edge.demo import loop
from fer_edge.demo.dataset import write_clip, write_faces
from fer_edge.demo.pictures import annotated_frames, face_sheet
from fer_edge.demo.report import write_report
from fer_edge.demo.results import VideoSummary, read_lines, summarise_video
from fer_edge.demo.steps import DemoSettings, Ran, Step, run_step, steps
from fer_edge.errors import DataError, FerEdgeError, SourceError
from fer_edge.imaging.images import write_picture
from fer_edge.labels import EXPRESSIONS


def figures(accuracy: float) -> dict[str, object]:
    return {"n": 8, "accuracy": accuracy, "balanced_accuracy": accuracy, "macro_f1": accuracy}


def write_json(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def finished(tmp_path: Path) -> DemoSettings:
    """A demo whose commands have all run, with made-up answers."""
    settings = DemoSettings(tmp_path / "<demo>", photos=(tmp_path / "me.jpg",), per_class=2)
    out, per_class = settings.out, {name: {"n": 1, "recall": 1.0} for name in EXPRESSIONS}
    write_faces(out / "drawn", 2)
    write_clip(out / "clip.mp4", out / "clip_drawn.jsonl", frames=6)
    grey = np.full((48, 64, 3), 128, np.uint8)
    write_picture(out / "annotated" / "frame.png", grey)
    write_picture(out / "photo1" / "me.jpg", grey)
    for plot in (settings.run / "history.png", out / "evaluate" / "drawn" / "confusion_matrix.png"):
        write_picture(plot, grey)
    write_json(out / "prepare.json", {"total": 16, "faces": {"training": dict.fromkeys(EXPRESSIONS, 2)}})
    write_json(settings.run / "config.json", {"network": {"parameters": 861_000}})
    write_json(settings.run / "metrics.json", {"epochs": 3, "best_epoch": 2, "validation": {"accuracy": 0.625, "n": 8}})
    write_json(out / "evaluate.json", {**figures(0.875), "per_class": per_class})
    changes = {name: {"n": 1, "float32": 1.0, "int8": 0.5, "change": -0.5} for name in EXPRESSIONS}
    write_json(
        settings.run / "export" / "export_report.json",
        {
            "comparison": {
                "n": 8, "drop": 0.125, "agreement": 0.75, "per_class": changes,
                "float32": figures(0.875), "int8": figures(0.75),
            },
            "gate": {"max_drop": 0.2, "passed": True},
            "calibration": {"faces": 12},
            "files": {"float32": {"bytes": 3_456_000}, "int8": {"bytes": 987_000}},
            "made_with": {"keras": "3.15.0"},
        },
    )  # fmt: skip
    row = {"n": 5, "p50": 1.5, "p90": 2.5, "p99": 3.5}
    write_json(
        out / "benchmark.json",
        {
            "ms": {"detect": row, "classify": {**row, "p50": 0.4}, "classify_float": {"n": 0}},
            "machine": {"board": None, "cpu": "Abacus & Sons", "cores": 2},
            "threads": 1,
            "model": {"recipe": "int8"},
            "memory_mb": 99.5,
        },
    )
    stage = {"name": "crop", "worst": 1.0, "allowed": 1, "passed": True}
    write_json(out / "selftest.json", {"frames": 16, "stages": [stage]})
    write_json(out / "clip.jsonl", {"faces": []})
    write_json(out / "photo1.jsonl", {"faces": [{"label": "happiness", "score": 0.91, "box": [0, 0, 9, 9]}]})
    return settings


class Page(HTMLParser):
    """Collects what the report holds, and whether every element that opens also closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(settings: DemoSettings) -> Page:
    path = write_report(settings, [Ran(step, 61.0) for step in steps(settings)], 754.0)
    page = Page()
    page.feed(path.read_text())
    assert page.open == []
    return page


def test_the_demo_runs_the_commands_in_the_order_in_which_a_user_would(tmp_path):
    commands = [step.arguments[0] for step in steps(DemoSettings(tmp_path, photos=(Path("a.jpg"), Path("b.jpg"))))]
    assert commands == ["prepare", "train", "evaluate", "export", "selftest", "benchmark", "run", "run", "run"]


def test_a_command_is_shown_as_it_would_be_typed():
    prepare = steps(DemoSettings(Path("my demo")))[0]
    assert prepare.command == (
        "fer-edge prepare --data 'my demo/drawn' --out 'my demo/master_data' --json > 'my demo/prepare.json'"
    )


def test_photos_are_for_the_bundled_model():
    photo = steps(DemoSettings(Path("demo"), photos=(Path("me.jpg"),)))[-1]
    assert "--model" not in photo.arguments
    assert "me.jpg" in photo.arguments


def test_a_step_runs_fer_edge_and_keeps_its_answer(tmp_path):
    step = Step("version", "Version", "Tells its version.", ("--version",), tmp_path / "version.txt")
    assert run_step(step).seconds > 0
    assert step.answer.read_text().startswith("fer-edge ")


def test_a_step_that_fails_ends_the_demo_with_its_exit_code_and_names_the_command(tmp_path):
    step = Step("bad", "Bad", "Cannot work.", ("nonsense",), tmp_path / "answer")
    with pytest.raises(FerEdgeError, match="exit code 2; to run it again, type: fer-edge nonsense") as caught:
        run_step(step)
    assert caught.value.exit_code == 2
    assert not step.answer.exists()


def test_missing_training_packages_are_told_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.importlib.util, "find_spec", lambda name: None if name == "tensorflow" else object())
    with pytest.raises(FerEdgeError, match=r"tensorflow is not installed.*\[train\]"):
        loop.demo(DemoSettings(tmp_path / "demo"))
    assert not (tmp_path / "demo").exists()


def test_a_missing_photo_is_told_before_anything_starts(tmp_path):
    with pytest.raises(SourceError, match=r"missing\.jpg: no such image"):
        loop.check_before(DemoSettings(tmp_path / "demo", photos=(tmp_path / "missing.jpg",)))


def test_a_photo_that_is_none_is_told_before_anything_starts(tmp_path):
    (tmp_path / "letter.jpg").write_text("dear")
    with pytest.raises(DataError, match="not an image"):
        loop.check_before(DemoSettings(tmp_path / "demo", photos=(tmp_path / "letter.jpg",)))


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(FerEdgeError, match="already exists"):
        loop.check_before(DemoSettings(tmp_path))


def test_the_default_folder_is_the_first_free_one(tmp_path):
    assert loop.free_folder(tmp_path / "demo") == tmp_path / "demo"
    (tmp_path / "demo").mkdir()
    assert loop.free_folder(tmp_path / "demo") == tmp_path / "demo2"


def test_class_folders_hold_one_drawn_face_per_seed(tmp_path):
    write_faces(tmp_path, per_class=3)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(EXPRESSIONS)
    pictures = [path.read_bytes() for path in sorted(tmp_path.rglob("*.png"))]
    assert len(pictures) == len(set(pictures)) == 24
    assert face_sheet(tmp_path).shape == (8 * 64, 3 * 64, 3)


def test_the_video_can_be_read_back_with_its_labels(tmp_path):
    write_clip(tmp_path / "clip.mp4", tmp_path / "drawn.jsonl", frames=6)
    capture = cv2.VideoCapture(str(tmp_path / "clip.mp4"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 6
    assert [len(frame["faces"]) for frame in read_lines(tmp_path / "drawn.jsonl")] == [1, 1, 2, 2, 2, 2]
    assert [frame.shape for frame in annotated_frames(tmp_path, 3)] == [(480, 640, 3)] * 3


def test_a_folder_without_annotated_pictures_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no annotated video"):
        annotated_frames(tmp_path, 3)


def test_the_video_is_evaluated_face_by_face():
    box, elsewhere = [10, 10, 20, 20], [300, 10, 20, 20]
    truth = [
        {"faces": [{"expression": "fear", "box": box}]},
        {"faces": [{"expression": "anger", "box": box}]},
        {"faces": [{"expression": "fear", "box": box}]},
    ]
    answers = [
        {"faces": [{"label": "fear", "box": box}, {"label": "anger", "box": elsewhere}]},
        {"faces": [{"label": "uncertain", "box": box}]},
        {"faces": [{"label": "fear", "box": elsewhere}]},
    ]
    assert summarise_video(answers, truth) == VideoSummary(frames=3, drawn=3, found=2, right=1, uncertain=1)


def test_damaged_answers_are_an_error(tmp_path):
    (tmp_path / "clip.jsonl").write_text("{}\n{")
    with pytest.raises(DataError, match="cannot read it"):
        read_lines(tmp_path / "clip.jsonl")


def test_the_report_shows_the_figures_that_the_commands_left(finished):
    text = read_page(finished).text
    for shown in (
        "75.0%",
        "987 KB",
        "0.4 ms",
        "62.5%",
        "861,000",
        "12.5 points",
        "12:34 min",
        "1:01 min",
        "Abacus & Sons",
        "happiness",
        "91%",
    ):
        assert shown in text


def test_the_report_shows_every_command(finished):
    text = read_page(finished).text
    for step in steps(finished):
        assert step.command in text


def test_the_report_says_that_the_faces_are_drawings(finished):
    assert "These are drawings" in read_page(finished).text


def test_the_report_needs_nothing_but_itself(finished):
    page = read_page(finished)
    assert len(page.sources) > 5
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "script" not in page.open


def test_a_report_without_an_answer_of_a_command_is_an_error(finished):
    (finished.out / "benchmark.json").unlink()
    with pytest.raises(DataError, match=r"benchmark\.json"):
        write_report(finished, [], 0.0)


@pytest.mark.tensorflow
def test_the_demo_runs_to_the_end(tmp_path):
    settings = DemoSettings(tmp_path / "demo", epochs=1, per_class=20, max_drop=1.0)
    answer = loop.demo(settings)
    assert [step["command"].split()[1] for step in answer["steps"]] == [
        "prepare", "train", "evaluate", "export", "selftest", "benchmark", "run",
    ]  # fmt: skip
    assert Path(answer["report"]).stat().st_size < 3_000_000
    assert (settings.out / "picture.png").stat().st_size < 150_000
