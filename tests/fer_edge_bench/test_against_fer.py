"""Comparison with PyPI `fer`: frames, counts and alternation; `fer` itself is not installed here."""

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


def annotated(faces: Any, labelled: Any = None, ignored: Any = None) -> Any:
    pixels = np.zeros((480, 640, 3), np.uint8)
    labelled, ignored = (boxes() if part is None else part for part in (labelled, ignored))
    return against_fer.AnnotatedFrame(pixels, faces, labelled, ignored)


def test_photos_are_tiled_with_their_boxes() -> None:
    wide = against_fer.AnnotatedFrame(np.full((100, 400, 3), 255, np.uint8), boxes((40, 20, 80, 60)), boxes(), boxes())
    tall = against_fer.AnnotatedFrame(np.full((480, 100, 3), 255, np.uint8), boxes((0, 0, 100, 480)), boxes(), boxes())

    frame = against_fer.tile([wide, tall, wide, tall], 2)

    assert frame.pixels.shape == (480, 640, 3)
    assert (frame.pixels[80:160, :320] == 255).all()
    assert (frame.pixels[:80, :320] == 128).all()
    assert frame.faces.tolist() == [[32, 96, 64, 48], [455, 0, 50, 240], [32, 336, 64, 48], [455, 240, 50, 240]]


def test_photos_that_do_not_fill_the_last_frame_are_skipped() -> None:
    assert len(against_fer.tile_all([annotated(boxes())] * 10, 3)) == 1
    assert len(against_fer.tile_all([annotated(boxes())] * 3, 2)) == 0


def test_a_face_is_counted_once_and_ignored_regions_never() -> None:
    frame = annotated(boxes((0, 0, 50, 50), (100, 0, 50, 50)), boxes((0, 0, 50, 50)), boxes((200, 0, 50, 50)))
    found = [[0, 0, 50, 50], [2, 2, 50, 50], [200, 0, 50, 50], [400, 0, 50, 50]]

    assert against_fer.count_detections([frame], [{"boxes": found}]) == {"found": 1, "found_of_own": 1, "false": 2}
    assert against_fer.count_detections([frame], [{"boxes": []}]) == {"found": 0, "found_of_own": 0, "false": 0}


def test_ratios_are_paired() -> None:
    pairs = [({"ms": 1.0}, {"ms": 10.0}), ({"ms": 2.0}, {"ms": 100.0}), ({"ms": 9.0}, {"ms": 99.0})]

    row = against_fer.compare("times_faster", pairs, ("a", "b"), "ms")

    assert row["ms"] == {"a": 2.0, "b": 99.0}
    assert row["times_faster"]["p50"] == 11.0
    assert against_fer.goals(row | {"times_the_faces": 2.5}) == {"times_faster": False, "times_the_faces": True}


def test_two_workers_process_the_same_frames() -> None:
    frames = [annotated(boxes((0, 0, 1, 1))) for _ in range(2)] + [
        against_fer.AnnotatedFrame(pixels, boxes((0, 0, 640, 480)), boxes(), boxes()) for pixels, _ in clip(2)
    ]

    row = against_fer.compare_frames("fer-edge", "fer-edge-tracking", sys.executable, frames)

    assert row["frames"] == row["times_faster"]["n"] == 4
    assert 0.05 < row["times_faster"]["p50"] < 20
    assert all(20 < peak < 1000 for peak in row["peak_mb"].values())
    assert row["found"]["fer-edge"]["false"] == row["found"]["fer-edge-tracking"]["false"] > 0


def test_startup_is_measured_in_a_fresh_process() -> None:
    row = against_fer.compare_startup(sys.executable, "fer-edge-tracking", annotated(boxes()), 2)

    assert row["times_sooner"]["n"] == 2
    assert all(0.01 < seconds < 60 for seconds in row["since_start_s"].values())


def test_a_worker_that_exits_is_an_error_with_a_command(tmp_path: Path) -> None:
    (tmp_path / "frames.bin").touch()
    with (
        against_fer.Worker(sys.executable, "no such library", tmp_path / "frames.bin") as worker,
        pytest.raises(BenchmarkError, match="to see why: echo 0"),
    ):
        worker.detect(0)


def test_non_maximum_suppression() -> None:
    corners = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [0, 5, 10, 15], [50, 50, 60, 60]], np.float32)

    assert fer_worker.non_maximum_suppression(corners, np.array([0.5, 0.9, 0.8, 0.1]), 0.7) == [1, 2, 3]
    assert fer_worker.non_maximum_suppression(corners, np.array([0.5, 0.9, 0.8, 0.1]), 0.2) == [1, 3]
    assert fer_worker.non_maximum_suppression(corners[:0], np.zeros(0), 0.7) == []
