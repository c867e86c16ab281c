"""What the live page knows without a viewer: figures over the last seconds, what is wrong, and Prometheus' text."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_edge.labels import EXPRESSIONS
from fer_edge.model.contract import read_model
from fer_edge.preview.feeds import PICTURE_EVERY_S, Pictures
from fer_edge.preview.metrics import as_metrics
from fer_edge.preview.state import CHANGES_KEPT, PreviewState
from fer_edge.preview.state import about as about_run
from fer_edge.tracking.pipeline import Event
from support.one_result import result


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_large_frame_is_made_smaller_before_it_is_sent() -> None:
    state = PreviewState()
    state.write(result(0, np.zeros((1080, 1920, 3), np.uint8)))
    newest = Pictures(state).newest()

    assert newest is not None
    assert cv2.imdecode(np.frombuffer(newest[1], np.uint8), cv2.IMREAD_COLOR).shape == (720, 1280, 3)


def test_a_fast_video_is_not_encoded_in_full() -> None:
    clock = Clock()
    state = PreviewState(clock=clock)
    pictures = Pictures(state)
    for index in range(100):
        state.write(result(index))
        pictures.newest()
        clock.now += PICTURE_EVERY_S / 9.5

    assert pictures.encoded == 10


def test_the_colours_are_those_of_the_boxes(about: Any) -> None:
    colours = about.as_json()["colours"]

    assert (colours["happiness"], colours["contempt"]) == ("#f0e442", "#000000")
    assert list(colours) == list(EXPRESSIONS)


def test_about_names_source_model_and_machine(tiny: Path) -> None:
    told = about_run("camera 0", read_model(tiny))

    assert (told.source, told.labels) == ("camera 0", EXPRESSIONS)
    assert told.model.endswith(", int8")
    assert told.device


def test_a_camera_that_never_gave_a_frame_is_unhealthy_too() -> None:
    clock = Clock()
    state = PreviewState(stale_after_s=5, clock=clock)
    assert state.problem() is None

    clock.now += 12
    assert state.problem() == "no frame yet, 12 s after the start"
    state.write(result())
    assert state.problem() is None
    clock.now += 6
    assert state.problem() == "no new frame for 6 s"


def test_of_a_source_that_has_ended_the_last_figures_stay_but_nothing_is_up(about: Any) -> None:
    clock = Clock()
    state = PreviewState(clock=clock)
    for index in range(10):
        clock.now += 0.05
        state.write(result(index))
    state.close()
    at_the_end = state.status()
    clock.now += 3600

    assert state.status() == at_the_end
    assert (at_the_end["problem"], at_the_end["ended"]) == ("the source has ended", True)
    assert (at_the_end["fps"], at_the_end["age_ms"], at_the_end["frames"]) == (20.0, 12.5, 10)
    lines = as_metrics(state, about).splitlines()
    assert {"fer_edge_up 0", "fer_edge_frames_per_second 0.0", "fer_edge_last_frame_seconds 3600.0"} <= set(lines)


def test_figures_are_those_of_the_last_seconds() -> None:
    clock = Clock()
    state = PreviewState(clock=clock)
    state.write(result(0, ms={"detect": 1000.0}, age_ms=1000.0))
    clock.now += 60
    for index in range(10):
        clock.now += 0.05
        state.write(result(index, ms={"detect": 4.0 if index % 2 else 0.0}, age_ms=10.0 + index))

    assert state.status() == {
        "problem": None,
        "ended": False,
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
    state = PreviewState()
    for index in range(2 * CHANGES_KEPT):
        state.write(result(index, events=[Event(0.0, index, None, "fear")]))

    assert [number for number, _ in state.changes(0)] == list(range(CHANGES_KEPT + 1, 2 * CHANGES_KEPT + 1))
    assert state.totals().changes == 2 * CHANGES_KEPT
    assert not any(isinstance(value, np.ndarray) for sample in state._window for value in vars(sample).values())


def test_every_metric_is_explained_once(about: Any) -> None:
    lines = as_metrics(PreviewState(), replace(about, source='a "b"\\\n')).splitlines()
    explained = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    named = {re.sub(r"[{ ].*", "", line) for line in lines if not line.startswith("#")}

    assert len(explained) == len(set(explained))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= set(explained)
    assert 'fer_edge_info{source="a \\"b\\"\\\\\\n",model="edge, int8"} 1' in lines
