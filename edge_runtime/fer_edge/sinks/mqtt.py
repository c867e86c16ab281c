"""Publish results to an MQTT broker and Home Assistant. Needs the extra [mqtt]: paho.

Below the topic: `state`, a summary (JSON, once a second, at every change, and for each image); `face/ID`, each face
(JSON, when its expression changes; empty when it left); `availability`, online or offline (retained; the broker
publishes offline as the last will). Home Assistant discovers three entities through retained `homeassistant/` topics.
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
"""Home Assistant's default discovery prefix."""
STATE_EVERY_S = 1.0
STALE_S = 30
"""Seconds without a state after which Home Assistant shows the entities as unavailable."""
KEEPALIVE_S = 15
"""Seconds; after one and a half times as long without traffic, the connection counts as lost on both sides."""
PAUSES_S = (1, 30)
"""Shortest and longest pause between attempts to connect."""
CLOSING_S = 1.0
WAITING_S = 10.0
"""Seconds that a source that is not live waits for the broker."""


class MqttSink(Sink):
    """Publishes results; a slow or missing broker never blocks the writer.

    paho's own thread connects, and reconnects after every loss. Results in between are discarded; after reconnecting,
    the current state is published.
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
        """Start connecting.

        Args:
            broker: Address and credentials.
            topic: Prefix of every topic.
            labels: Classes in output order.
            log: Called with a line when the broker is missing or lost, and when it is back, in another thread.
            model: Model name that Home Assistant shows.
            pauses_s: Shortest and longest pause between attempts to connect.
            clock: Monotonic clock in seconds.

        Raises:
            UsageError: `topic` is invalid.
        """
        self._broker, self._topic, self._log, self._clock = broker, checked_topic(topic), log, clock
        self._configs = discovery(topic, labels, model)
        self._connected, self._answered = threading.Event(), threading.Event()
        self._just_connected = self._closing = False
        self._lost = ""
        self._state_at = float("-inf")
        self._client = self._new_client(pauses_s)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def wait(self) -> None:
        """Wait for the connection, for `WAITING_S` at most.

        Raises:
            FerEdgeError: The broker was not reached; nothing will be published.
        """
        self._answered.wait(WAITING_S)
        if not self._connected.is_set():
            self.close()
            raise FerEdgeError(f"{self._broker}: no connection; start the broker, or remove --mqtt")

    def write(self, result: Result) -> None:
        """Publish changes, and the summary when it is due; never blocks."""
        if not self._connected.is_set():
            return
        now, faces = self._clock(), {face.id: face for face in result.faces if face.id is not None}
        events = {event.id: event for event in result.events}  # the latest of each face
        if self._just_connected:  # the broker may have missed earlier events
            self._just_connected = False
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
        """Publish offline and disconnect, without waiting for a broker that does not answer."""
        self._closing = True
        if self._connected.is_set():
            message = self._client.publish(f"{self._topic}/availability", "offline", qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection was just lost
                message.wait_for_publish(CLOSING_S)
        self._client.disconnect()
        # In a thread: paho joins its own, which may be blocked in a connect for five seconds.
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
            self._report_loss("refuses the connection", f" ({reason}); check user and password")
            return
        client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)
        client.subscribe(f"{self._topic}/availability", qos=1)
        for topic, config in self._configs.items():
            client.publish(topic, json.dumps(config), qos=1, retain=True)
        self._just_connected = True
        self._connected.set()
        self._answered.set()
        if self._lost:
            self._lost = ""
            self._log(f"{self._broker} is back")

    def _on_message(self, client: Client, _data: Any, message: MQTTMessage) -> None:
        if message.payload == b"offline" and not self._closing:  # another run with this topic has ended
            client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)

    def _on_connect_fail(self, _client: Client, _data: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this in its except block
        if isinstance(error, ssl.SSLError):
            why = f" ({one_line(error)}); check that it uses mqtts://, and for your own CA set SSL_CERT_FILE"
            self._report_loss("failed TLS verification", why)
        else:
            self._report_loss("does not answer", f" ({one_line(error)})" if error else "")

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._connected.clear()
        self._report_loss("ended the connection", f" ({reason})")

    def _report_loss(self, what: str, why: str) -> None:
        """Log a loss once, and once more if the broker refuses the connection."""
        if not self._closing and (not self._lost or (what.startswith("refuses") and self._lost != what)):
            self._lost = what
            self._answered.set()
            self._log(f"{self._broker} {what}{why}; retrying")


def dominant(faces: list[Face]) -> str | None:
    """Return the most frequent expression, the highest-scoring one of several; None without a face.

    "uncertain" only if all are.
    """
    certain = [face for face in faces if face.certain]
    if not certain:
        return UNCERTAIN if faces else None
    counts = Counter(face.label for face in certain)
    return max(certain, key=lambda face: (counts[face.label], face.score)).label


def state_as_json(result: Result) -> dict[str, Any]:
    """Return the summary of a result."""
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
    """Return the message about a face whose expression changed."""
    return {
        "t": round(event.t, 3),
        "id": event.id,
        "before": event.before,
        "label": face.label,
        "score": round(face.score, 4),
        "box": list(face.box),
    }


def discovery(topic: str, labels: tuple[str, ...], model: str) -> dict[str, dict[str, Any]]:
    """Return the MQTT discovery messages of the three Home Assistant entities, by topic.

    One message per entity, which every version supports; one per device needs 2024.12.
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
        "origin": {"name": "fer-edge", "sw_version": version},  # shown in its log
    }
    entities: dict[tuple[str, str], dict[str, Any]] = {
        ("sensor", "expression"): {
            "name": "Expression",
            "device_class": "enum",
            "options": [*labels, UNCERTAIN],
            "icon": "mdi:emoticon-outline",
            "value_template": "{{ value_json.dominant }}",  # null renders as None, which means unknown
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
