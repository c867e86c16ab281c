"""Addresses of streams: what one is, what of it people may see, and why it gives no video."""

import re
import socket
from urllib.parse import urlsplit

from fer_edge.errors import SourceError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443, "tcp": 0, "udp": 0}
"""Kinds of address, and the port of each where none is written; 0 where one must be. rpicam-vid serves tcp://."""
HARMLESS = "action|camera|channel|fps|height|profile|resolution|size|stream|subtype|width"
"""Parameters whose values tell two streams of one camera apart. All others are hidden: no list of the names that
makers give to a password (pwd, loginpas, token, sig ...) is ever complete."""
PARAMETER = re.compile(rf"([?&;/_#])(?!(?:{HARMLESS})=)([A-Za-z][^=&;?/#\s]*?)=.*?(?=$|[&;#]|_[A-Za-z]+=)", re.DOTALL)
"""Also in a path: there are cameras at /user=admin_password=123_channel=1_stream=0.sdp."""
PROBE_S = 3.0
"""Seconds to wait for a host, when its stream did not open and only the reason is wanted."""
EXAMPLE = "rtsp://user:password@192.168.1.20:554/stream"


def is_address(text: str) -> bool:
    """Log whether a source is an address, of whatever kind.

    >>> is_address("rtsp://camera/live"), is_address("photos/a.jpg")
    (True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def masked(text: str) -> str:
    """Hide users, passwords and keys in an address, or in a text that holds some.

    >>> masked("rtsp://admin:s3cret@10.0.0.9:554/cam?channel=1&pwd=s3cret")
    'rtsp://***@10.0.0.9:554/cam?channel=1&pwd=***'
    """
    if is_address(text):
        return _masked_address(text)
    return re.sub(r"[A-Za-z][A-Za-z0-9+.-]*://\S+", lambda found: _masked_address(found[0]), text)


def _masked_address(address: str) -> str:
    scheme, rest = address.split("://", 1)
    if "@" in rest and not _only_in_path(rest):  # up to the last one, whatever is in the password
        rest = f"***@{rest.rsplit('@', 1)[1]}"
    return f"{scheme}://" + PARAMETER.sub(r"\1\2=***", rest)


def _only_in_path(rest: str) -> bool:
    """Whether the @ of an address, without its scheme, are in its path, as in host/@user/live: there is no password."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return "@" not in host and ":" not in host


def checked(address: str) -> tuple[str, str, int]:
    """Take an address apart: scheme, host and port.

    Raises:
        SourceError: It is none that a stream can be read from.
    """
    shown = masked(address)
    try:
        address.encode()  # OpenCV would end the whole process
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
        rest = address.split("://", 1)[1]
        behind = rest[len(parts.netloc) :]
        broken = "@" in behind and not _only_in_path(rest)  # a / ? or # in a password ended the host too early
    except ValueError:
        broken = True
    if broken:  # not "from" the error, whose text may hold a piece of the password
        raise SourceError(
            f"{shown}: no address; is its port a number to 65535? Write @ / : # ? in a password as %40 %2F %3A %23 %3F "
            "(and @ in a path as %40)"
        )
    if port is None:
        raise SourceError(f"{shown}: --source reads {', '.join(f'{kind}://' for kind in PORTS)}")
    if not parts.hostname or not port:
        raise SourceError(f"{shown}: the host or its port is missing; such as {EXAMPLE}")
    return parts.scheme, parts.hostname, port


def why_silent(address: str) -> str:
    """Find out why no video comes from `address`: the name, the host, or what it is asked for."""
    scheme, host, port = checked(address)
    if scheme == "udp":
        return "no video arrives; does the camera send to this machine and port?"
    try:
        socket.create_connection((host, port), PROBE_S).close()
    except socket.gaierror:
        return f"the name {host} is not known here; use its number, such as 192.168.1.20, or type: getent hosts {host}"
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or "no answer"
        return f"{host} does not let in at port {port} ({reason}); is it on, and in this network? ping {host}"
    return (
        f"{host} answers at port {port} but gives no video; are path, user and password right? "
        "Its maker names the path, or try: ffplay ADDRESS"
    )
