"""Parse and validate an MQTT broker's address and topic, without connecting."""

import os
import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fer_edge.errors import UsageError
from fer_edge.sources.address import redact

PORTS = {"mqtt": 1883, "mqtts": 8883}
PASSWORD = "FER_EDGE_MQTT_PASSWORD"  # noqa: S105
"""Environment variable with the password, if the address has none."""
EXAMPLE = "mqtt://user:password@192.168.1.10:1883"


@dataclass(frozen=True)
class Broker:
    """Address and credentials of a broker."""

    host: str
    port: int
    tls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Display name, without user and password."""
        return f"MQTT broker {self.host}:{self.port}"


def parsed_broker(address: str) -> Broker:
    """Parse a broker's address.

    Args:
        address: mqtt://[user[:password]@]host[:port], or mqtts:// for TLS; a missing password is taken from the
            environment.

    Raises:
        UsageError: It is invalid; the message holds no password.
    """
    shown = redact(address)
    try:
        parts = urlsplit(address)
        port, host = parts.port, parts.hostname
        (host or "").encode("idna")
        more = parts.path.strip("/") or parts.query or parts.fragment
        broken = bool(more) or ("@" in address and "@" not in parts.netloc)  # unescaped password
    except ValueError:  # not "from" the error, whose text may contain part of the password
        broken = True
    if broken:
        hint = "in a password, write @ / : # ? as %40 %2F %3A %23 %3F; pass the topic as --mqtt-topic"
        raise UsageError(f"--mqtt {shown}: not a broker address such as {EXAMPLE}; {hint}")
    if parts.scheme not in PORTS or not host:
        raise UsageError(f"--mqtt {shown}: not a broker address such as {EXAMPLE}, or mqtts:// for TLS")
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else os.environ.get(PASSWORD)
    return Broker(host, port or PORTS[parts.scheme], parts.scheme == "mqtts", user, password)


def default_topic(source: str) -> str:
    """Name the topic after this machine and the source, so that two runs on one machine have two.

    >>> default_topic("rtsp://***@10.0.0.9:554/live").rpartition("/")[2]
    'rtsp-10.0.0.9-554-live'
    """
    machine, place = (re.sub("[^A-Za-z0-9_.]+", "-", name).strip("-")[-80:] for name in (socket.gethostname(), source))
    return f"fer-edge/{machine or 'camera'}/{place or 'source'}"


def checked_topic(topic: str) -> str:
    """Validate and return a topic.

    Raises:
        UsageError: It is not a valid topic prefix.
    """
    try:
        valid = 0 < len(topic.encode()) <= 200 and topic.isprintable()
    except UnicodeEncodeError:
        valid = False
    if not valid or any(sign in topic for sign in "+#$") or not all(topic.split("/")):
        raise UsageError(f"--mqtt-topic {topic!a}: use words separated by /, such as home/kitchen, without + # $")
    return topic
