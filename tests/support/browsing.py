"""Helpers for the live page in a real browser. They need the extra [preview], Playwright and Chromium."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.recognition.recognizer import Face
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Event, Result

pytest.importorskip("starlette", reason="needs the extra [preview]: pip install '.[preview]'")
pytest.importorskip("uvicorn", reason="needs the extra [preview]: pip install '.[preview]'")
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from fer_edge.preview.server import Preview

Start = Callable[..., Preview]
Visit = Callable[..., Any]

PHONE, LAPTOP, NARROW = {"width": 390, "height": 844}, {"width": 1280, "height": 800}, {"width": 360, "height": 640}
BLACK, WHITE = np.zeros((240, 320, 3), np.uint8), np.full((240, 320, 3), 255, np.uint8)
_numbers = itertools.count()


def face(number: int = 0, label: str = "happiness", score: float = 0.83, side: int = 60) -> Face:
    rest = dict.fromkeys(EXPRESSIONS, (1 - score) / 7)
    return Face((40, 40, side, side), label, score, rest | {label: score}, 0.9, id=number)


def result(*faces: Face, frame_bgr: Pixels = BLACK, events: list[Event] | None = None) -> Result:
    index = next(_numbers)
    frame = Frame("front door", index, index / 20, frame_bgr, 4.0, 0.0, None, 20.0)
    ms = {"capture": 4.0, "detect": 2.0, "classify": 1.0, "total": 7.0}
    return Result(frame, list(faces), events or [], ms, 12, 23.0)


@contextmanager
def fed(preview: Preview, *results: Result) -> Iterator[None]:
    """Send the results to the page in a loop, twenty per second."""
    stop = threading.Event()

    def feed() -> None:
        for one in itertools.cycle(results):
            if stop.wait(0.05):
                return
            preview.write(one)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def state(page: Any, text: str) -> None:
    """Wait until the page's status contains `text`."""
    page.locator("#state", has_text=text).wait_for()


def see_picture(page: Any) -> None:
    """Wait until the first picture of the stream is shown."""
    deadline = time.monotonic() + 8
    while page.evaluate("document.getElementById('picture').naturalWidth") != 320:
        assert time.monotonic() < deadline, "no picture"
        page.wait_for_timeout(20)
