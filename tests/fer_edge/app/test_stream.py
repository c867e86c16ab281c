"""`fer_edge.stream`: the run loop as a Python program uses it."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fer_edge
from fer_edge.errors import FerEdgeError, SourceError, UsageError
from fer_edge.settings import TrackingSettings
from fer_edge.sources import Frame, Source, View


@pytest.fixture
def recognizer(tiny: Path) -> fer_edge.Recognizer:
    return fer_edge.Recognizer(tiny, detector="none")


class Camera:
    """A live source that notes when it is closed; it can be lost."""

    def __init__(self, *, lost: bool = False) -> None:
        self.opened = 0
        self.closed = threading.Event()
        self._lost = lost
        self.source = Source("camera 0", True, self._open)

    def _open(self) -> Iterator[Frame]:
        self.opened += 1
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        try:
            for index in range(1000):
                pixels, now = np.zeros((48, 64, 3), np.uint8), time.perf_counter()
                yield Frame("camera 0", index, index / 100, pixels, 0.0, now, None, 100)
                time.sleep(0.01)
                if self._lost and self.opened == 1 and index == 2:
                    raise SourceError("camera 0 gives no more frames")
        finally:
            self.closed.set()


def test_a_stream_gives_results_and_closes_its_source_when_it_is_closed(recognizer: fer_edge.Recognizer) -> None:
    camera = Camera()
    results = fer_edge.stream(camera.source, recognizer)
    assert camera.opened == 0  # before the first result is asked for

    first, second = next(results), next(results)
    results.close()

    assert camera.closed.wait(5)
    assert isinstance(first, fer_edge.Result)
    assert isinstance(first.faces[0], fer_edge.Face)
    assert second.frame.index > first.frame.index
    assert first.age_ms > 0
    assert not [thread for thread in threading.enumerate() if thread.name == "fer-edge camera 0"]


def test_leaving_the_loop_closes_the_source(recognizer: fer_edge.Recognizer) -> None:
    camera = Camera()
    for result in fer_edge.stream(camera.source, recognizer):
        assert result.frame.name == "camera 0"
        break

    assert camera.closed.wait(5)


def test_who_is_slow_sees_new_frames_and_how_many_were_dropped(recognizer: fer_edge.Recognizer) -> None:
    results = fer_edge.stream(Camera().source, recognizer)
    first = next(results)
    time.sleep(0.2)
    next(results)
    newest = next(results)
    results.close()

    assert newest.dropped > first.dropped
    assert newest.age_ms < 150


def test_a_camera_that_is_lost_is_told_as_a_warning_and_comes_back(
    recognizer: fer_edge.Recognizer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    camera = Camera(lost=True)
    results = fer_edge.stream(camera.source, recognizer)
    while camera.opened < 2:
        next(results)
    next(results)
    results.close()

    lost, back = [record.getMessage() for record in caplog.records if record.name == "fer_edge"]
    assert lost.startswith("camera 0 gives no more frames")
    assert back == "camera 0 is back"
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert tuple(capfd.readouterr()) == ("", "")


def test_streams_in_threads_of_their_own_do_not_meet(
    tiny: Path, video: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: dict[int, list[list[tuple[int | None, str]]]] = {}

    def watch(number: int) -> None:
        recognizer = fer_edge.Recognizer(tiny, detector="none")
        seen[number] = [
            [(face.id, face.label) for face in result.faces] for result in fer_edge.stream(str(video), recognizer)
        ]

    threads = [threading.Thread(target=watch, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(seen[0]) == 12
    assert seen[0] == seen[1] == seen[2]
    print("still there")  # loading turns stdout away for a moment, for the whole process
    assert capfd.readouterr().out == "still there\n"


@pytest.mark.parametrize(
    "fault", [lambda: fer_edge.stream("none.jpg"), lambda: fer_edge.stream("7", view=View(loop=True))]
)
def test_a_stream_of_nothing_is_an_error_at_once(fault: Callable[[], object]) -> None:
    with pytest.raises(FerEdgeError, match=r"none\.jpg|--loop"):
        fault()


def test_settings_of_a_stream_reach_those_who_follow(recognizer: fer_edge.Recognizer, video: Path) -> None:
    with pytest.raises(UsageError, match="--max-faces must be at least 1, not 0"):
        fer_edge.stream(str(video), recognizer, tracking=TrackingSettings(max_faces=0))
    turned = next(fer_edge.stream(str(video), recognizer, view=View(rotate=90), smooth=None))

    assert turned.faces[0].box == (0, 0, 240, 320)
    assert turned.faces[0].raw_label is None


def test_the_package_offers_what_it_says_and_nothing_else() -> None:
    for name in fer_edge.__all__:
        assert getattr(fer_edge, name)
    with pytest.raises(AttributeError, match="no attribute 'camera'"):
        fer_edge.camera  # noqa: B018


def test_stream_stays_the_function_whatever_is_imported() -> None:
    program = "import fer_edge.sources.reader, fer_edge.app.run, fer_edge\nassert callable(fer_edge.stream)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
