"""A broker for tests, a subscriber, and results to publish. They need the extra [mqtt]."""

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("paho", reason="needs the extra [mqtt]: pip install '.[mqtt]'")

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from fer_edge.recognition.recognizer import Face
from fer_edge.sinks.mqtt_broker import Broker
from fer_edge.sources import Frame
from fer_edge.tracking.pipeline import Event, Result

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto: sudo apt install mosquitto")
LABELS = ("neutral", "happiness")
TOPIC = "fer-edge/kitchen"


def face(number: int | None, label: str, score: float = 0.8) -> Face:
    return Face((1, 2, 30, 40), label, score, {"neutral": 0.2, "happiness": 0.8}, 0.9, id=number)


def result(t: float, faces: list[Face], events: list[Event] | None = None) -> Result:
    frame = Frame("camera 0", round(10 * t), t, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, None, 10)
    return Result(frame, faces, events or [])


class Mosquitto:
    """A broker that can be stopped and restarted on the same port; it loses retained messages."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.broker = Broker("127.0.0.1", self.port, tls=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *lines: str) -> None:
        """Start it with these configuration lines, or with anonymous access; return when it accepts connections."""
        assert MOSQUITTO
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(
            "\n".join([f"listener {self.port} 127.0.0.1", "user root", *(lines or ["allow_anonymous true"])])
        )
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(configuration)], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, "mosquitto does not start"
                time.sleep(0.01)

    def make_certificate(self, host: str) -> Path:
        """Make a key and a self-signed certificate for `host`."""
        key, certificate = self.folder / "key.pem", self.folder / "certificate.pem"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=home"]
        subprocess.run([*command, "-addext", f"subjectAltName=DNS:{host}"], check=True, capture_output=True)
        key.chmod(0o644)
        return certificate

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


class Listener:
    """A subscriber to all topics."""

    def __init__(self, broker: Broker, **login: str) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        ready = threading.Event()
        if broker.tls:
            self._client.tls_set()
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert ready.wait(10)

    def _on_message(self, client: Client, data: Any, message: MQTTMessage) -> None:
        with self._changed:
            self.heard.append((message.topic, message.payload.decode(), message.retain))
            self._changed.notify_all()

    def until(self, topic: str, payload: str | None = None) -> str:
        """Wait for a message on a topic and return the payload of the newest."""

        def found() -> list[str]:
            return [said for place, said, _ in self.heard if place == topic and payload in (None, said)]

        with self._changed:
            assert self._changed.wait_for(found, 10), f"no {payload} at {topic}: {self.heard}"
            return found()[-1]

    def forget(self) -> None:
        with self._changed:
            self.heard.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Messages:
    """Messages that the sink printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()

    def __call__(self, line: str) -> None:
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    def wait(self, count: int) -> list[str]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.lines) >= count, 10), self.lines
            return self.lines


def connected(listener: Listener) -> None:
    listener.until(f"{TOPIC}/availability", "online")
