"""What the live page knows without a viewer: figures over the last seconds, what is wrong, and Prometheus' text."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer_edge.contract import read_model
from fer_edge.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.preview.feeds import PICTURE_EVERY_S, Pictures
from fer_edge.preview.metrics import as_metrics
from fer_edge.preview.state import CHANGES_KEPT, About, State, about
from fer_edge.recognizer import Face
from fer_edge.sources import Frame
from fer_edge.watch import Event, Result

ABOUT = About("front door", "edge, int8", "Raspberry Pi 5", EXPRESSIONS)
GREY = np.full((48, 64, 3), 100, np.uint8)


def result(index: int = 0, frame_bgr: Pixels = GREY, **changes: object) -> Result:
    probabilities = dict.fromkeys(EXPRESSIONS, 0.0) | {"happiness": 1.0}
    face = Face((8, 8, 32, 32), "happiness", 1.0, probabilities, 0.9, id=3)
    frame = Frame("front door", index, index / 25, frame_bgr, 1.5, 0.0, None, 25.0)
    whole = Result(frame, [face], [], {"capture": 1.5, "detect": 2.0, "total": 3.5}, 7, 12.5)
    return replace(whole, **changes)


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_large_frame_is_made_smaller_before_it_is_sent() -> None:
    state = State()
    state.write(result(0, np.zeros((1080, 1920, 3), np.uint8)))
    newest = Pictures(state).newest()

    assert newest is not None
    assert cv2.imdecode(np.frombuffer(newest[1], np.uint8), cv2.IMREAD_COLOR).shape == (720, 1280, 3)


def test_a_film_that_runs_faster_than_anybody_sees_is_not_encoded_in_full() -> None:
    clock = Clock()
    state = State(clock=clock)
    pictures = Pictures(state)
    for index in range(100):
        state.write(result(index))
        pictures.newest()
        clock.now += PICTURE_EVERY_S / 9.5

    assert pictures.encoded == 10


def test_the_colours_are_those_of_the_boxes() -> None:
    colours = ABOUT.as_json()["colours"]

    assert (colours["happiness"], colours["contempt"]) == ("#f0e442", "#000000")
    assert list(colours) == list(EXPRESSIONS)


def test_about_names_source_model_and_machine(tiny: Path) -> None:
    told = about("camera 0", read_model(tiny))

    assert (told.source, told.labels) == ("camera 0", EXPRESSIONS)
    assert told.model.endswith(", int8")
    assert told.device


def test_a_camera_that_never_gave_a_frame_is_unhealthy_too() -> None:
    clock = Clock()
    state = State(stale_after_s=5, clock=clock)
    assert state.problem() is None

    clock.now += 12
    assert state.problem() == "no frame yet, 12 s after the start"
    state.write(result())
    assert state.problem() is None
    clock.now += 6
    assert state.problem() == "no new frame for 6 s"


def test_figures_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    state = State(clock=clock)
    state.write(result(0, ms={"detect": 1000.0}, age_ms=1000.0))
    clock.now += 60
    for index in range(10):
        clock.now += 0.05
        state.write(result(index, ms={"detect": 4.0 if index % 2 else 0.0}, age_ms=10.0 + index))

    assert state.status() == {
        "problem": None,
        "frames": 11,
        "dropped": 7,
        "fps": 20.0,
        "age_ms": 14.5,
        "ms": {"detect": 2.0},
    }
    clock.now += 1.85
    assert state.status()["fps"] == 4.0  # 9 gaps in 2.25 s: it falls while no frame comes
    clock.now += 10
    assert state.status()["fps"] == 0.0


def test_a_year_of_frames_needs_no_more_memory_than_a_minute() -> None:
    state = State()
    for index in range(2 * CHANGES_KEPT):
        state.write(result(index, events=[Event(0.0, index, None, "fear")]))

    assert [number for number, _ in state.changes(0)] == list(range(CHANGES_KEPT + 1, 2 * CHANGES_KEPT + 1))
    assert state.totals().changes == 2 * CHANGES_KEPT
    assert not any(isinstance(value, np.ndarray) for sample in state._window for value in vars(sample).values())


def test_every_metric_is_explained_once() -> None:
    lines = as_metrics(State(), replace(ABOUT, source='a "b"\\\n')).splitlines()
    explained = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    named = {re.sub(r"[{ ].*", "", line) for line in lines if not line.startswith("#")}

    assert len(explained) == len(set(explained))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= set(explained)
    assert 'fer_edge_info{source="a \\"b\\"\\\\\\n",model="edge, int8"} 1' in lines
