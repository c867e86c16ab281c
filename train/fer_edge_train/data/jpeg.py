"""Whether a JPEG file is damaged, by what libjpeg decodes: OpenCV fills gaps and reports them on the terminal only."""

import simplejpeg

from fer_edge.errors import DataError
from fer_edge.imaging.images import END, JPEG

DAMAGE = ("Corrupt JPEG data", "Premature end", "Invalid JPEG file structure", "Unsupported marker")
"""Beginnings of libjpeg's messages on damaged pixels; others are on headers, or on colours such as CMYK."""


def undamaged_jpeg(content: bytes, name: str) -> bytes:
    """Check that every pixel of a JPEG is in the file, and remove what is no part of it; other formats pass.

    A missing end marker, or zeros in front of it, are repaired: the pixels are complete. Anything that libjpeg reports
    then means lost data: a gap, or an end that comes too early.

    Args:
        content: The file.
        name: Its name, for the error.

    Returns:
        The file, in a form that OpenCV's libjpeg decodes without a message.

    Raises:
        DataError: A part of the pixels is missing.
    """
    if not content.startswith(JPEG):
        return content
    if reason := _complaint(content):
        body = content[: content.rfind(END)] if END in content else content
        content = body.rstrip(b"\0") + END
        reason = _complaint(content)
    if reason:
        raise DataError(f"{name}: the picture is damaged ({reason.rpartition(': ')[2]}); copy it again")
    return content


def _complaint(content: bytes) -> str | None:
    """What libjpeg reports on the pixels, decoded at an eighth of their size; None if nothing."""
    try:
        simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except ValueError as error:
        return str(error) if str(error).startswith(DAMAGE) else None
    return None
