"""Streams for viewers: annotated JPEGs and events.

Viewers poll, so the main loop never waits for them. A frame is drawn and encoded once, on the first request, and shared
by all viewers; a slow viewer gets fewer frames, always the newest.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import cv2

from fer_edge.imaging.images import encode_picture, shrink_to_width
from fer_edge.preview.state import PreviewState, RunInfo, Snapshot
from fer_edge.sinks.annotate import annotated
from fer_edge.sinks.stdout import as_json, event_as_json

PICTURE_EVERY_S = 0.03
"""Seconds between JPEGs: enough for a camera's 30 frames per second; a faster source loses some."""
MESSAGE_EVERY_S = 1 / 15
STATUS_EVERY_S = 1.0
TICK_S = 0.01
"""Polling interval of a viewer in seconds."""
WIDEST = 1280
"""Maximum width in pixels: enough for a phone, and a Pi encodes it in milliseconds."""
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)
BOUNDARY = "fer-edge-picture"


class Pictures:
    """The newest frame as an annotated JPEG, for the server's thread only."""

    def __init__(self, state: PreviewState) -> None:
        self._state = state
        self._encoded: Snapshot | None = None
        self._encoded_at = 0.0
        self._jpeg = b""
        self.encoded = 0
        """JPEGs encoded so far."""

    def newest(self) -> tuple[int, bytes] | None:
        """Return frame number and JPEG, encoded at most every `PICTURE_EVERY_S`; None before the first frame."""
        newest, now = self._state.newest, self._state.clock()
        stale = self._encoded is None or now - self._encoded_at >= PICTURE_EVERY_S
        if newest is not None and newest is not self._encoded and stale:
            picture = annotated(newest.result.frame.bgr, newest.result.faces)
            self._jpeg = encode_picture(shrink_to_width(picture, WIDEST), ".jpg", JPEG)
            self._encoded, self._encoded_at = newest, now
            self.encoded += 1
        return (self._encoded.number, self._jpeg) if self._encoded else None


async def stream(pictures: Pictures) -> AsyncIterator[bytes]:
    """Yield each new JPEG as a part of multipart/x-mixed-replace."""
    # The boundary is sent after each JPEG, not before the next: Chromium shows an image only after the header of the
    # next one. So there is no Content-Length.
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
    yield head
    sent = 0
    while True:
        newest = pictures.newest()
        if newest is not None and newest[0] != sent:
            sent, jpeg = newest
            yield jpeg + b"\r\n" + head
        await asyncio.sleep(TICK_S)


async def messages(state: PreviewState, about: RunInfo) -> AsyncIterator[str]:
    """Yield server-sent events.

    First `about`; then an unnamed message with the line of `run --json` for each result, at most one per
    `MESSAGE_EVERY_S`; `change` for every event of a face; `status` every second.
    """
    yield "retry: 1000\n\n" + message(about.as_json(), "about")
    sent, changes = 0, state.totals().changes
    sent_at = status_at = float("-inf")
    while True:
        newest, now = state.newest, state.clock()
        if newest and newest.number != sent and now - sent_at >= MESSAGE_EVERY_S:
            sent, sent_at = newest.number, now
            yield message(as_json(newest.result))
        for number, event in state.changes(changes):
            changes = number
            yield message(event_as_json(event), "change")
        if now - status_at >= STATUS_EVERY_S:
            status_at = now
            yield message(state.status(), "status")
        await asyncio.sleep(TICK_S)


def message(document: Any, name: str = "") -> str:
    r"""Format a server-sent event.

    >>> message({"faces": 2}, "status")
    'event: status\ndata: {"faces": 2}\n\n'
    """
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(document, allow_nan=False)}\n\n"
