"""Files behind http:// and https://: what is there, one picture, or a video that must be downloaded first."""

import base64
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Literal, cast
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from fer_edge.errors import SourceError
from fer_edge.imaging.images import SUFFIXES as PICTURES
from fer_edge.imaging.images import VIDEO_SUFFIXES
from fer_edge.sources.address import PROBE_S, checked, redact, why_silent

VIDEOS = VIDEO_SUFFIXES - {".mjpeg", ".mjpg"}  # cameras name their streams so
PLAYLISTS = ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl")
"""Content types of HLS (RFC 8216)."""
LARGEST = 1 << 26
"""Bytes of a picture or playlist that are loaded."""
LARGEST_VIDEO = 1 << 31
CHUNK = 1 << 18


def kind_of(address: str) -> Literal["picture", "recorded", "live"]:
    """Find out whether an address gives one picture, a video with an end, or a stream without one.

    Only http:// and https:// addresses that end like a file are asked: some cameras serve one client at a time.
    """
    parts = urlsplit(address)
    suffix = PurePosixPath(parts.path).suffix.lower()
    if parts.scheme not in ("http", "https") or suffix not in (*PICTURES, *VIDEOS, ".m3u8"):
        return "live"
    try:
        with _opened(address) as reply:
            kind = reply.headers.get_content_type()
            if suffix == ".m3u8" or kind in PLAYLISTS:
                return "recorded" if _has_end(address, reply.read(LARGEST).decode(errors="replace")) else "live"
            if kind.startswith("image/"):
                return "picture"
            return "recorded" if reply.headers["Content-Length"] else "live"
    except SourceError:  # opening it says why
        return "live"


def fetched(address: str) -> bytes:
    """Load what is at an address, up to `LARGEST` bytes.

    Raises:
        SourceError: Nothing comes from there; says why, and no password.
    """
    with _opened(address) as reply:
        return reply.read(LARGEST)


@contextmanager
def downloaded(address: str) -> Iterator[Path]:
    """Download a video to a temporary file, which is gone when the block ends.

    Raises:
        SourceError: Nothing comes from there, or more than `LARGEST_VIDEO` bytes.
    """
    with tempfile.TemporaryDirectory(prefix="fer-edge-") as folder:
        path = Path(folder) / "video"
        with _opened(address) as reply, path.open("wb") as stream:
            while chunk := reply.read(CHUNK):
                stream.write(chunk)
                if stream.tell() > LARGEST_VIDEO:
                    raise SourceError(f"{redact(address)}: over {LARGEST_VIDEO >> 30} GiB; download it yourself")
        yield path


@contextmanager
def _opened(address: str) -> Iterator[HTTPResponse]:
    """Send a GET request, with the user and password of the address.

    Raises:
        SourceError: It fails, also while the reply is read.
    """
    checked(address)
    parts = urlsplit(address)
    headers = {"User-Agent": "fer-edge"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    try:
        with urlopen(Request(bare, headers=headers), timeout=PROBE_S) as reply:  # noqa: S310  http and https only
            yield cast(HTTPResponse, reply)
    except (OSError, ValueError, HTTPException) as error:
        raise SourceError(f"{redact(address)}: {why_silent(address)}") from error


def _has_end(address: str, playlist: str) -> bool:
    """Whether an HLS playlist, or the first one that a master playlist names, ends (RFC 8216, EXT-X-ENDLIST)."""
    if "#EXT-X-STREAM-INF" in playlist:
        first = next((line for line in playlist.splitlines() if line and not line.startswith("#")), "")
        playlist = fetched(urljoin(address, first)).decode(errors="replace")
    return "#EXT-X-ENDLIST" in playlist
