"""Settings of `fer-edge run` and `fer_edge.stream`: defaults, limits and help."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fer_edge.device.processor import parsed_threads
from fer_edge.errors import UsageError
from fer_edge.options import Option, check

Rotation = Literal[0, 90, 180, 270]
PORT = 4912
"""Default port of the live page, the same as Edge Impulse's."""
SLOWEST_FPS, FASTEST_FPS = 0.1, 1000.0
"""Plausible frame rates: files without one state 0, 90000 (MPEG's clock) or anything else."""


def parsed_size(text: str) -> tuple[int, int]:
    """Parse the width and height of `--size`.

    >>> parsed_size("640x480")
    (640, 480)

    Raises:
        UsageError: It is not a size.
    """
    numbers = re.fullmatch(r"([0-9]{1,5})[x*,]([0-9]{1,5})", text.strip().lower())
    if not numbers:
        raise UsageError(f"--size {text}: use width and height, such as 640x480")
    return int(numbers[1]), int(numbers[2])


@dataclass(frozen=True)
class View:
    """How frames are requested and transformed.

    Raises:
        UsageError: A value is out of range.
    """

    live: Annotated[
        bool | None,
        Option(help="Take the newest frame (live) or every frame; default: live for cameras and streams."),
    ] = None
    size: Annotated[
        tuple[int, int] | None,
        Option(1, 8192, parse=parsed_size, metavar="WxH", help="Resolution to request from a camera, as 640x480."),
    ] = None
    """Width and height; those of raw frames on standard input, and of drawn ones, too."""
    fps: Annotated[
        float | None,
        Option(SLOWEST_FPS, FASTEST_FPS, help="Frame rate to request from a camera; that of a pipe."),
    ] = None
    """That of drawn frames, too."""
    rotate: Annotated[Rotation, Option(help="Degrees clockwise.")] = 0
    mirror: Annotated[bool, Option(help="Flip left and right.")] = False
    """Applied after the rotation."""
    vid_stride: Annotated[int, Option(1, help="Take every n-th frame of a video or camera.")] = 1
    loop: Annotated[bool, Option(help="Start a file again when it ends.")] = False
    realtime: Annotated[bool, Option(help="Play a file as if it were a camera.")] = False

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class TrackingSettings:
    """Which faces are tracked, and how often they are detected.

    Raises:
        UsageError: A value is out of range.
    """

    detect_every: Annotated[
        int | None,
        Option(1, help="Detect faces in every n-th frame, track them in between; default: 3, with --blur 1."),
    ] = None
    """Maximum interval; changes in the image request an earlier detection. By default from `budget_ms`, if given."""
    budget_ms: Annotated[
        float | None,
        Option(0.001, help="Mean milliseconds per frame; detection interval and input size follow from it."),
    ] = None
    """Without capture."""
    max_faces: Annotated[int | None, Option(1, help="Keep the n largest faces.")] = None
    min_face: Annotated[float, Option(0, help="Ignore faces whose longer side is shorter, in pixels.")] = 0

    def __post_init__(self) -> None:
        check(self)


DEFAULT_TRACKING = TrackingSettings()
FACES, OUTPUTS = "Faces", "Outputs"
"""Panels of `run --help`."""

ModelPath = Annotated[Path | None, Option(short="-m", help="A .tflite of fer-edge export; default: the bundled one.")]
Threads = Annotated[
    int,
    Option(
        metavar="N|auto",
        parse=parsed_threads,
        help="Threads of detector and classifier; auto: as many as make it faster.",
    ),
]
DetectorForm = Annotated[
    Literal["auto", "int8", "float16", "none"],
    Option(
        panel=FACES,
        help="auto: YuNet, as int8 or float16, whichever is faster on this processor; none: "
        "each image is a face crop already.",
    ),
]
DetectorPath = Annotated[Path | None, Option(panel=FACES, help="A face detector's .tflite; default: the bundled one.")]


@dataclass(frozen=True)
class RunSettings:
    """Settings of `fer-edge run`.

    Raises:
        UsageError: `blur` is combined with a limit on faces, which would leave the others visible.
    """

    model: ModelPath = None
    source: Annotated[
        str,
        Option(
            short="-s",
            envvar="FER_EDGE_SOURCE",
            help="Picture, folder, 'pattern*.jpg', video file, number of a camera, picam, rtsp:// or http:// address, "
            "- (standard input) or fake (drawn faces).",
        ),
    ] = "0"
    threads: Threads = 1
    """Also of OpenCV."""
    view: Annotated[View, Option(panel="Frames")] = View()
    detector: DetectorForm = "auto"
    detector_model: DetectorPath = None
    conf: Annotated[
        float | None,
        Option(0, 1, panel=FACES, help="Least score of a detection; default: the detector's own threshold."),
    ] = None
    uncertain_below: Annotated[
        float | None,
        Option(0, 1, panel=FACES, help="Score below which an expression is called uncertain; default: the model's."),
    ] = None
    tracking: Annotated[TrackingSettings, Option(panel=FACES)] = DEFAULT_TRACKING
    smooth: Annotated[bool, Option(panel=FACES, help="Smooth expressions over time.")] = True
    save: Annotated[
        Path | None,
        Option(
            metavar="DIR",
            panel=OUTPUTS,
            help="Write annotated images or an .mp4 to this folder; from a camera, a new file every five minutes.",
        ),
    ] = None
    csv: Annotated[
        Path | None, Option(metavar="FILE", panel=OUTPUTS, help="Append a row per face and frame to this CSV file.")
    ] = None
    on_change: Annotated[
        str | None,
        Option(
            metavar="COMMAND",
            envvar="FER_EDGE_ON_CHANGE",
            panel=OUTPUTS,
            help="Command to run, without a shell, when an expression changes in a video; it gets the change in "
            "FER_EDGE_ID, _BEFORE, _AFTER, _SCORE and _T.",
        ),
    ] = None
    mqtt: Annotated[
        str | None,
        Option(
            metavar="ADDRESS",
            envvar="FER_EDGE_MQTT",
            panel=OUTPUTS,
            help="Publish to this broker, and through it to Home Assistant: mqtt://host, mqtt://user@host:port, or "
            "mqtts:// for TLS. The password can be in FER_EDGE_MQTT_PASSWORD.",
        ),
    ] = None
    mqtt_topic: Annotated[
        str | None, Option(metavar="TOPIC", panel=OUTPUTS, help="Topic prefix; default: fer-edge/HOSTNAME/SOURCE.")
    ] = None
    preview: Annotated[
        bool,
        Option(
            panel=OUTPUTS,
            help="Serve the live page; a video then plays at its frame rate, and the page stays up after it.",
        ),
    ] = False
    preview_port: Annotated[int, Option(0, 65535, panel=OUTPUTS, help="Port of the live page; 0: any.")] = PORT
    preview_host: Annotated[
        str, Option(panel=OUTPUTS, help="Address to listen on; any but a loopback address requires a token.")
    ] = "127.0.0.1"
    preview_token: Annotated[
        str | None,
        Option(
            envvar="FER_EDGE_PREVIEW_TOKEN",
            panel=OUTPUTS,
            help="Token that viewers must send; generated where one is required.",
        ),
    ] = None
    show: Annotated[bool, Option(panel=OUTPUTS, help="Open the live page in this machine's browser.")] = False
    blur: Annotated[bool, Option(panel=OUTPUTS, help="Hide faces in everything that is shown or saved.")] = False

    @property
    def page(self) -> bool:
        """Whether there is a live page."""
        return self.preview or self.show

    def __post_init__(self) -> None:
        if self.blur and (self.tracking.max_faces is not None or self.tracking.min_face):
            raise UsageError(
                "--blur hides only detected faces; those excluded by --max-faces or --min-face would be visible: "
                "remove these two, or --blur"
            )
