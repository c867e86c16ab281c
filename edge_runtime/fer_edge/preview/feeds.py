"""What viewers are sent: pictures with boxes, and messages.

Viewers ask; the loop is never asked to do anything. A picture is drawn and encoded once, when the first viewer wants
it, and all others get the same bytes; a viewer who is slow gets fewer pictures, and always new ones.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import cv2

from fer_edge.imaging.images import encode_picture, no_wider_than
from fer_edge.preview.state import PreviewState, RunInfo, Snapshot
from fer_edge.sinks.annotate import annotated
from fer_edge.sinks.stdout import as_json, event_as_json

PICTURE_EVERY_S = 0.03
"""A camera's 30 pictures a second pass; of a video that is gone through faster, some."""
MESSAGE_EVERY_S = 1 / 15
STATUS_EVERY_S = 1.0
TICK_S = 0.01
"""How often a viewer's turn comes to look for something new."""
WIDEST = 1280
"""Pixels; a phone shows no more, and a Pi encodes what it shows in milliseconds."""
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 80)
BOUNDARY = "fer-edge-picture"


class Pictures:
    """The newest frame as a JPEG with its boxes. For one thread, that of the server."""

    def __init__(self, state: PreviewState) -> None:
        self._state = state
        self._made: Snapshot | None = None
        self._made_at = 0.0
        self._jpeg = b""
        self.encoded = 0
        """JPEGs made so far."""

    def newest(self) -> tuple[int, bytes] | None:
        """Number of a frame and its JPEG, made at most every `PICTURE_EVERY_S`; None before the first frame."""
        newest, now = self._state.newest, self._state.clock()
        stale = self._made is None or now - self._made_at >= PICTURE_EVERY_S
        if newest is not None and newest is not self._made and stale:
            picture = annotated(newest.result.frame.bgr, newest.result.faces)
            self._jpeg = encode_picture(no_wider_than(picture, WIDEST), ".jpg", JPEG)
            self._made, self._made_at = newest, now
            self.encoded += 1
        return (self._made.number, self._jpeg) if self._made else None


async def stream(pictures: Pictures) -> AsyncIterator[bytes]:
    """Give each new picture as a part of multipart/x-mixed-replace."""
    # What separates two pictures is sent behind the first one, not before the second: Chromium shows a picture only
    # when it has seen the head of the next one, and none should wait for that. So no head tells a length.
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
    """Give server-sent events.

    First `about`; then for each result, at most one every `MESSAGE_EVERY_S`, a message without a name that holds what
    `run --json` prints; `change` for whatever happened to a face, none left out; every second `status`.
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
    r"""Write one server-sent event.

    >>> message({"faces": 2}, "status")
    'event: status\ndata: {"faces": 2}\n\n'
    """
    return (f"event: {name}\n" if name else "") + f"data: {json.dumps(document, allow_nan=False)}\n\n"
