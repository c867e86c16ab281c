"""Raspberry Pi camera modules, through picamera2, which comes with the system and not from pip."""

import concurrent.futures
import contextlib
import importlib
import time
from collections.abc import Iterator
from typing import Any

from fer_edge.errors import SourceError, one_line
from fer_edge.settings import View
from fer_edge.sources.frame import Frame, rotate_frame

NAME = "picam"
FPS = 30.0
SIZE_WH = (640, 480)
SILENCE_S = 10.0
"""Seconds without a frame after which the camera counts as lost."""
INSTALL = "sudo apt install -y python3-picamera2"


def picam(view: View) -> Iterator[Frame]:
    """Open the first camera that libcamera finds.

    Raises:
        SourceError: picamera2 is missing, or finds no available camera.
    """
    begun, fps = time.perf_counter(), view.fps or FPS
    camera = _start(_picamera2(), view.size or SIZE_WH, fps)
    return _frames(camera, fps, view, begun)


def _picamera2() -> Any:
    """Import the class Picamera2.

    Raises:
        SourceError: It is not installed, or built for another numpy.
    """
    try:
        return importlib.import_module("picamera2").Picamera2
    except ModuleNotFoundError as error:
        raise SourceError(
            f"picam: {error.name} is not installed; type: {INSTALL}, and install fer-edge in an environment that sees "
            "it: python3 -m venv --system-site-packages ENV"
        ) from error
    except (ImportError, ValueError) as error:  # numpy 2 here, and a system package built for numpy 1
        raise SourceError(
            f"picam: cannot import picamera2: {one_line(error)}; if this mentions numpy, type: pip install 'numpy<2'"
        ) from error


def _start(make: Any, size_wh: tuple[int, int], fps: float) -> Any:
    """Configure and start a camera.

    Raises:
        SourceError: There is none, or another program uses it.
    """
    camera: Any = None
    try:
        camera = make()
        # "RGB888" is libcamera's name for bytes in the order B, G, R, which is what OpenCV and fer-edge take.
        main = {"size": size_wh, "format": "RGB888"}
        camera.configure(camera.create_video_configuration(main=main, controls={"FrameRate": fps}))
        camera.start()
    except (RuntimeError, LookupError, OSError, ValueError) as error:  # "list index out of range" without a camera
        if camera is not None:
            _close(camera)
        raise SourceError(
            f"picam: no camera available ({one_line(error)}); check: rpicam-hello --list-cameras, and which process "
            "uses it: fuser /dev/media*"
        ) from error
    return camera


def _frames(camera: Any, fps: float, view: View, begun: float) -> Iterator[Frame]:
    opened, index = time.perf_counter(), 0
    try:
        while True:
            try:
                frame_bgr = camera.wait(camera.capture_array("main", wait=False), timeout=SILENCE_S)
            except (concurrent.futures.TimeoutError, TimeoutError, RuntimeError, OSError) as error:
                raise SourceError(f"picam gives no more frames ({one_line(error)})") from error
            captured = time.perf_counter()
            if index % view.vid_stride == 0:
                ms = 1000 * (captured - begun)
                yield Frame(NAME, index, captured - opened, rotate_frame(frame_bgr, view), ms, captured, None, fps)
                begun = time.perf_counter()
            index += 1
    finally:
        _close(camera)


def _close(camera: Any) -> None:
    """Close the camera, ignoring libcamera's errors about a lost one."""
    with contextlib.suppress(RuntimeError, OSError):
        camera.close()
