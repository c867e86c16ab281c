"""source -> faces -> expressions -> sinks: `fer-edge run`, and the same loop for Python, `fer_edge.stream`."""

import logging
import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import cv2

from fer_edge.blur import Blur
from fer_edge.classify import BUNDLED
from fer_edge.console import console, warn
from fer_edge.contract import ModelFile, read_model
from fer_edge.detect import Choice, make_detector
from fer_edge.draw import legend
from fer_edge.errors import needs
from fer_edge.live import Direct, Live, frames
from fer_edge.recognizer import Recognizer
from fer_edge.sinks import Sink
from fer_edge.sinks.background import Background
from fer_edge.sinks.command import OnChange
from fer_edge.sinks.lines import Lines
from fer_edge.sinks.saver import Saver
from fer_edge.sinks.several import Several
from fer_edge.sinks.table import Table
from fer_edge.smooth import CALM, SmoothSettings
from fer_edge.sources import Source, View, find_source, masked
from fer_edge.watch import USUAL, FollowSettings, Result, Watcher


@dataclass(frozen=True)
class PreviewSettings:
    """What the live page may be told."""

    host: str = "127.0.0.1"
    port: int | None = None
    """None for the usual one; 0 for any that is free."""
    token: str | None = None
    """What viewers have to bring; where one is needed and None is given, one is made."""
    show: bool = False
    """Open it in this machine's browser."""


@dataclass(frozen=True)
class RunSettings:
    """What `fer-edge run` may be told."""

    model: Path | None = None
    """None for the model that comes with fer-edge."""
    source: str = "0"
    view: View = field(default_factory=View)
    """How frames are asked for."""
    detector: Choice = "auto"
    detector_model: Path | None = None
    """None for the detector that comes with fer-edge."""
    conf: float | None = None
    """Score, 0 to 1, from which on something counts as a face; None for the detector's own."""
    threads: int = 1
    """For detector, classifier and OpenCV."""
    follow: FollowSettings = USUAL
    smooth: SmoothSettings | None = CALM
    """None for each frame by itself."""
    blur: bool = False
    """Hide faces in all that is shown or saved."""
    save: Path | None = None
    """Folder for annotated pictures or video."""
    csv: Path | None = None
    on_change: str | None = None
    """Command to run when an expression changes."""
    mqtt: str | None = None
    """Address of a broker."""
    mqtt_topic: str | None = None
    """None for fer-edge/HOSTNAME."""
    preview: PreviewSettings | None = None
    """None for no live page."""


def run(settings: RunSettings, *, json: bool = False) -> bool:
    """Go through a source, and print a line per frame on stdout: for people, or JSON. SIGTERM ends it well.

    Returns:
        Whether every sink got everything; what went wrong has been told.

    Raises:
        FerEdgeError: Model, detector or source cannot be had, or nothing can be written.
    """
    cv2.setNumThreads(settings.threads)
    source = find_source(settings.source, settings.view)
    model = read_model(settings.model or BUNDLED)
    detector = make_detector(settings.detector, settings.detector_model, settings.conf, settings.threads)
    watcher = Watcher(Recognizer(model, detector, settings.threads), settings.follow, settings.smooth)
    sinks = Several(warn, live=source.live)
    tally = Tally()
    saver = None
    try:
        with ended_by_sigterm(), frames(source, console.print) as reading, closing(sinks):
            saver = _open_sinks(settings, source, model, sinks, json=json)
            blur = Blur() if settings.blur else None
            for result in results(reading, watcher):
                sinks.write(blur.step(result) if blur else result)
                tally.add(result)
    except KeyboardInterrupt:
        tally.tell(watcher, saver, sinks)
        raise
    tally.tell(watcher, saver, sinks)
    return not sinks.failed


def stream(
    source: str | Source = "0",
    recognizer: Recognizer | None = None,
    *,
    view: View | None = None,
    follow: FollowSettings = USUAL,
    smooth: SmoothSettings | None = CALM,
    tell: Callable[[str], None] | None = None,
) -> Generator[Result, None, None]:
    """Watch a source: what `fer-edge run` does, as a generator. Closing it, or leaving its loop, closes the source.

    A live source is read in a thread of its own, the newest frame wins, and one that is lost is opened again for as
    long as the loop lasts. The generator belongs to one thread; for several sources, each thread has a stream and a
    recognizer of its own. Results never change and may be handed to any thread.

    >>> recognizer = Recognizer("tests/data/tiny.tflite", detector="none")  # a real one: Recognizer()
    >>> for result in stream("fake", recognizer):
    ...     print(result.frame.index, len(result.faces), result.dropped)
    ...     if result.frame.index == 2:
    ...         break
    0 1 0
    1 1 0
    2 1 0

    Args:
        source: As --source of `fer-edge run`, or a `fer_edge.sources.Source` of your own.
        recognizer: That nobody else uses meanwhile; None for one with the bundled models.
        view: How frames are asked for: size, rate, rotation ...
        follow: Which faces are followed, and how often they are looked for.
        smooth: How calm an expression is; None for each frame by itself.
        tell: Is given a line when a live source is lost, and one when it is back, in another thread; None for a
            warning of the logger "fer_edge".

    Raises:
        FerEdgeError: At once, where there is no such source or a setting makes no sense; from the generator, where it
            cannot be opened or read on.
    """
    found = find_source(source, view) if isinstance(source, str) else source
    watcher = Watcher(recognizer or Recognizer(), follow, smooth)
    return _streamed(found, watcher, tell or logging.getLogger("fer_edge").warning)


def _streamed(source: Source, watcher: Watcher, tell: Callable[[str], None]) -> Generator[Result, None, None]:
    with frames(source, tell) as reading:
        yield from results(reading, watcher)


def results(reading: Live | Direct, watcher: Watcher) -> Iterator[Result]:
    """Look at every frame that is read."""
    for frame in reading:
        yield watcher.step(frame, reading.dropped)


class Tally:
    """What a run came to. Pictures are not counted: each has its line."""

    def __init__(self) -> None:
        self._first = self._last = 0.0
        self._frames = self._faces = self._dropped = 0

    def add(self, result: Result) -> None:
        """Count one result."""
        if result.frame.fps is None:
            return
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self._frames += 1
        self._faces += sum(event.before is None and event.after is not None for event in result.events)
        self._dropped = result.dropped

    def tell(self, watcher: Watcher, saver: Saver | None, sinks: Several) -> None:
        """Say it in a line, what a budget came to in another, and what was saved in a third."""
        if self._frames:
            rate = f", {(self._frames - 1) / (self._last - self._first):.1f} per second" if self._frames > 1 else ""
            console.print(f"{self._frames} frames{rate}, {self._dropped} dropped; {self._faces} faces")
            if watcher.pace:
                console.print(watcher.pace.text)
        if saver and "--save" not in sinks.failed:
            count = len(saver.written)
            console.print(f"wrote {count} {'file' if count == 1 else 'files'} to {saver.folder}")


class _Terminated(BaseException):
    """SIGTERM came; like KeyboardInterrupt, it is nobody's to catch."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C would, but as something that was asked for. For the main thread only."""

    def end(number: int, stack: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not disturb what is being finished
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Terminated:
        console.print("stopped")
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _open_sinks(settings: RunSettings, source: Source, model: ModelFile, sinks: Several, *, json: bool) -> Saver | None:
    """Open what was asked for; the files that are saved are known to the Saver that is returned."""
    labels, saver = model.contract.labels, None

    def add_slow(name: str, sink: Sink) -> None:
        sinks.add(name, Background(sink) if source.live else sink)  # what is no camera can wait

    if (settings.save or settings.preview) and (told := legend(labels)):
        console.print(f"OpenCV draws ASCII letters only; in what is saved, {told}")
    add_slow("stdout", Lines(json=json))
    if settings.save:
        saver = Saver(settings.save, settings.view.stride)
        add_slow("--save", saver)
    if settings.csv:
        add_slow("--csv", Table(settings.csv, labels))
    if settings.on_change is not None:
        sinks.add("--on-change", OnChange(settings.on_change, warn))
    if settings.mqtt is not None:
        sinks.add("--mqtt", _open_mqtt(settings.mqtt, settings.mqtt_topic, model))
    if settings.preview:
        sinks.add("--preview", _open_preview(settings.preview, source, model))
    return saver


def _open_mqtt(address: str, topic: str | None, model: ModelFile) -> Sink:
    with needs("mqtt"):
        from fer_edge.sinks.mqtt import Mqtt, parsed_broker, usual_topic
    name = model.contract.network.get("name", model.path.stem)
    return Mqtt(parsed_broker(address), topic or usual_topic(), model.contract.labels, console.print, name)


def _open_preview(settings: PreviewSettings, source: Source, model: ModelFile) -> Sink:
    with needs("preview"):
        from fer_edge.preview.server import PORT, Preview, show
        from fer_edge.preview.state import about
    port = PORT if settings.port is None else settings.port
    preview = Preview(about(source.name, model), settings.host, port, settings.token)
    # A token of the user's is known to them, and stays out of logs; one that was made must be told.
    console.print(f"live page: {masked(preview.address) if settings.token else preview.address}")
    if settings.show and not show(preview.address):
        console.print("there is no browser on this machine; open the page on another one, or through ssh -L")
    return preview
