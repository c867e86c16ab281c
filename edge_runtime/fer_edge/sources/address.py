"""Stream addresses: recognise, validate and mask them, and diagnose one that gives no video."""

import re
import socket
from urllib.parse import urlsplit

from fer_edge.errors import SourceError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "tcp": 0, "udp": 0}
"""Default port by scheme; 0 where the address must give one. rpicam-vid serves tcp://."""
HARMLESS = "action|camera|channel|fps|height|profile|resolution|size|stream|subtype|width"
"""Parameters that distinguish the streams of one camera; the values of all others are masked, since no list of
password parameters (pwd, loginpas, token, sig ...) is complete."""
PARAMETER = re.compile(rf"([?&;/_#])(?!(?:{HARMLESS})=)([A-Za-z][^=&;?/#\s]*?)=.*?(?=$|[&;#]|_[A-Za-z]+=)", re.DOTALL)
"""Matches in paths too: some cameras use /user=admin_password=123_channel=1_stream=0.sdp."""
PROBE_S = 3.0
"""Timeout in seconds of the connection test after a stream failed to open."""
EXAMPLE = "rtsp://user:password@192.168.1.20:554/stream"


def is_address(text: str) -> bool:
    """Return whether a source is an address with any scheme.

    >>> is_address("rtsp://camera/live"), is_address("photos/a.jpg")
    (True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def redact(text: str) -> str:
    """Mask user names, passwords and keys in an address, or in a text that contains addresses.

    >>> redact("rtsp://admin:s3cret@10.0.0.9:554/cam?channel=1&pwd=s3cret")
    'rtsp://***@10.0.0.9:554/cam?channel=1&pwd=***'
    """
    if is_address(text):
        return _redact_address(text)
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", lambda found: _redact_address(found[0]), text)


def _redact_address(address: str) -> str:
    scheme, rest = address.split("://", 1)
    if "@" in rest and not _only_in_path(rest):  # up to the last one, whatever is in the password
        rest = f"***@{rest.rsplit('@', 1)[1]}"
    return f"{scheme}://" + PARAMETER.sub(r"\1\2=***", rest)


def _only_in_path(rest: str) -> bool:
    """Whether the @ of an address, without its scheme, are in its path, as in host/@user/live: there is no password."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "@" not in host and ":" not in host


def checked(address: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of an address.

    Raises:
        SourceError: It is invalid or has an unsupported scheme.
    """
    shown = redact(address)
    try:
        address.encode()  # invalid UTF-8 would crash OpenCV and with it the process
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
        rest = address.split("://", 1)[1]
        behind = rest[len(parts.netloc) :]
        broken = "@" in behind and not _only_in_path(rest)  # a / ? or # in a password ended the host too early
    except ValueError:
        broken = True
    if broken:  # not "from" the error, whose text may contain part of the password
        raise SourceError(
            f"{shown}: invalid address; the port must be at most 65535, and a password must escape @ / : # ? as "
            "%40 %2F %3A %23 %3F, a path @ as %40"
        )
    if port is None:
        raise SourceError(f"{shown}: --source reads {', '.join(f'{kind}://' for kind in PORTS)}")
    if not parts.hostname or not port:
        raise SourceError(f"{shown}: host or port missing; for example {EXAMPLE}")
    return parts.scheme, parts.hostname, port


def why_silent(address: str) -> str:
    """Diagnose why `address` gives no video: host name, connection, or path and password."""
    scheme, host, port = checked(address)
    if scheme == "udp":
        return "no video received; check that the camera sends to this machine and port"
    try:
        socket.create_connection((host, port), PROBE_S).close()
    except socket.gaierror:
        return f"cannot resolve {host}; use its IP address, such as 192.168.1.20, or check: getent hosts {host}"
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or "no answer"
        return f"cannot connect to {host} port {port} ({reason}); check that it is on and in this network: ping {host}"
    return (
        f"{host} answers on port {port} but sends no video; check path, user and password in the camera's manual, or "
        "try: ffplay ADDRESS"
    )
