"""The camera on a Raspberry Pi's ribbon cable, through picamera2, which comes with the system and never from pip."""

import concurrent.futures
import contextlib
import importlib
import time
from collections.abc import Iterator
from typing import Any

from fer_edge.errors import SourceError, one_line
from fer_edge.settings import View
from fer_edge.sources.frame import Frame, turned

NAME = "picam"
FPS = 30.0
SIZE_WH = (640, 480)
SILENCE_S = 10.0
"""How long the camera may give nothing before it counts as lost."""
INSTALL = "sudo apt install -y python3-picamera2"


def picam(view: View) -> Iterator[Frame]:
    """Open the first camera that libcamera knows.

    Raises:
        SourceError: picamera2 is missing, or finds no camera that it may have.
    """
    begun, fps = time.perf_counter(), view.fps or FPS
    camera = _started(_picamera2(), view.size or SIZE_WH, fps)
    return _frames(camera, fps, view, begun)


def _picamera2() -> Any:
    """Import the class.

    Raises:
        SourceError: It is not there, or not made for this environment's numpy; says what to type.
    """
    try:
        return importlib.import_module("picamera2").Picamera2
    except ModuleNotFoundError as error:
        raise SourceError(
            f"picam: no {error.name} in this environment; it comes with the system, not from pip: {INSTALL}, then an "
            "environment that sees it: python3 -m venv --system-site-packages ENV, and install fer-edge there"
        ) from error
    except (ImportError, ValueError) as error:  # numpy 2 here, and a system package that was built for numpy 1
        raise SourceError(
            f"picam: picamera2 does not load here: {one_line(error)}; if it speaks of numpy: pip install 'numpy<2'"
        ) from error


def _started(make: Any, size_wh: tuple[int, int], fps: float) -> Any:
    """Configure and start a camera.

    Raises:
        SourceError: There is none, or another program has it.
    """
    camera: Any = None
    try:
        camera = make()
        # "RGB888" is libcamera's name for bytes in the order B, G, R, which is what OpenCV and fer-edge take.
        main = {"size": size_wh, "format": "RGB888"}
        camera.configure(camera.create_video_configuration(main=main, controls={"FrameRate": fps}))
        camera.start()
    except (RuntimeError, LookupError, OSError, ValueError) as error:  # it says "list index out of range" for no camera
        if camera is not None:
            _close(camera)
        raise SourceError(
            f"picam: no camera ({one_line(error)}); see what there is: rpicam-hello --list-cameras, and who holds it: "
            "fuser /dev/media*"
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
                yield Frame(NAME, index, captured - opened, turned(frame_bgr, view), ms, captured, None, fps)
                begun = time.perf_counter()
            index += 1
    finally:
        _close(camera)


def _close(camera: Any) -> None:
    """Close it, even where libcamera complains that it is gone."""
    with contextlib.suppress(RuntimeError, OSError):
        camera.close()
