"""The program: `fer-edge`, and `python -m fer_edge` where that script is not on the path."""

import os
import signal

OPENCV = {"OPENCV_IO_MAX_IMAGE_PIXELS": str(2**26), "OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
"""What OpenCV reads once, when it is loaded; for the commands only: a program that imports fer_edge has its own.

A picture above the limit is refused before its pixels are allocated: OpenCV's own limit, 2**30 pixels, is 3 GB of
memory, more than a Pi has. And of a file that cannot be read, or a camera that does not open, OpenCV logs many lines
where fer-edge prints one."""


def main() -> None:
    """Run a command. Until it begins, Ctrl-C ends the process at once: a traceback of imports is no help."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.update({name: value for name, value in OPENCV.items() if name not in os.environ})
    from fer_edge.cli import app

    app(prog_name="fer-edge")


if __name__ == "__main__":
    main()
