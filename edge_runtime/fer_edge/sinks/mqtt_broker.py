"""Which MQTT broker, as whom, and below which topic; nothing is connected here."""

import os
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fer_edge.errors import UsageError
from fer_edge.sources.address import masked

PORTS = {"mqtt": 1883, "mqtts": 8883}
PASSWORD = "FER_EDGE_MQTT_PASSWORD"  # noqa: S105
"""Variable of the environment that holds the password, where the address holds none."""
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


def parsed_broker(address: str) -> Broker:
    """Take an address apart.

    Args:
        address: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS; a password that it does not hold is that of
            the environment.

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
    known = unquote(parts.password) if parts.password else os.environ.get(PASSWORD)
    return Broker(host, port or PORTS[parts.scheme], parts.scheme == "mqtts", user, known)


def default_topic(source: str) -> str:
    """Name the topic after this machine and the source, so that two runs on one machine have two.

    >>> default_topic("rtsp://***@10.0.0.9:554/live").rpartition("/")[2]
    'rtsp-10.0.0.9-554-live'
    """
    machine, place = (re.sub("[^A-Za-z0-9_.]+", "-", name).strip("-")[-80:] for name in (socket.gethostname(), source))
    return f"fer-edge/{machine or 'camera'}/{place or 'source'}"


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
