"""MQTT against a real broker: mosquitto, on a free port of this machine, stopped and started again."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from fer_edge.recognizer import Face
from fer_edge.sinks.mqtt import Broker, Mqtt, parsed_broker
from fer_edge.sources import Frame
from fer_edge.watch import Event, Result

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_mosquitto = pytest.mark.skipif(MOSQUITTO is None, reason="needs mosquitto: sudo apt install mosquitto")
LABELS = ("neutral", "happiness")
TOPIC = "fer-edge/kitchen"


def face(number: int | None, label: str, score: float = 0.8) -> Face:
    return Face((1, 2, 30, 40), label, score, {"neutral": 0.2, "happiness": 0.8}, 0.9, number)


def result(t: float, faces: list[Face], events: list[Event] | None = None) -> Result:
    frame = Frame("camera 0", round(10 * t), t, np.zeros((4, 4, 3), np.uint8), 0.0, 0.0, None, 10)
    return Result(frame, faces, events or [])


class Mosquitto:
    """A broker that can be stopped and started again at the same port; it forgets what was retained."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.broker = Broker("127.0.0.1", self.port, tls=False)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *lines: str) -> None:
        """Start, with other lines of configuration or open to all; returns when it answers."""
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

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path)
    yield broker
    broker.stop()


class Listener:
    """Hears everything that is published."""

    def __init__(self, broker: Broker, **login: str) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2)
        if login:
            self._client.username_pw_set(login["user"], login["password"])
        ready = threading.Event()
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
        """Wait for a message, the newest there is, and give its payload."""

        def found() -> list[str]:
            return [said for place, said, _ in self.heard if place == topic and payload in (None, said)]

        with self._changed:
            assert self._changed.wait_for(found, 10), f"nobody said {payload} at {topic}: {self.heard}"
            return found()[-1]

    def forget(self) -> None:
        with self._changed:
            self.heard.clear()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


Listen = Callable[..., Listener]


@pytest.fixture
def listen() -> Iterator[Listen]:
    listeners: list[Listener] = []

    def begin(broker: Broker, **login: str) -> Listener:
        listeners.append(Listener(broker, **login))
        return listeners[-1]

    yield begin
    for listener in listeners:
        listener.close()


class Told:
    """What the sink told people."""

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


Sinks = Callable[..., tuple[Mqtt, Told]]


@pytest.fixture
def mqtt() -> Iterator[Sinks]:
    sinks: list[Mqtt] = []

    def begin(broker: Broker, clock: Callable[[], float] = time.monotonic) -> tuple[Mqtt, Told]:
        told = Told()
        sinks.append(Mqtt(broker, TOPIC, LABELS, told, "edge", pauses_s=(1, 1), clock=clock))
        return sinks[-1], told

    yield begin
    for sink in sinks:
        sink.close()


def connected(listener: Listener) -> None:
    listener.until(f"{TOPIC}/availability", "online")


@needs_mosquitto
def test_a_face_is_told_when_it_comes_changes_and_leaves(mosquitto: Mosquitto, listen: Listen, mqtt: Sinks) -> None:
    mosquitto.start()
    listener = listen(mosquitto.broker)
    sink, told = mqtt(mosquitto.broker, clock=lambda: 0.0)
    connected(listener)

    sink.write(result(0.0, []))
    assert json.loads(listener.until(f"{TOPIC}/state"))["faces"] == 0
    sink.write(result(0.1, [face(7, "neutral")], [Event(0.1, 7, None, "neutral")]))
    sink.write(result(0.2, [face(7, "neutral", 0.7)]))
    sink.write(result(0.3, [face(7, "happiness")], [Event(0.3, 7, "neutral", "happiness")]))
    sink.write(result(0.4, [], [Event(0.4, 7, "happiness", None)]))
    sink.close()
    listener.until(f"{TOPIC}/availability", "offline")

    said = [payload for topic, payload, _ in listener.heard if topic == f"{TOPIC}/face/7"]
    here = {"id": 7, "score": 0.8, "box": [1, 2, 30, 40]}
    assert json.loads(said[0]) == {**here, "t": 0.1, "before": None, "label": "neutral"}
    assert json.loads(said[1]) == {**here, "t": 0.3, "before": "neutral", "label": "happiness"}
    assert said[2:] == [""]
    states = [json.loads(payload) for topic, payload, _ in listener.heard if topic == f"{TOPIC}/state"]
    # At the beginning and at each change; not for the frame in which nothing happened within the same second.
    assert [(state["t"], state["faces"], state["dominant"]) for state in states] == [
        (0.0, 0, None), (0.1, 1, "neutral"), (0.3, 1, "happiness"), (0.4, 0, None),
    ]  # fmt: skip
    assert told.lines == []


@needs_mosquitto
def test_the_summary_comes_once_a_second(mosquitto: Mosquitto, listen: Listen, mqtt: Sinks) -> None:
    mosquitto.start()
    listener = listen(mosquitto.broker)
    times = [0.0, 0.4, 0.9, 1.0, 1.5, 2.1]
    clock = iter(times)
    sink, _ = mqtt(mosquitto.broker, clock=lambda: next(clock))
    connected(listener)

    for t in times:
        sink.write(result(t, []))
    sink.close()
    listener.until(f"{TOPIC}/availability", "offline")

    said = [json.loads(payload)["t"] for topic, payload, _ in listener.heard if topic == f"{TOPIC}/state"]
    assert said == [0.0, 1.0, 2.1]


@needs_mosquitto
def test_who_listens_later_is_told_what_is_retained_and_nothing_old(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    mosquitto.start()
    first = listen(mosquitto.broker)
    sink, _ = mqtt(mosquitto.broker)
    connected(first)
    sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))
    first.until(f"{TOPIC}/face/7")
    first.until(f"{TOPIC}/state")

    second = listen(mosquitto.broker)
    second.until(f"{TOPIC}/availability", "online")
    configs = {f"homeassistant/{one}/config" for one in (
        "sensor/fer-edge_kitchen/expression", "sensor/fer-edge_kitchen/faces", "binary_sensor/fer-edge_kitchen/face",
    )}  # fmt: skip
    for topic in configs:
        second.until(topic)

    assert {topic for topic, _, _ in second.heard} == {f"{TOPIC}/availability", *configs}
    assert all(retained for _, _, retained in second.heard)


@needs_mosquitto
def test_the_end_of_the_run_says_offline_and_is_quick(mosquitto: Mosquitto, listen: Listen, mqtt: Sinks) -> None:
    mosquitto.start()
    listener = listen(mosquitto.broker)
    sink, told = mqtt(mosquitto.broker)
    connected(listener)

    begun = time.perf_counter()
    sink.close()
    assert time.perf_counter() - begun < 1
    listener.until(f"{TOPIC}/availability", "offline")
    assert told.lines == []


@needs_mosquitto
def test_a_machine_that_dies_is_said_to_be_offline_by_the_broker(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    mosquitto.start()
    listener = listen(mosquitto.broker)
    sink, _ = mqtt(mosquitto.broker)
    connected(listener)

    alive = sink._client.socket()
    assert isinstance(alive, socket.socket)
    alive.shutdown(socket.SHUT_RDWR)  # without a word, as if the plug were pulled

    listener.until(f"{TOPIC}/availability", "offline")


@needs_mosquitto
def test_a_broker_that_is_stopped_and_started_again_knows_everything_again(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    mosquitto.start()
    listener = listen(mosquitto.broker)
    sink, told = mqtt(mosquitto.broker)
    connected(listener)
    sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))

    mosquitto.stop()
    told.wait(1)
    begun = time.perf_counter()
    for index in range(1000):
        sink.write(result(index / 10, [face(7, "happiness")], [Event(index / 10, 7, "neutral", "happiness")]))
    assert time.perf_counter() - begun < 1
    listener.forget()
    mosquitto.start()
    told.wait(2)

    after = listen(mosquitto.broker)
    connected(after)
    after.until("homeassistant/sensor/fer-edge_kitchen/faces/config")
    sink.write(result(100.0, [face(7, "happiness")]))  # nothing changes, but this broker has not heard of it
    assert json.loads(after.until(f"{TOPIC}/face/7"))["label"] == "happiness"
    assert json.loads(after.until(f"{TOPIC}/state"))["t"] == 100.0
    lost, back = told.lines
    assert lost.startswith(f"MQTT broker 127.0.0.1:{mosquitto.port} ended the connection")
    assert lost.endswith("; trying again")
    assert back == f"MQTT broker 127.0.0.1:{mosquitto.port} is back"


@needs_mosquitto
def test_a_broker_that_is_not_there_at_first_is_told_once_and_found_later(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    sink, told = mqtt(mosquitto.broker)
    sink.write(result(0.0, []))
    told.wait(1)
    mosquitto.start()
    told.wait(2)

    connected(listen(mosquitto.broker))
    assert "does not answer ([Errno 111] Connection refused); trying again" in told.lines[0]
    assert told.lines[1].endswith("is back")


@needs_mosquitto
def test_a_password_opens_the_broker_and_a_wrong_one_is_told_but_not_shown(
    mosquitto: Mosquitto, listen: Listen, mqtt: Sinks
) -> None:
    passwords = mosquitto.folder / "passwords"
    maker = shutil.which("mosquitto_passwd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert maker
    subprocess.run([maker, "-b", "-c", str(passwords), "anna", "s3c:ret@"], check=True, capture_output=True)
    passwords.chmod(0o644)
    mosquitto.start("allow_anonymous false", f"password_file {passwords}")
    listener = listen(mosquitto.broker, user="anna", password="s3c:ret@")

    _, told = mqtt(parsed_broker(f"mqtt://anna:wr0ng@127.0.0.1:{mosquitto.port}"))
    (line,) = told.wait(1)
    assert "refuses: Not authorized; are user and password right?" in line
    assert "wr0ng" not in line
    mqtt(parsed_broker(f"mqtt://anna:s3c%3Aret%40@127.0.0.1:{mosquitto.port}"))
    connected(listener)


def test_something_else_at_the_port_is_told_and_does_not_hold_up_the_end(mqtt: Sinks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing, like a stuck broker
        sink, told = mqtt(Broker("127.0.0.1", silent.getsockname()[1], tls=False))
        connection, _ = silent.accept()
        begun = time.perf_counter()
        for _ in range(100):
            sink.write(result(0.0, [face(7, "neutral")], [Event(0.0, 7, None, "neutral")]))
        connection.close()
        (line,) = told.wait(1)
        sink.close()

    assert "ended the connection" in line
    assert time.perf_counter() - begun < 3


def test_tls_is_not_talked_to_those_who_do_not_know_it(mqtt: Sinks) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        _, told = mqtt(Broker("127.0.0.1", plain.getsockname()[1], tls=True))
        connection, _ = plain.accept()
        connection.sendall(b"220 welcome\r\n" * 10)
        (line,) = told.wait(1)
        connection.close()

    assert "cannot be trusted" in line
    assert "mqtts://" in line


def test_pictures_have_a_summary_but_no_faces_to_follow(mqtt: Sinks) -> None:
    sink, _ = mqtt(Broker("127.0.0.1", 9, tls=False))
    said: list[str] = []
    sink._client.publish = lambda topic, *more, **flags: said.append(topic)  # type: ignore[method-assign, assignment]
    sink._connected.set()

    sink.write(result(0.0, [face(None, "neutral")]))
    sink._connected.clear()

    assert said == [f"{TOPIC}/state"]
