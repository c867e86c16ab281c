"""Render drawn faces of no real person, for golden vectors, tests and the demo.

They look like drawings; a network that classifies them has learnt nothing about people. The same seed gives the same
face.
"""

from collections.abc import Iterator
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels
from fer_edge.labels import EXPRESSIONS
from fer_edge.synthetic.actions import ACTIONS, Actions, blended, varied
from fer_edge.synthetic.head import draw_person
from fer_edge.synthetic.person import Person, random_person
from fer_edge.synthetic.sheet import Colour, Points, Pose, Sheet

Truth = list[tuple[str, Box]]
"""Ground truth of an image: expression and box of each face."""

OVERSAMPLING = 2
BACKGROUNDS: tuple[Colour, ...] = ((206, 200, 190), (120, 110, 96), (170, 190, 196), (150, 160, 140), (80, 80, 88))
FACE_OUTLINE: Points = np.array([(-0.72, -0.82), (0.72, -0.82), (0.72, 1.02), (-0.72, 1.02)])
"""Corners of a face box in face units, with YuNet's framing from forehead to chin."""


def draw_face(expression: str, seed: int, size: int = 96) -> tuple[Pixels, Box]:
    """Draw a person with `expression`, with the framing of FER+.

    Args:
        expression: One of `EXPRESSIONS`.
        seed: Determines person, pose, light and noise, independent of the expression.
        size: Side of the image in pixels.

    Returns:
        (size, size, 3) uint8 BGR, and the face box in it, which may extend beyond it.
    """
    rng = np.random.default_rng(seed)
    person = random_person(rng)
    unit = size * rng.uniform(0.50, 0.56)
    pose = Pose(
        x=size * (0.5 + rng.uniform(-0.03, 0.03)),
        y=size * (0.45 + rng.uniform(-0.03, 0.03)),
        unit=unit,
        roll=rng.normal(0, 0.08),
        yaw=float(np.clip(rng.normal(0, 0.12), -0.22, 0.22)),
        pitch=rng.normal(0, 0.06),
    )
    background = _background(size, size, rng)
    frame = _paint(background, [(person, varied(ACTIONS[expression], rng), pose)])
    return _camera_effects(frame, rng), face_box(pose)


def golden_frames() -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Draw the sixteen faces of a model file's golden vectors, two of each expression.

    Without noise, with a plain background and colours in steps of 4: all sixteen take 40 KB in a model file.

    Returns:
        (16, 64, 56, 3) uint8 BGR, and (16, 4) float32 boxes x, y, w, h; some extend beyond the frame.
    """
    frames, boxes = [], []
    for number, expression in enumerate([*EXPRESSIONS, *EXPRESSIONS]):
        rng = np.random.default_rng(1000 + number)
        person, size = random_person(rng), rng.uniform(18, 32)
        pose = Pose(28 + rng.uniform(-7, 7), 29 + rng.uniform(-7, 7), size, rng.normal(0, 0.1), rng.normal(0, 0.1))
        wall = np.full((64 * OVERSAMPLING, 56 * OVERSAMPLING, 3), BACKGROUNDS[number % len(BACKGROUNDS)], np.float32)
        frames.append(_paint(wall, [(person, varied(ACTIONS[expression], rng), pose)]) & np.uint8(0xFC))
        boxes.append(face_box(pose))
    return np.stack(frames), np.array(boxes, np.float32)


def golden_scene() -> Pixels:
    """Draw the frame of a face detector's golden vectors: four people of different sizes.

    Without noise, with a plain background and colours in steps of 4, to keep the file small.

    Returns:
        (288, 352, 3) uint8 BGR: a size that needs scaling for any network.
    """
    rng = np.random.default_rng(2000)
    wall = np.full((288 * OVERSAMPLING, 352 * OVERSAMPLING, 3), BACKGROUNDS[2], np.float32)
    people = []
    for x, y, size in ((80, 100, 56), (215, 80, 36), (300, 200, 24), (190, 225, 16)):
        pose = Pose(x, y, size, rng.normal(0, 0.1), rng.normal(0, 0.1))
        expression = EXPRESSIONS[int(rng.integers(len(EXPRESSIONS)))]
        people.append((random_person(rng), varied(ACTIONS[expression], rng), pose))
    return np.asarray(_paint(wall, people) & np.uint8(0xFC), np.uint8)


def clip(
    frames: int, seed: int = 0, size_wh: tuple[int, int] = (640, 480), scale: int = OVERSAMPLING
) -> Iterator[tuple[Pixels, Truth]]:
    """Draw a video of two people who move and change their expression; the second one joins after a third of it.

    Args:
        frames: Number of frames.
        seed: The same seed gives the same video.
        size_wh: Width and height in pixels.
        scale: It is drawn so many times as large, for smooth edges; 1 takes a third of the time of 2.

    Yields:
        (height, width, 3) uint8 BGR, and its ground truth.
    """
    width, height = size_wh
    rng = np.random.default_rng(seed)
    people = [random_person(rng) for _ in range(2)]
    orders = [rng.permutation(len(EXPRESSIONS)) for _ in people]
    background = _background(width, height, rng, scale)
    for number in range(frames):
        time = number / max(frames, 1)
        visible_people: list[tuple[Person, Actions, Pose]] = []
        truth: Truth = []
        for place in range(1 if time < 1 / 3 else 2):
            sway = np.sin(2 * np.pi * (2 * time + 0.4 * place))
            nod = np.sin(2 * np.pi * (3 * time + 0.3 * place))
            pose = Pose(
                x=width * ((0.3, 0.72)[place] + 0.04 * sway),
                y=height * ((0.45, 0.5)[place] + 0.02 * nod),
                unit=height * (0.24, 0.2)[place] * (1 + 0.05 * nod),
                roll=0.06 * nod,
                yaw=0.15 * sway,
                pitch=0.05 * nod,
            )
            expression, actions = _expression_at(orders[place], time)
            visible_people.append((people[place], actions, pose))
            truth.append((expression, face_box(pose)))
        yield _paint(background.copy(), visible_people, scale), truth


def face_box(pose: Pose) -> Box:
    """Return the upright face box, forehead to chin, in pixels."""
    corners = pose.pixels(FACE_OUTLINE)
    centre = corners.mean(axis=0)
    half_w, half_h = 0.72 * pose.unit, 0.92 * pose.unit
    return Box(*(round(float(v), 2) for v in (centre[0] - half_w, centre[1] - half_h, 2 * half_w, 2 * half_h)))


def _expression_at(order: npt.NDArray[np.int64], time: float) -> tuple[str, Actions]:
    """Return label and movements at `time`: each expression in turn, blended from the one before at first."""
    position = time * len(order)
    turn = int(position)
    now = EXPRESSIONS[order[turn]]
    before = EXPRESSIONS[order[turn - 1]] if turn else "neutral"
    share = min(1.0, (position - turn) * 3)
    return now if share >= 0.5 else before, blended(ACTIONS[before], ACTIONS[now], share)


def _paint(
    canvas: npt.NDArray[np.float32], people: list[tuple[Person, Actions, Pose]], scale: int = OVERSAMPLING
) -> Pixels:
    """Draw `people` on a canvas `scale` times as large as the picture, and bring it down to size."""
    for person, actions, pose in people:
        large = Pose(pose.x * scale, pose.y * scale, pose.unit * scale, pose.roll, pose.yaw, pose.pitch)
        draw_person(Sheet(canvas, large), person, actions)
    if scale > 1:
        size_wh = (canvas.shape[1] // scale, canvas.shape[0] // scale)
        canvas = cast(npt.NDArray[np.float32], cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA))
    return _bytes(canvas)


def _background(
    width: int, height: int, rng: np.random.Generator, scale: int = OVERSAMPLING
) -> npt.NDArray[np.float32]:
    """A wall: one colour, lighter on one side, with a few blurred shapes. (scale x height, ..., 3) BGR."""
    small = np.empty((12, 16, 3), np.float32)
    small[:] = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    small *= np.linspace(rng.uniform(0.75, 1.2), rng.uniform(0.75, 1.2), 16, dtype=np.float32)[None, :, None]
    for _ in range(rng.integers(1, 5)):
        x, y = rng.integers(16), rng.integers(12)
        tint = rng.uniform(0.6, 1.25) * rng.uniform(0.92, 1.08, 3)
        small[y : y + rng.integers(2, 7), x : x + rng.integers(2, 5)] *= tint
    size_wh = (width * scale, height * scale)
    return np.asarray(np.clip(cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC), 0, 255), np.float32)


def _camera_effects(frame_bgr: Pixels, rng: np.random.Generator) -> Pixels:
    """Apply exposure, blur and noise of a cheap camera."""
    picture = frame_bgr.astype(np.float32) * rng.uniform(0.75, 1.15) + rng.uniform(-12, 12)
    blur = rng.uniform(0, 0.9) * frame_bgr.shape[0] / 96
    if blur > 0.3:
        picture = cast(npt.NDArray[np.float32], cv2.GaussianBlur(picture, (0, 0), blur))
    return _bytes(picture + rng.normal(0, rng.uniform(0, 7), picture.shape))


def _bytes(picture: npt.NDArray[Any]) -> Pixels:
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
