"""Results for an MQTT broker, and through it for Home Assistant. Needs the extra [mqtt]: paho.

Below the topic: `state`, a summary (JSON, at most once a second and at every change); `face/ID`, each face (JSON, when
its expression changes; empty when it left); `availability`, online or offline (retained; the broker says offline where
this machine cannot). Home Assistant finds three entities by what is retained below `homeassistant/`.
"""

import json
import os
import re
import secrets
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fer_edge.classify import UNCERTAIN
from fer_edge.errors import UsageError, one_line
from fer_edge.recognizer import Face
from fer_edge.sources.address import masked
from fer_edge.versions import installed
from fer_edge.watch import Event, Result

PORTS = {"mqtt": 1883, "mqtts": 8883}
PASSWORD = "FER_EDGE_MQTT_PASSWORD"  # noqa: S105
"""Variable of the environment that holds the password, where the address holds none."""
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
EXAMPLE = "mqtt://user:password@192.168.1.10:1883"


@dataclass(frozen=True)
class Broker:
    """Where to connect, and as whom."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """For people; without user and password."""
        return f"MQTT broker {self.host}:{self.port}"


def parsed_broker(address: str, password: str | None = None) -> Broker:
    """Take an address apart.

    Args:
        address: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS.
        password: The one to use where the address holds none; None for that of the environment.

    Raises:
        UsageError: It is no such thing; the message holds no password.
    """
    shown = masked(address)
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
        (host or "").encode("idna")
        more = parts.path.strip("/") or parts.query or parts.fragment
        broken = bool(more) or ("@" in address and "@" not in parts.netloc)  # a password ended the part it belongs to
    except ValueError:  # not "from" the error, whose text may hold a piece of the password
        broken = True
    if broken:
        hint = "write @ / : # ? in a password as %40 %2F %3A %23 %3F; the topic goes behind --mqtt-topic"
        raise UsageError(f"--mqtt {shown}: no address of a broker, such as {EXAMPLE}; {hint}")
    if parts.scheme not in PORTS or not host:
        raise UsageError(f"--mqtt {shown}: no address of a broker, such as {EXAMPLE}, or mqtts:// for TLS")
    user = unquote(parts.username) if parts.username else None
    known = unquote(parts.password) if parts.password else (password or os.environ.get(PASSWORD))
    return Broker(host, port or PORTS[parts.scheme], parts.scheme == "mqtts", user, known)


def usual_topic() -> str:
    """Name the topic after this machine."""
    return f"fer-edge/{re.sub('[^A-Za-z0-9_.-]', '-', socket.gethostname()) or 'camera'}"


def checked_topic(topic: str) -> str:
    """Give a topic back.

    Raises:
        UsageError: Nothing can be published below it.
    """
    try:
        fits = 0 < len(topic.encode()) <= 200 and topic.isprintable()
    except UnicodeEncodeError:
        fits = False
    if not fits or any(sign in topic for sign in "+#$") or not all(topic.split("/")):
        raise UsageError(f"--mqtt-topic {topic!a}: words with / between them, such as home/kitchen; no + # $")
    return topic


class Mqtt:
    """Publishes results; a broker that is slow or not there never holds up who writes.

    paho's own thread connects, and again after every loss; what happens meanwhile is not kept: what holds now is told
    when the broker is back.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        labels: tuple[str, ...],
        tell: Callable[[str], None],
        model: str = "",
        pauses_s: tuple[int, int] = PAUSES_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to connect.

        Args:
            broker: Where.
            topic: What stands before every topic.
            labels: Classes in output order.
            tell: Is given a line when the broker is not there or lost, and one when it is back; called in another
                thread.
            model: For Home Assistant to show.
            pauses_s: Shortest and longest pause between two tries to connect.
            clock: Seconds that never run backwards.

        Raises:
            UsageError: Nothing can be published below `topic`.
        """
        self._broker, self._topic, self._tell, self._clock = broker, checked_topic(topic), tell, clock
        self._configs = discovery(topic, labels, model)
        self._connected = threading.Event()
        self._fresh = self._closing = False
        self._lost = ""
        self._state_at = float("-inf")
        self._client = self._new_client(pauses_s)
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

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
        if events or now - self._state_at >= STATE_EVERY_S:
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
        return client

    def _on_connect(
        self, client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._tell_lost("refuses", f": {reason}; are user and password right?")
            return
        client.publish(f"{self._topic}/availability", "online", qos=1, retain=True)
        for topic, config in self._configs.items():
            client.publish(topic, json.dumps(config), qos=1, retain=True)
        self._fresh = True
        self._connected.set()
        if self._lost:
            self._lost = ""
            self._tell(f"{self._broker} is back")

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
        """Tell a loss once; that the broker refuses us is worth a second line."""
        if not self._closing and (not self._lost or (what == "refuses" and self._lost != what)):
            self._lost = what
            self._tell(f"{self._broker} {what}{why}; trying again")


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
    """What Home Assistant is told of its three entities, by topic; see its documentation of MQTT discovery."""
    node = re.sub("[^A-Za-z0-9_-]", "_", topic)
    device = {
        "identifiers": [node],
        "name": f"fer-edge {topic.rsplit('/', 1)[-1]}",
        "manufacturer": "fer-edge",
        "model": model or "fer-edge",
        "sw_version": installed(("fer-edge",)).get("fer-edge", "unknown"),
    }
    shared = {
        "state_topic": f"{topic}/state",
        "availability_topic": f"{topic}/availability",
        "expire_after": STALE_S,
        "device": device,
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
