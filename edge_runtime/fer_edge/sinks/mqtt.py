"""Results for an MQTT broker, and through it for Home Assistant. Needs the extra [mqtt]: paho.

Below the topic: `state`, a summary (JSON, at most once a second, at every change, and of each picture); `face/ID`, each
face (JSON, when its expression changes; empty when it left); `availability`, online or offline (retained; the broker
says offline where this machine cannot). Home Assistant finds three entities by what is retained below `homeassistant/`.
"""

import json
import re
import secrets
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.errors import FerEdgeError, one_line
from fer_edge.recognition.classifier import UNCERTAIN
from fer_edge.recognition.recognizer import Face
from fer_edge.sinks import Sink
from fer_edge.sinks.mqtt_broker import Broker, checked_topic
from fer_edge.tracking.pipeline import Event, Result
from fer_edge.versions import installed

DISCOVERY = "homeassistant"
"""Where Home Assistant looks, unless somebody changed it there."""
STATE_EVERY_S = 1.0
STALE_S = 30
"""Home Assistant shows nothing where no state came for longer: the camera is lost."""
KEEPALIVE_S = 15
"""A broker that is silent for one and a half times as long is lost, and so are we to it."""
PAUSES_S = (1, 30)
"""Shortest and longest pause between two tries to connect."""
CLOSING_S = 1.0
WAITING_S = 10.0
"""How long what is no camera waits for the broker; its results do not come again."""


class MqttSink(Sink):
    """Publishes results; a broker that is slow or not there never holds up who writes.

    paho's own thread connects, and again after every loss; what happens meanwhile is not kept: what holds now is told
    when the broker is back.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        labels: tuple[str, ...],
        log: Callable[[str], None],
        model: str = "",
        pauses_s: tuple[int, int] = PAUSES_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to connect.

        Args:
            broker: Where.
            topic: What stands before every topic.
            labels: Classes in output order.
            log: Is given a line when the broker is not there or lost, and one when it is back; called in another
                thread.
            model: For Home Assistant to show.
            pauses_s: Shortest and longest pause between two tries to connect.
            clock: Seconds that never run backwards.

        Raises:
            UsageError: Nothing can be published below `topic`.
        """
        self._broker, self._topic, self._log, self._clock = broker, checked_topic(topic), log, clock
        self._configs = discovery(topic, labels, model)
        self._connected, self._answered = threading.Event(), threading.Event()
        self._fresh = self._closing = False
        self._lost = ""
        self._state_at = float("-inf")
        self._client = self._new_client(pauses_s)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def wait(self) -> None:
        """Wait until the broker has been reached, for `WAITING_S` at most.

        Raises:
            FerEdgeError: It has not; nothing will be published.
        """
        self._answered.wait(WAITING_S)
        if not self._connected.is_set():
            self.close()
            raise FerEdgeError(f"{self._broker}: no connection to the broker; start it, or leave out --mqtt")

    def write(self, result: Result) -> None:
        """Publish what changed, and the summary when it is due; never waits."""
        if not self._connected.is_set():
            return
        now, faces = self._clock(), {face.id: face for face in result.faces if face.id is not None}
        events = {event.id: event for event in result.events}  # the newest of each face
        if self._fresh:  # the broker may know nothing of before
            self._fresh = False
            here = {number: Event(result.frame.t, number, None, face.label) for number, face in faces.items()}
            events = {**here, **events}
        for event in events.values():
            face = faces.get(event.id)
            payload = json.dumps(face_as_json(event, face)) if face and event.after is not None else ""
            self._client.publish(f"{self._topic}/face/{event.id}", payload)
        if events or result.frame.fps is None or now - self._state_at >= STATE_EVERY_S:
            self._state_at = now
            self._client.publish(f"{self._topic}/state", json.dumps(state_as_json(result), allow_nan=False))

    def close(self) -> None:
        """Say offline and disconnect; a broker that does not answer is not waited for."""
        self._closing = True
        if self._connected.is_set():
            told = self._client.publish(f"{self._topic}/availability", "offline", qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection was lost just now
                told.wait_for_publish(CLOSING_S)
        self._client.disconnect()
        # In a thread: paho waits for its own, which may be in the middle of a connect that takes five seconds.
        stopping = threading.Thread(target=self._client.loop_stop, daemon=True)
        stopping.start()
        stopping.join(CLOSING_S)

    def _new_client(self, pauses_s: tuple[int, int]) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"fer-edge-{secrets.token_hex(4)}")
        client.will_set(f"{self._topic}/availability", "offline", qos=1, retain=True)
        client.reconnect_delay_set(*pauses_s)
        if self._broker.user is not None:
            client.username_pw_set(self._broker.user, self._broker.password)
        if self._broker.tls:
            client.tls_set()
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _on_connect(
        self, client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._tell_lost("refuses", f": {reason}; are user and password right?")
            return
        client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)
        client.subscribe(f"{self._topic}/availability", qos=1)
        for topic, config in self._configs.items():
            client.publish(topic, json.dumps(config), qos=1, retain=True)
        self._fresh = True
        self._connected.set()
        self._answered.set()
        if self._lost:
            self._lost = ""
            self._log(f"{self._broker} is back")

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload == b"offline" and not self._closing:  # another run with this topic has ended
            client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this where it caught it
        if isinstance(error, ssl.SSLError):
            why = (
                f": {one_line(error)}; is it mqtts://, and does SSL_CERT_FILE name your own authority, if you have one?"
            )
            self._tell_lost("cannot be trusted", why)
        else:
            self._tell_lost("does not answer", f" ({one_line(error)})" if error else "")

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connected.clear()
        self._tell_lost("ended the connection", f" ({reason})")

    def _tell_lost(self, what: str, why: str) -> None:
        """Log a loss once; that the broker refuses us is worth a second line."""
        if not self._closing and (not self._lost or (what == "refuses" and self._lost != what)):
            self._lost = what
            self._answered.set()
            self._log(f"{self._broker} {what}{why}; trying again")


def dominant(faces: list[Face]) -> str | None:
    """Name the expression that most faces show, of several the one with the highest score; None without a face.

    "uncertain" only where all are.
    """
    certain = [face for face in faces if face.certain]
    if not certain:
        return UNCERTAIN if faces else None
    counts = Counter(face.label for face in certain)
    return max(certain, key=lambda face: (counts[face.label], face.score)).label


def state_as_json(result: Result) -> dict[str, Any]:
    """Sum up a result."""
    return {
        "source": result.frame.name,
        "t": round(result.frame.t, 3),
        "faces": len(result.faces),
        "dominant": dominant(result.faces),
        "expressions": dict(Counter(face.label for face in result.faces)),
        "age_ms": round(result.age_ms, 1),
        "dropped": result.dropped,
    }


def face_as_json(event: Event, face: Face) -> dict[str, Any]:
    """What is published of a face when its expression changes."""
    return {
        "t": round(event.t, 3),
        "id": event.id,
        "before": event.before,
        "label": face.label,
        "score": round(face.score, 4),
        "box": list(face.box),
    }


def discovery(topic: str, labels: tuple[str, ...], model: str) -> dict[str, dict[str, Any]]:
    """What Home Assistant is told of its three entities, by topic; see its documentation of MQTT discovery.

    One message each, which every version knows; one for the whole device came with 2024.12.
    """
    node = re.sub("[^A-Za-z0-9_-]", "_", topic)
    version = installed(("fer-edge",)).get("fer-edge", "unknown")
    device = {
        "identifiers": [node],
        "name": f"fer-edge {topic.rsplit('/', 1)[-1]}",
        "manufacturer": "fer-edge",
        "model": model or "fer-edge",
        "sw_version": version,
    }
    shared = {
        "state_topic": f"{topic}/state",
        "availability_topic": f"{topic}/availability",
        "expire_after": STALE_S,
        "device": device,
        "origin": {"name": "fer-edge", "sw_version": version},  # for its log
    }
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("sensor", "expression"): {
            "name": "Expression",
            "device_class": "enum",
            "options": [*labels, UNCERTAIN],
            "icon": "mdi:emoticon-outline",
            "value_template": "{{ value_json.dominant }}",  # of null it makes None, which stands for unknown
        },
        ("sensor", "faces"): {
            "name": "Faces",
            "state_class": "measurement",
            "icon": "mdi:account-multiple",
            "value_template": "{{ value_json.faces }}",
        },
        ("binary_sensor", "face"): {
            "name": "Face",
            "device_class": "occupancy",
            "value_template": "{{ 'ON' if value_json.faces else 'OFF' }}",
        },
    }
    return {
        f"{DISCOVERY}/{kind}/{node}/{name}/config": {**shared, **entity, "unique_id": f"{node}_{name}"}
        for (kind, name), entity in entities.items()
    }
