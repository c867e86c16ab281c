"""fer-edge beside PyPI `fer`: frames, counting and turns; `fer` itself is not installed here."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.errors import BenchmarkError
from fer_edge.synthetic.render import clip
from studies.speed import against_fer, fer_worker


def boxes(*rows: tuple[float, float, float, float]) -> Any:
    return np.array(rows, np.float32).reshape(-1, 4)


def shown(faces: Any, own: Any = None, doubtful: Any = None) -> Any:
    pixels = np.zeros((480, 640, 3), np.uint8)
    return against_fer.Shown(pixels, faces, boxes() if own is None else own, boxes() if doubtful is None else doubtful)


def test_photos_stand_side_by_side_with_their_boxes() -> None:
    wide = against_fer.Shown(np.full((100, 400, 3), 255, np.uint8), boxes((40, 20, 80, 60)), boxes(), boxes())
    tall = against_fer.Shown(np.full((480, 100, 3), 255, np.uint8), boxes((0, 0, 100, 480)), boxes(), boxes())

    frame = against_fer.tiled([wide, tall, wide, tall], 2)

    assert frame.pixels.shape == (480, 640, 3)
    assert (frame.pixels[80:160, :320] == 255).all()
    assert (frame.pixels[:80, :320] == 128).all()
    assert frame.faces.tolist() == [[32, 96, 64, 48], [455, 0, 50, 240], [32, 336, 64, 48], [455, 240, 50, 240]]


def test_what_does_not_fill_the_last_frame_is_left_out() -> None:
    assert len(against_fer.frames_of([shown(boxes())] * 10, 3)) == 1
    assert len(against_fer.frames_of([shown(boxes())] * 3, 2)) == 0


def test_a_face_counts_once_and_what_lies_on_a_doubtful_one_never() -> None:
    frame = shown(boxes((0, 0, 50, 50), (100, 0, 50, 50)), boxes((0, 0, 50, 50)), boxes((200, 0, 50, 50)))
    found = [[0, 0, 50, 50], [2, 2, 50, 50], [200, 0, 50, 50], [400, 0, 50, 50]]

    assert against_fer.counted([frame], [{"boxes": found}]) == {"found": 1, "found_of_own": 1, "false": 2}
    assert against_fer.counted([frame], [{"boxes": []}]) == {"found": 0, "found_of_own": 0, "false": 0}


def test_a_ratio_is_taken_pair_by_pair() -> None:
    pairs = [({"ms": 1.0}, {"ms": 10.0}), ({"ms": 2.0}, {"ms": 100.0}), ({"ms": 9.0}, {"ms": 99.0})]

    row = against_fer.compared("times_faster", pairs, ("a", "b"), "ms")

    assert row["ms"] == {"a": 2.0, "b": 99.0}
    assert row["times_faster"]["p50"] == 11.0
    assert against_fer.goals(row | {"times_the_faces": 2.5}) == {"times_faster": False, "times_the_faces": True}


def test_two_workers_look_at_the_same_frames() -> None:
    frames = [shown(boxes((0, 0, 1, 1))) for _ in range(2)] + [
        against_fer.Shown(pixels, boxes((0, 0, 640, 480)), boxes(), boxes()) for pixels, _ in clip(2)
    ]

    row = against_fer.frame_by_frame("fer-edge", "fer-edge-follow", sys.executable, frames)

    assert row["frames"] == row["times_faster"]["n"] == 4
    assert 0.05 < row["times_faster"]["p50"] < 20
    assert all(20 < peak < 1000 for peak in row["peak_mb"].values())
    assert row["found"]["fer-edge"]["false"] == row["found"]["fer-edge-follow"]["false"] > 0


def test_a_start_is_a_fresh_process() -> None:
    row = against_fer.started(sys.executable, "fer-edge-follow", shown(boxes()), 2)

    assert row["times_sooner"]["n"] == 2
    assert all(0.01 < seconds < 60 for seconds in row["since_start_s"].values())


def test_a_worker_that_ends_is_told_with_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "frames.bin").touch()
    with (
        against_fer.Worker(sys.executable, "no such library", tmp_path / "frames.bin") as worker,
        pytest.raises(BenchmarkError, match="see why: echo 0"),
    ):
        worker.ask(0)


def test_boxes_that_overlap_too_much_are_dropped_worst_first() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 5, 10, 15], [50, 50, 60, 60]], np.float32)

    assert fer_worker.best(corners, np.array([0.5, 0.9, 0.8, 0.1]), 0.7) == [1, 2, 3]
    assert fer_worker.best(corners, np.array([0.5, 0.9, 0.8, 0.1]), 0.2) == [1, 3]
    assert fer_worker.best(corners[:0], np.zeros(0), 0.7) == []
