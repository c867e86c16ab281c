"""Video files, cameras and network streams, through OpenCV."""

import re
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2

from fer_edge.device.cameras import JOIN_VIDEO, Node, video_nodes
from fer_edge.errors import DataError, SourceError
from fer_edge.imaging.images import Pixels
from fer_edge.settings import View
from fer_edge.sources.address import checked, masked, why_silent
from fer_edge.sources.frame import Frame, believable_fps, turned

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ogv", ".3gp"})
CAMERAS = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
"""Probing every OpenCV backend takes longer, and some open things that are not cameras."""
SMALL = 640 * 480
"""Pixels up to which USB 2 carries 30 uncompressed frames per second."""
SILENCE_MS = 10_000
"""Milliseconds without data after which a stream counts as lost; OpenCV's default is 30 seconds, and 10 for V4L2."""
DAMAGED_IN_A_ROW = 100
"""Failed reads in a row that count as the end: OpenCV reports a damaged frame and the end alike."""
DAMAGED_S = 1.0
"""A read that fails after more seconds than this was a timeout, not a damaged frame."""


def video(path: Path, view: View) -> Iterator[Frame]:
    """Open a video file.

    Raises:
        DataError: OpenCV cannot read it.
    """
    require_utf8(path)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened() or not capture.grab():
        command = f"ffmpeg -i {shlex.quote(str(path))} converted.mp4"
        raise DataError(f"{path}: OpenCV cannot read this video; convert it: {command}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 25)
    return _frames(capture, path.name, fps, view, path)


def camera(device: Path, view: View) -> Iterator[Frame]:
    """Open a camera.

    Args:
        device: /dev/videoN, or a link to one, resolved on every call: a camera that was plugged in again may have
            another number, but keeps its link in /dev/v4l/by-id.
        view: Requested size and rate; the camera picks the nearest it has.

    Raises:
        SourceError: It cannot be opened, or gives no frame.
    """
    name, number = camera_name(device), camera_number(device.resolve())
    if number is None:
        raise SourceError(f"{name} not found; list cameras: fer-edge cameras")
    capture = cv2.VideoCapture(number, CAMERAS)
    if capture.isOpened() and view.size:
        if view.size[0] * view.size[1] > SMALL:
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, view.size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, view.size[1])
    if capture.isOpened() and view.fps:
        capture.set(cv2.CAP_PROP_FPS, view.fps)
    if not capture.isOpened() or _grab(capture) is None:
        capture.release()
        raise SourceError(f"cannot open {name}; {why_closed(number, video_nodes())}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 30)
    return _frames(capture, name, fps, view, None)


def is_camera(device: Path) -> bool:
    """Return whether a path names a camera, plugged in or not: /dev/videoN or a link to one."""
    if camera_number(device) is not None or camera_number(device.resolve()) is not None:
        return True
    return device.parent in (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))


def camera_number(device: Path) -> int | None:
    """Return N of /dev/videoN; None for any other path."""
    number = re.fullmatch(r"/dev/video([0-9]{1,4})", str(device))
    return int(number[1]) if number else None


def camera_name(device: Path) -> str:
    """Return a camera's display name: its number, or the name of its link.

    >>> camera_name(Path("/dev/video0"))
    'camera 0'
    """
    number = camera_number(device)
    return device.name if number is None else f"camera {number}"


def why_closed(number: int, nodes: tuple[Node, ...]) -> str:
    """Explain why a camera cannot be opened, and what to type, from `fer_edge.device.cameras.video_nodes`."""
    if not nodes:
        return "this machine has no camera: plug one in, or type: --source FILE, or --source fake for drawn faces"
    node = next((node for node in nodes if node.number == number), None)
    if node is None:
        others = next((f"type: --source {one.source}" for one in nodes if one.source), "type: fer-edge cameras")
        return f"found only {', '.join(node.path for node in nodes)}; {others}"
    if node.answer.kind == "sensor":
        return "it is a camera module's raw sensor, which OpenCV cannot read; type: --source picam"
    if not node.readable:
        return f"no permission for {node.path}; type: {JOIN_VIDEO}, then log in again"
    if node.answer.kind != "camera":
        return f"{node.path} ({node.answer.name}) is not a camera; list cameras: fer-edge cameras"
    if node.holders:
        return f"{node.holders[0].name} has it open; type: {node.holders[0].end}"
    if node.answer.busy:
        return f"another program has it open; find it: sudo fuser -v {node.path}"
    return "it gives no frames; check cable and power, then type: fer-edge doctor"


def stream(address: str, view: View) -> Iterator[Frame]:
    """Open a network stream: RTSP, MJPEG or anything else that FFmpeg reads.

    RTSP uses TCP, OpenCV's default. OPENCV_FFMPEG_CAPTURE_OPTIONS would change that for the whole process, so it is
    not set here.

    Raises:
        SourceError: It gives no video; the message holds the reason and no password.
    """
    checked(address)
    # Each further decoder thread delays by a frame. Measured with H.264 at 20 frames per second: 102 ms from ffmpeg's
    # input to here with one thread, 152 with two, 253 with four, none of which shows in `age_ms`.
    properties = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: SILENCE_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: SILENCE_MS,
        cv2.CAP_PROP_N_THREADS: 1,
    }
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [number for pair in properties.items() for number in pair])
    if not capture.isOpened() or _grab(capture) is None:
        capture.release()
        raise SourceError(f"{masked(address)}: {why_silent(address)}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 25)
    return _frames(capture, masked(address), fps, view, None)


def _frames(capture: cv2.VideoCapture, name: str, fps: float, view: View, path: Path | None) -> Iterator[Frame]:
    """Read a capture whose first frame is already grabbed; only a file may end without an error."""
    opened = begun = grabbed = time.perf_counter()
    index = damaged = 0
    try:
        while True:
            if index % view.vid_stride == 0:
                frame_bgr = _retrieve(capture)
                decoded = time.perf_counter()
                if frame_bgr is None:
                    damaged += 1
                else:
                    t, captured = (index / fps, decoded) if path else (grabbed - opened, grabbed)
                    pixels, ms = turned(frame_bgr, view), 1000 * (decoded - begun)
                    yield Frame(name, index, t, pixels, ms, captured, path, fps, damaged)
                    damaged = 0
                begun = time.perf_counter()
            failed = _grab(capture)
            grabbed = time.perf_counter()
            if failed is None:
                break
            damaged += failed
            index += 1 + failed
    finally:
        capture.release()
    if path is None:
        raise SourceError(f"{name} gives no more frames")


def _grab(capture: cv2.VideoCapture) -> int | None:
    """Grab the next intact frame; return how many damaged ones preceded it, None at the end."""
    for failed in range(DAMAGED_IN_A_ROW):
        begun = time.perf_counter()
        try:
            if capture.grab():
                return failed
        except cv2.error:
            pass
        if time.perf_counter() - begun > DAMAGED_S:
            break
    return None


def _retrieve(capture: cv2.VideoCapture) -> Pixels | None:
    """Decode the grabbed frame: (height, width, 3) uint8 BGR; None if it is damaged."""
    try:
        decoded, frame_bgr = capture.retrieve()
    except cv2.error:
        return None
    return cast(Pixels, frame_bgr) if decoded else None


def require_utf8(path: Path) -> None:
    """Reject a path that would crash OpenCV's video functions and with them the process.

    Raises:
        DataError: It is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: OpenCV needs a UTF-8 path for a video; rename it") from error
