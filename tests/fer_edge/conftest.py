"""Fixtures of the runtime's tests."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fer_edge.imaging.images import write_picture
from fer_edge.labels import EXPRESSIONS
from fer_edge.model.trial import load_runtime
from fer_edge.synthetic.render import clip, draw_face
from support.videos import write_video


@pytest.fixture(autouse=True)
def quick_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """VP9, as every wheel of OpenCV has it, however busy this machine is."""
    monkeypatch.setattr("fer_edge.sinks.codec._encoding_fps", lambda codec, _: 2000.0 * (codec.name == "VP9"))


@pytest.fixture
def about() -> Any:
    """Facts about a run for the live page."""
    from fer_edge.preview.state import RunInfo

    return RunInfo("front door", "edge, int8", "Raspberry Pi 5", EXPRESSIONS)


@pytest.fixture
def started(about: Any) -> Iterator[Callable[..., Any]]:
    """Starts live pages on a free port; they are closed afterwards."""
    from fer_edge.preview.server import Preview

    previews: list[Preview] = []

    def start(**settings: Any) -> Preview:
        preview = Preview(about, **{"port": 0, **settings})
        previews.append(preview)
        return preview

    yield start
    for preview in previews:
        preview.close()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames of two drawn faces at 10 frames per second, in its own folder."""
    (tmp_path / "video").mkdir()
    return write_video(tmp_path / "video" / "clip.mp4", (frame for frame, _ in clip(12, size_wh=(320, 240))), 10)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A drawn face, in its own folder."""
    path = tmp_path / "photos" / "happiness.png"
    write_picture(path, draw_face("happiness", seed=3)[0])
    return path


class Running:
    """`fer-edge run` in its own process; default source: drawn faces in real time."""

    def __init__(self, tiny: Path, *flags: object, stdout: int = subprocess.DEVNULL) -> None:
        source = () if "-s" in flags else ("-s", "fake", "--realtime")
        arguments = ["run", "-m", str(tiny), "--detector", "none", *source, *map(str, flags)]
        program = (  # in background jobs of a shell SIGINT is ignored, under nohup SIGHUP
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
            f"from fer_edge.cli import app; app({arguments!r})"
        )
        environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment |= {"NO_COLOR": "1", "COLUMNS": "200"}
        command = [sys.executable, "-c", program]
        self.process = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.01)

    def wait_for_line(self, pattern: str) -> list[str]:
        """Return the lines on stderr up to and including the first that matches."""
        assert self.process.stderr
        lines: list[str] = []
        for line in self.process.stderr:
            lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return lines
        raise AssertionError(lines)

    def end(self, number: signal.Signals) -> tuple[int, list[str], float]:
        """Send a signal; return exit code, the remaining lines on stderr, and the seconds until exit."""
        start = time.perf_counter()
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors.splitlines(), time.perf_counter() - start


@pytest.fixture
def live(tiny: Path) -> Iterator[Callable[..., Running]]:
    """Starts `fer-edge run`; it is killed afterwards if it still runs."""
    runs: list[Running] = []

    def begin(*flags: object, stdout: int = subprocess.DEVNULL) -> Running:
        runs.append(Running(tiny, *flags, stdout=stdout))
        return runs[-1]

    yield begin
    for running in runs:
        running.process.kill()
        running.process.communicate()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Any]:
    """A broker that can be started and stopped; it needs the extra [mqtt]."""
    from support.mosquitto import Mosquitto

    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Any]]:
    """Starts subscribers to all topics of a broker."""
    from support.mosquitto import Listener

    listeners: list[Any] = []

    def begin(*broker: Any, **login: str) -> Any:
        listeners.append(Listener(*broker, **login))
        return listeners[-1]

    yield begin
    for listener in listeners:
        listener.close()


@pytest.fixture
def mqtt() -> Iterator[Callable[..., tuple[Any, Any]]]:
    """Makes MQTT sinks, each with the messages that it prints."""
    from fer_edge.sinks.mqtt import MqttSink
    from support.mosquitto import LABELS, TOPIC, Messages

    sinks: list[MqttSink] = []

    def begin(broker: Any, clock: Callable[[], float] = time.monotonic) -> tuple[Any, Any]:
        messages = Messages()
        sinks.append(MqttSink(broker, TOPIC, LABELS, messages, "edge", pauses_s=(1, 1), clock=clock))
        return sinks[-1], messages

    yield begin
    for sink in sinks:
        sink.close()


@pytest.fixture
def joined(mosquitto: Any, listen: Callable[..., Any], mqtt: Callable[..., Any]) -> Callable[..., tuple[Any, Any, Any]]:
    """Starts the broker; returns a subscriber, a connected sink, and the messages that the sink prints."""
    from support.mosquitto import connected

    def begin(**settings: Any) -> tuple[Any, Any, Any]:
        mosquitto.start()
        listener = listen(mosquitto.broker)
        sink, messages = mqtt(mosquitto.broker, **settings)
        connected(listener)
        return listener, sink, messages

    return begin


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The Chromium of this machine, driven by Playwright."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("needs Chromium: sudo apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page; afterwards its console and requests are checked."""
    faults: list[str] = []
    contexts = []

    def visit(address: str, **settings: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: faults.append(request.url) if not inside(request.url) else None)
        page.faults = faults
        page.goto(address)
        return page

    def inside(url: str) -> bool:
        return url.startswith(("http://127.0.0.1:", "data:"))

    yield visit
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def without_elu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulates, for every network, an operator that the reference kernels lack."""
    name, module = load_runtime()

    def interpreter(*, experimental_op_resolver_type: Any, **named: Any) -> Any:
        if experimental_op_resolver_type == module.OpResolverType.BUILTIN_REF:
            raise ValueError("Didn't find op for builtin opcode 'ELU' version '1'.")
        return module.Interpreter(experimental_op_resolver_type=experimental_op_resolver_type, **named)

    lacking = SimpleNamespace(Interpreter=interpreter, OpResolverType=module.OpResolverType)
    monkeypatch.setattr("fer_edge.model.interpreter.load_runtime", lambda: (name, lacking))
