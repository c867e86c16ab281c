"""Video files, cameras and network streams, through OpenCV."""

import re
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2

from fer_edge.device.cameras import JOIN_VIDEO, Node, video_nodes
from fer_edge.errors import DataError, SourceError
from fer_edge.imaging.images import Pixels
from fer_edge.settings import View
from fer_edge.sources.address import checked, redact, why_silent
from fer_edge.sources.frame import Frame, Log, believable_fps, rotate_frame
from fer_edge.sources.web import downloaded

CAMERAS = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
"""Probing every OpenCV backend takes longer, and some open things that are not cameras."""
SMALL = 640 * 480
"""Pixels up to which a USB camera sends plain pixels fast enough; USB 2 has no room for 30 larger frames a second."""
TEXT = bytes({7, 8, 9, 10, 12, 13, 27, *range(32, 256)})
"""Bytes that text is made of."""
SILENCE_MS = 10_000
"""Milliseconds without data after which a stream counts as lost; OpenCV's default is 30 seconds, and 10 for V4L2."""
DAMAGED_IN_A_ROW = 100
"""OpenCV says the same of a damaged frame and of the end; after so many, which at the end takes no time, it is the
end."""
MOST_FRAMES = 1e9
"""Streams without an end state any number of frames, also negative ones."""
COMPLETE = 0.98
"""Share of its stated length from which on a video counts as complete: some state a rounded one."""
DAMAGED_S = 1.0
"""A read that fails after more seconds than this was a timeout, not a damaged frame."""


def video(path: Path, view: View, log: Log) -> Iterator[Frame]:
    """Open a video file; `log` is given a line if it is damaged or incomplete.

    Raises:
        DataError: OpenCV cannot read it.
    """
    require_utf8(path)
    capture = cv2.VideoCapture(str(path.absolute()))  # FFmpeg takes 10:30.mp4 for a protocol
    if not capture.isOpened() or not capture.grab():
        command = f"ffmpeg -i {shlex.quote(str(path))} converted.mp4"
        raise DataError(f"{path}: OpenCV cannot read this video; convert it: {command}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 25)
    return _recorded(capture, str(path), fps, view, log, path)


def opens(path: Path) -> bool:
    """Whether OpenCV opens a file as a video, whatever its name. Text is none: FFmpeg would draw it."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    if not head.translate(None, delete=TEXT) or not path.is_file():
        return False
    require_utf8(path)
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    opened = capture.isOpened() and capture.grab()
    capture.release()
    return bool(opened)


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
    if not capture.isOpened() or _grab(capture, DAMAGED_IN_A_ROW) is None:
        capture.release()
        raise SourceError(f"cannot open {name}; {why_closed(number, video_nodes())}")
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 30)
    return _live(capture, name, fps, view)


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
    capture = _opened(address)
    return _live(capture, redact(address), believable_fps(capture.get(cv2.CAP_PROP_FPS), 25), view)


def recorded(address: str, view: View, log: Log) -> Iterator[Frame]:
    """Open a video file behind an address; where FFmpeg cannot read it in place, it is downloaded first.

    Raises:
        SourceError: No video comes from there; says why, and no password.
        DataError: OpenCV cannot read it.
    """
    try:
        capture = _opened(address)
    except SourceError:
        if not address.lower().startswith("http"):
            raise
        return _downloaded(address, view, log)
    fps = believable_fps(capture.get(cv2.CAP_PROP_FPS), 25)
    return _recorded(capture, redact(address), fps, view, log, None)


def _downloaded(address: str, view: View, log: Log) -> Iterator[Frame]:
    log(f"{redact(address)} cannot be read in place; downloading it")
    with downloaded(address) as path:
        for frame in video(path, view, log):
            yield replace(frame, name=redact(address), path=None)


def _opened(address: str) -> cv2.VideoCapture:
    """Open an address and grab its first frame.

    Raises:
        SourceError: None comes from there.
    """
    checked(address)
    scheme, rest = address.split("://", 1)
    # One thread: each further one holds back a frame. Seen with H.264 at 20 frames per second: 102 ms from ffmpeg's
    # input to here with one, 152 with two, 253 with four, which no age would tell of.
    asked = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: SILENCE_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: SILENCE_MS,
        cv2.CAP_PROP_N_THREADS: 1,
    }
    options = [number for pair in asked.items() for number in pair]
    capture = cv2.VideoCapture(f"{scheme.lower()}://{rest}", cv2.CAP_FFMPEG, options)  # FFmpeg knows no RTSP://
    if not capture.isOpened() or _grab(capture, DAMAGED_IN_A_ROW) is None:
        capture.release()
        raise SourceError(f"{redact(address)}: {why_silent(address)}")
    return capture


def _live(capture: cv2.VideoCapture, name: str, fps: float, view: View) -> Iterator[Frame]:
    """Read a camera or stream whose first frame has been grabbed already; it never ends without an error."""
    opened = begun = grabbed = time.perf_counter()
    index = damaged = 0
    try:
        while True:
            if index % view.vid_stride == 0:
                frame_bgr = _retrieve(capture)
                if frame_bgr is None:
                    damaged += 1
                else:
                    pixels, ms = rotate_frame(frame_bgr, view), 1000 * (time.perf_counter() - begun)
                    yield Frame(name, index, grabbed - opened, pixels, ms, grabbed, None, fps, damaged)
                    damaged = 0
                begun = time.perf_counter()
            failed = _grab(capture, DAMAGED_IN_A_ROW)
            grabbed = time.perf_counter()
            if failed is None:
                break
            damaged += failed
            index += 1 + failed
    finally:
        capture.release()
    raise SourceError(f"{name} gives no more frames")


def _recorded(
    capture: cv2.VideoCapture, name: str, fps: float, view: View, log: Log, path: Path | None
) -> Iterator[Frame]:
    """Read a file whose first frame has been grabbed already, to its end; frames have the times that it says."""
    stated = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    total = int(stated) if 0 < stated < MOST_FRAMES else None
    timed = capture.get(cv2.CAP_PROP_FPS) == fps  # where the rate cannot be one, the times cannot be either
    begun, first = time.perf_counter(), capture.get(cv2.CAP_PROP_POS_MSEC)
    index = damaged = read = failures = 0
    t = 0.0
    try:
        while True:
            frame_bgr = _retrieve(capture) if index % view.vid_stride == 0 else None
            if frame_bgr is not None:
                decoded = time.perf_counter()
                pixels, ms = rotate_frame(frame_bgr, view), 1000 * (decoded - begun)
                yield Frame(name, index, t, pixels, ms, decoded, path, fps, damaged)
                damaged, begun = 0, time.perf_counter()
            elif index % view.vid_stride == 0:
                damaged += 1
            read += 1
            failed = _grab(capture, max(DAMAGED_IN_A_ROW, (total or 0) - index))
            if failed is None:
                break
            damaged, failures, index = damaged + failed, failures + failed, index + 1 + failed
            stamp = (capture.get(cv2.CAP_PROP_POS_MSEC) - first) / 1000
            t = stamp if timed and stamp > t else t + (1 + failed) / fps  # raw streams have no times
    finally:
        capture.release()
    if total and (failures or t + 1 / fps < COMPLETE * total / fps - 1):
        log(f"{name}: ended after {read} of {total} frames; the video is damaged or incomplete")


def _grab(capture: cv2.VideoCapture, tries: int) -> int | None:
    """Take the next frame that is complete; returns how many before it were damaged, None where no more come."""
    for failed in range(tries):
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
