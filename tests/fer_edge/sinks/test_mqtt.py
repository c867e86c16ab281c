"""What a real broker hears: mosquitto, on a free port of this machine."""

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fer_edge.sinks.mqtt import MqttSink
from fer_edge.sinks.mqtt_broker import Broker
from fer_edge.tracking.pipeline import Event
from support.command import FerEdge
from support.mosquitto import TOPIC, Listener, Messages, Mosquitto, face, needs_mosquitto, result

Listen = Callable[..., Listener]
Sinks = Callable[..., tuple[MqttSink, Messages]]
Joined = Callable[..., tuple[Listener, MqttSink, Messages]]


@needs_mosquitto
def test_a_face_is_told_when_it_comes_changes_and_leaves(joined: Joined) -> None:
    listener, sink, told = joined(clock=lambda: 0.0)

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
def test_the_summary_comes_once_a_second(joined: Joined) -> None:
    times = [0.0, 0.4, 0.9, 1.0, 1.5, 2.1]
    clock = iter(times)
    listener, sink, _ = joined(clock=lambda: next(clock))

    for t in times:
        sink.write(result(t, []))
    sink.close()
    listener.until(f"{TOPIC}/availability", "offline")

    said = [json.loads(payload)["t"] for topic, payload, _ in listener.heard if topic == f"{TOPIC}/state"]
    assert said == [0.0, 1.0, 2.1]


@needs_mosquitto
def test_who_listens_later_is_told_what_is_retained_and_nothing_old(
    mosquitto: Mosquitto, listen: Listen, joined: Joined
) -> None:
    first, sink, _ = joined()
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
def test_the_end_of_the_run_says_offline_and_is_quick(joined: Joined) -> None:
    listener, sink, told = joined()
    begun = time.perf_counter()
    sink.close()
    assert time.perf_counter() - begun < 1
    listener.until(f"{TOPIC}/availability", "offline")
    assert told.lines == []


@needs_mosquitto
def test_a_machine_that_dies_is_said_to_be_offline_by_the_broker(joined: Joined) -> None:
    listener, sink, _ = joined()
    alive = sink._client.socket()
    assert isinstance(alive, socket.socket)
    alive.shutdown(socket.SHUT_RDWR)  # without a word, as if the plug were pulled

    listener.until(f"{TOPIC}/availability", "offline")


@needs_mosquitto
def test_a_picture_is_published_though_it_takes_less_time_than_to_connect(
    fer_edge: FerEdge, tiny: Path, picture: Path, mosquitto: Mosquitto, listen: Listen
) -> None:
    flags = ["-m", tiny, "-s", picture, "--detector", "none", "--mqtt", f"mqtt://127.0.0.1:{mosquitto.port}"]
    refused = fer_edge("run", *flags)
    mosquitto.start()
    listener = listen(mosquitto.broker)
    finished = fer_edge("run", *flags, "--mqtt-topic", TOPIC)

    assert (finished.code, finished.stderr) == (0, "")
    assert json.loads(listener.until(f"{TOPIC}/state"))["source"] == str(picture)
    assert (refused.code, refused.stdout) == (1, "")
    assert refused.stderr.endswith("no connection; start the broker, or remove --mqtt\n")


def test_pictures_have_a_summary_each_but_no_faces_to_follow(mqtt: Sinks) -> None:
    sink, _ = mqtt(Broker("127.0.0.1", 9, tls=False))
    said: list[str] = []
    sink._client.publish = lambda topic, *more, **flags: said.append(topic)  # type: ignore[method-assign, assignment]
    sink._connected.set()

    pictures = [result(0.0, [face(None, "neutral")]) for _ in range(3)]  # within a second
    for one in pictures:
        sink.write(replace(one, frame=replace(one.frame, fps=None)))
    sink._connected.clear()

    assert said == 3 * [f"{TOPIC}/state"]


@needs_mosquitto
def test_end_of_another_run_with_the_same_topic_does_not_leave_it_offline(
    joined: Callable[..., Any], mqtt: Sinks, mosquitto: Mosquitto
) -> None:
    listener, _, _ = joined()
    other, _ = mqtt(mosquitto.broker)
    assert other._connected.wait(10)
    listener.forget()
    other.close()
    listener.until(f"{TOPIC}/availability", "offline")
    listener.until(f"{TOPIC}/availability", "online")
    for _ in range(10):  # on a busy machine the broker's last will may follow, and is answered once more
        listener.forget()
        time.sleep(0.5)
        if not listener.heard:
            return
    pytest.fail(f"the two answer each other for ever: {listener.heard}")
