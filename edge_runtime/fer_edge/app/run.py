"""`fer-edge run` (source -> faces -> expressions -> sinks), and the same loop in Python, `fer_edge.stream`."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType

import cv2

from fer_edge.console import console, warn
from fer_edge.detection.detector import make_detector
from fer_edge.errors import UsageError, needs
from fer_edge.model.contract import ModelFile, read_model
from fer_edge.native_logs import quiet
from fer_edge.recognition.classifier import BUNDLED
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.settings import DEFAULT_TRACKING, RunSettings, TrackingSettings, View
from fer_edge.sinks import Sink
from fer_edge.sinks.annotate import legend
from fer_edge.sinks.blur import Blur
from fer_edge.sinks.csv_file import CsvSink
from fer_edge.sinks.fan_out import FanOut
from fer_edge.sinks.mqtt_broker import default_topic, parsed_broker
from fer_edge.sinks.on_change import OnChange
from fer_edge.sinks.stdout import StdoutSink
from fer_edge.sinks.threaded import ThreadedSink
from fer_edge.sinks.video import AnnotatedWriter
from fer_edge.sources import Source, find_source, logged, redact
from fer_edge.sources.frame import Log
from fer_edge.sources.playback import paced
from fer_edge.sources.reader import LiveReader, SequentialReader, frames
from fer_edge.tracking.pipeline import Pipeline, Result
from fer_edge.tracking.smoothing import DEFAULT_SMOOTHING, SmoothingSettings


def run(settings: RunSettings, *, json: bool = False) -> bool:
    """Process a source, and print one line per frame on stdout, text or JSON. SIGTERM ends it cleanly.

    With a live page, a video file plays at its own frame rate without dropping frames, and the page stays after its
    end until SIGTERM or Ctrl-C.

    Returns:
        Whether no sink failed; failures are reported.

    Raises:
        FerEdgeError: Model, detector or source cannot be opened, or the output cannot be written.
    """
    cv2.setNumThreads(settings.threads)
    source = _find_source(settings)
    model = read_model(settings.model or BUNDLED)
    if settings.uncertain_below is not None:
        model = replace(model, contract=replace(model.contract, uncertain_below=settings.uncertain_below))
    tracking = settings.tracking
    if settings.blur and tracking.detect_every is None:  # a face that appears between two detections would be visible
        tracking = replace(tracking, detect_every=1)
    with quiet():
        detector = make_detector(settings.detector, settings.detector_model, settings.conf, settings.threads)
        recognizer = Recognizer(model, detector, settings.threads)
    pipeline = Pipeline(recognizer, tracking, DEFAULT_SMOOTHING if settings.smooth else None)
    if pipeline.input_size_note:
        console.print(pipeline.input_size_note)
    sinks = FanOut(warn, live=source.live)
    tally = RunSummary()
    writer = None
    with ended_by_sigterm(), ExitStack() as page:
        try:
            with frames(source, console.print) as reading, closing(sinks):
                writer = _open_sinks(settings, source, model, sinks, page, json=json)
                blur = Blur() if settings.blur else None
                for result in results(reading, pipeline):
                    sinks.write(blur.step(result) if blur else result)
                    tally.add(result)
        except (KeyboardInterrupt, _Terminated):
            tally.report(pipeline, writer, sinks)
            raise
        tally.report(pipeline, writer, sinks)
        if settings.page and settings.source != "-" and (settings.view.realtime or not source.live):
            console.print("the source has ended; the live page stays until Ctrl-C")
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return not sinks.failed


def _find_source(settings: RunSettings) -> Source:
    """Find the source of the settings.

    Raises:
        FerEdgeError: There is no such source, or an option does not apply to it.
    """
    source = find_source(settings.source, settings.view, console.print)
    if settings.on_change is not None and source.still:
        raise UsageError("--on-change does not apply to images; remove it, and use --json")
    if settings.page and not source.live:  # play a video at its frame rate
        return replace(source, open=lambda: paced(source.open()))
    return source


def stream(
    source: str | int | Path | Source = "0",
    recognizer: Recognizer | None = None,
    *,
    view: View | None = None,
    tracking: TrackingSettings = DEFAULT_TRACKING,
    smooth: SmoothingSettings | None = DEFAULT_SMOOTHING,
    log: Log = logged,
) -> Generator[Result, None, None]:
    """Process a source like `fer-edge run`, as a generator. Closing it, or leaving its loop, closes the source.

    A live source is read in its own thread, which keeps the newest frame and reopens a lost source. Use the generator
    in one thread; for several sources, give each thread its own stream and recognizer. Results are immutable and may
    be passed to any thread.

    >>> recognizer = Recognizer("tests/data/tiny.tflite", detector="none")  # a real one: Recognizer()
    >>> for result in stream("fake", recognizer):
    ...     print(result.frame.index, len(result.faces), result.dropped)
    ...     if result.frame.index == 2:
    ...         break
    0 1 0
    1 1 0
    2 1 0

    Args:
        source: As --source of `fer-edge run`, the number of a camera, or a `fer_edge.sources.Source` of your own.
        recognizer: Not used elsewhere meanwhile; None for one with the bundled models.
        view: How frames are asked for: size, rate, rotation ...
        tracking: Which faces are followed, and how often they are looked for.
        smooth: How calm an expression is; None for each frame by itself.
        log: Is given a line for a picture that cannot be read, when a live source is lost, and when it is back, the
            latter two in another thread; if none is given, the logger "fer_edge" gets a warning.

    Raises:
        FerEdgeError: Immediately if there is no such source or a setting is invalid; from the generator if the source
            cannot be opened or read.
    """
    if isinstance(source, int | Path):
        source = str(source)
    found = find_source(source, view, log) if isinstance(source, str) else source
    if not isinstance(found, Source):
        raise UsageError(f"a source is a text, a path, a camera's number or a Source, not {type(found).__name__}")
    return _stream(found, Pipeline(recognizer or Recognizer(), tracking, smooth), log)


def _stream(source: Source, pipeline: Pipeline, log: Log) -> Generator[Result, None, None]:
    with frames(source, log) as reading:
        yield from results(reading, pipeline)


def results(reading: LiveReader | SequentialReader, pipeline: Pipeline) -> Iterator[Result]:
    """Process every frame that is read."""
    for frame in reading:
        yield pipeline.step(frame, reading.dropped)


class RunSummary:
    """Counts the frames and faces of a run; images are not counted."""

    def __init__(self) -> None:
        self._first = self._last = 0.0
        self._frames = self._faces = self._dropped = self._changes = 0
        self._shown: Counter[str] = Counter()
        self._seconds: tuple[float, float] | None = None

    def add(self, result: Result) -> None:
        """Count one result."""
        if result.frame.fps is None:
            return
        self._last = time.perf_counter()
        self._first = self._first or self._last
        self._frames += 1
        self._faces += sum(event.before is None and event.after is not None for event in result.events)
        self._changes += sum(event.before is not None and event.after is not None for event in result.events)
        self._shown.update(face.label for face in result.faces)
        self._seconds = (self._seconds or (result.frame.t, 0))[0], result.frame.t
        self._dropped = result.dropped

    def report(self, pipeline: Pipeline, writer: AnnotatedWriter | None, sinks: FanOut) -> None:
        """Print frames and faces, the outcome of a time budget, and the saved files."""
        if self._frames:
            rate = f", {(self._frames - 1) / (self._last - self._first):.1f} per second" if self._frames > 1 else ""
            faces = f"{self._faces} face{'s' * (self._faces != 1)}"
            console.print(f"{self._frames} frame{'s' * (self._frames != 1)}{rate}, {self._dropped} dropped; {faces}")
            if self._shown:
                console.print(self._expressions())
            if pipeline.budget:
                console.print(pipeline.budget.summary)
        if writer and "--save" not in sinks.failed:
            count = len(writer.written)
            console.print(f"wrote {count} {'file' if count == 1 else 'files'} to {writer.folder}")

    def _expressions(self) -> str:
        """Share of each expression, and how often it changed."""
        total = sum(self._shown.values())
        shares = ", ".join(f"{label} {count / total:.0%}" for label, count in self._shown.most_common())
        begun, ended = self._seconds or (0.0, 0.0)
        minutes = (ended - begun) / 60
        return f"expressions: {shares}" + (f"; {self._changes / minutes:.1f} changes per minute" if minutes > 0 else "")


class _Terminated(BaseException):
    """SIGTERM arrived; a BaseException like KeyboardInterrupt."""


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """End the block on SIGTERM as on Ctrl-C, but without an error. Main thread only.

    Also on SIGHUP, sent when an ssh connection is lost, unless it is ignored (nohup).
    """

    def end(number: int, stack: FrameType | None) -> None:
        for one in before:
            signal.signal(one, signal.SIG_IGN)  # a second signal must not interrupt closing
        raise _Terminated

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no HUP
    before = {one: signal.getsignal(one) for one in numbers if signal.getsignal(one) != signal.SIG_IGN}
    try:
        for one in before:
            signal.signal(one, end)
        yield
    except _Terminated:
        console.print("stopped")
    finally:
        for one, handler in before.items():
            signal.signal(one, handler or signal.SIG_DFL)


def _open_sinks(
    settings: RunSettings, source: Source, model: ModelFile, sinks: FanOut, page: ExitStack, *, json: bool
) -> AnnotatedWriter | None:
    """Open the sinks of the settings; `page` closes the live page. Returns the writer of --save."""
    labels, writer = model.contract.labels, None

    def add_slow(name: str, sink: Sink) -> None:
        sinks.add(name, ThreadedSink(sink) if source.live else sink)  # other sources can wait

    if (settings.save or settings.page) and (classes := legend(labels)):
        console.print(f"OpenCV draws ASCII letters only; in saved images, {classes}")
    add_slow("stdout", StdoutSink(json=json))
    if settings.save:
        writer = AnnotatedWriter(settings.save, settings.view.vid_stride, log=console.print)
        add_slow("--save", writer)
    if settings.csv:
        add_slow("--csv", CsvSink(settings.csv, labels))
    if settings.on_change is not None:
        sinks.add("--on-change", OnChange(settings.on_change, warn))
    if settings.mqtt is not None:
        sinks.add("--mqtt", _open_mqtt(settings.mqtt, settings.mqtt_topic, source, model))
    if settings.page:
        sinks.add("--preview", _open_preview(settings, source, model, page))
    return writer


def _open_mqtt(address: str, topic: str | None, source: Source, model: ModelFile) -> Sink:
    with needs("mqtt"):
        from fer_edge.sinks.mqtt import MqttSink
    name = model.contract.network.get("name", model.path.stem)
    topic = topic or default_topic(source.name)
    mqtt = MqttSink(parsed_broker(address), topic, model.contract.labels, console.print, name)
    if not source.live:
        mqtt.wait()
    return mqtt


def _open_preview(settings: RunSettings, source: Source, model: ModelFile, page: ExitStack) -> Sink:
    with needs("preview"):
        from fer_edge.preview.server import Preview, show
        from fer_edge.preview.state import about
    preview = Preview(about(source.name, model), settings.preview_host, settings.preview_port, settings.preview_token)
    page.callback(preview.close)
    # The user's own token stays out of logs; a generated one must be shown.
    console.print(f"live page: {redact(preview.address) if settings.preview_token else preview.address}")
    if settings.show and not show(preview.address):
        console.print("no browser on this machine; open the page from another one, or through ssh -L")
    return preview.state
