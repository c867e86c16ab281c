"""Where YuNet's file is, and how it gets there: OpenCV Zoo's `face_detection_yunet_2023mar.onnx`, MIT, 0.2 MB."""

import http.client
import os
import shlex
import urllib.request
from pathlib import Path

from fer_edge.errors import FerEdgeError
from fer_edge.files import sha256, write_bytes

FILE_NAME = "face_detection_yunet_2023mar.onnx"
URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{FILE_NAME}"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
TIMEOUT_S = 5
MAX_BYTES = 1 << 20


def folders() -> list[Path]:
    """Folders that may hold the file, in the order in which they are searched: $FER_EDGE_HOME, the user's cache."""
    home = os.environ.get("FER_EDGE_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fer-edge"
    return [Path(home), cache] if home else [cache]


def find() -> Path | None:
    """Find the file on this machine."""
    return next((folder / FILE_NAME for folder in folders() if (folder / FILE_NAME).is_file()), None)


def download(url: str | None = None, digest: str = SHA256) -> Path:
    """Fetch the file into the first of `folders`, whole and checked or not at all.

    Args:
        url: Where it is; OpenCV Zoo unless told otherwise.
        digest: Its SHA-256, in hex.

    Raises:
        FerEdgeError: The address cannot be reached, or what came is another file.
    """
    target = folders()[0] / FILE_NAME
    try:
        with urllib.request.urlopen(url or URL, timeout=TIMEOUT_S) as answer:  # noqa: S310  ours, and the digest decides
            content = answer.read(MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise FerEdgeError(f"cannot download YuNet ({getattr(error, 'reason', error)})") from error
    if sha256(content) != digest:
        raise FerEdgeError("what was downloaded is not YuNet (its sha256 differs)")
    write_bytes(target, content)
    return target


def how_to_get() -> str:
    """Say how a person fetches the file on a machine that has a network."""
    target = folders()[0]
    return f"mkdir -p {shlex.quote(str(target))} && curl -L -o {shlex.quote(str(target / FILE_NAME))} {URL}"
