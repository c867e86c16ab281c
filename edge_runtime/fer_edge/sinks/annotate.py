"""Draw faces and their expressions onto a frame."""

import unicodedata
from collections.abc import Iterable
from typing import cast

import cv2

from fer_edge.imaging.images import Pixels
from fer_edge.recognition.recognizer import Face

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

PALETTE: tuple[Colour, ...] = (
    (233, 180, 86),  # sky blue
    (66, 228, 240),  # yellow
    (0, 159, 230),  # orange
    (178, 114, 0),  # blue
    (0, 94, 213),  # vermilion
    (115, 158, 0),  # bluish green
    (167, 121, 204),  # reddish purple
    (0, 0, 0),
)
"""BGR, one per class in output order: Okabe & Ito (2008), distinct with every kind of colour vision."""
UNCERTAIN_COLOUR: Colour = (160, 160, 160)

MIN_SIDE = 320
"""Smaller images are enlarged before drawing, to keep the text readable."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotated(frame_bgr: Pixels, faces: list[Face]) -> Pixels:
    """Draw a box with label and score around each face.

    Args:
        frame_bgr: (height, width, 3) uint8 BGR; not modified.
        faces: From `Recognizer.predict`.

    Returns:
        A new image, enlarged by an integer factor if `frame_bgr` is smaller than `MIN_SIDE`.
    """
    height, width = frame_bgr.shape[:2]
    factor = max(1, -(-MIN_SIDE // max(height, width)))
    size_wh = (width * factor, height * factor)
    large = cv2.resize(frame_bgr, size_wh, interpolation=cv2.INTER_CUBIC) if factor > 1 else frame_bgr.copy()
    canvas = cast(Pixels, large)
    placed: list[Rectangle] = []
    for face in faces:
        _draw(canvas, face, factor, placed)
    return canvas


def colour(face: Face) -> Colour:
    """Return the BGR colour of a face's expression; grey if uncertain."""
    if not face.certain:
        return UNCERTAIN_COLOUR
    return PALETTE[list(face.probabilities).index(face.label) % len(PALETTE)]


def drawn_name(label: str, labels: Iterable[str]) -> str:
    """Return a class name in ASCII, all that OpenCV draws: without accents, or as its index in `labels`.

    >>> drawn_name("Überraschung", ["Überraschung", "悲しみ"]), drawn_name("悲しみ", ["Überraschung", "悲しみ"])
    ('Uberraschung', 'class 1')
    """
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", label) if not unicodedata.combining(letter))
    return plain if plain.isascii() and plain.isprintable() else f"class {list(labels).index(label)}"


def legend(labels: tuple[str, ...]) -> str:
    """Explain the class numbers that are drawn instead of names; empty if all names can be drawn.

    >>> legend(("Überraschung", "悲しみ"))
    'class 1 is 悲しみ'
    """
    numbers = {f"class {number}": label for number, label in enumerate(labels)}
    return ", ".join(f"{name} is {label}" for name, label in numbers.items() if drawn_name(label, labels) == name)


def _draw(canvas: Pixels, face: Face, factor: int, placed: list[Rectangle]) -> None:
    """Draw one face; text grows with the canvas, stays inside it, and avoids the labels `placed` before."""
    height, width = canvas.shape[:2]
    longer = max(height, width)
    line, stroke, scale = max(2, round(longer / 320)), max(1, round(longer / 700)), max(0.45, longer / 1100)
    number = "" if face.id is None else f"{face.id}: "
    text = f"{number}{drawn_name(face.label, face.probabilities)} {face.score:.2f}"
    (text_width, text_height), below = cv2.getTextSize(text, _FONT, scale, stroke)
    margin = line + 2
    x, y, w, h = (value * factor for value in face.box)
    tint = colour(face)
    cv2.rectangle(canvas, (x, y), (x + w, y + h), (255, 255, 255), line + 2)  # a rim, for dark backgrounds
    cv2.rectangle(canvas, (x, y), (x + w, y + h), tint, line)
    tall = text_height + below + 2 * margin
    wide = text_width + 2 * margin
    left = max(0, min(x, width - wide))
    tops = [top for top in (y - tall, y, y + h, y + h - tall, y + tall) if 0 <= top <= height - tall] or [max(0, y)]
    top = next((top for top in tops if not any(_overlap((left, top, wide, tall), one) for one in placed)), tops[0])
    placed.append((left, top, wide, tall))
    cv2.rectangle(canvas, (left, top), (left + wide, top + tall), tint, cv2.FILLED)
    luminance = 0.114 * tint[0] + 0.587 * tint[1] + 0.299 * tint[2]
    ink = (0, 0, 0) if luminance > 110 else (255, 255, 255)
    place = (left + margin, top + margin + text_height)
    cv2.putText(canvas, text, place, _FONT, scale, ink, stroke, cv2.LINE_AA)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return all(one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2] for axis in (0, 1))
