"""The video of `tracking_clip`: photos of real faces in front of a simulated camera that pans, zooms and shakes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from fer_edge.console import progress
from fer_edge.errors import DataError
from fer_edge.imaging.crop import Box
from fer_edge.imaging.images import Pixels, is_picture, read_picture
from fer_edge.recognition.recognizer import Recognizer
from fer_edge.sinks.video import new_video

WIDTH, HEIGHT, FPS = 640, 480, 25
HALF_BAR = 60
"""Half the width of the occluding bar in pixels."""
NOISE = 4.0
"""Standard deviation of the camera noise in grey levels."""


@dataclass(frozen=True)
class Photo:
    """A photo of one face."""

    name: str
    pixels: Pixels
    box: Box
    label: str
    """The model's label of the still photo."""


@dataclass(frozen=True)
class Layer:
    """A photo placed in a frame."""

    photo: Photo
    x: float
    """Centre of its face in pixels."""
    y: float
    size: float
    """Longer side of its face in pixels."""
    roll: float = 0.0
    """Degrees."""
    region: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)
    """Area that it covers: x0, y0, x1, y1."""
    alpha: float = 1.0
    """Opacity."""
    person: str = ""
    """Identity in ground truth; default: the photo's name."""
    visible: bool = True
    """Whether it counts as the visible face in ground truth."""

    @property
    def box(self) -> Box:
        """Box of the face in pixels of the frame."""
        scale = self.size / self.photo.box.longer
        w, h = self.photo.box.w * scale, self.photo.box.h * scale
        return Box(self.x - w / 2, self.y - h / 2, w, h)


@dataclass(frozen=True)
class FramePlan:
    """Content of one frame of the video."""

    scene: int
    kind: str
    layers: list[Layer]
    bar: float | None = None
    """x of a vertical bar in front; None for no bar."""

    def faces(self) -> dict[tuple[int, str], Layer]:
        """Return the visible faces: inside the frame, and not behind the bar."""
        return {
            (self.scene, layer.person or layer.photo.name): layer
            for layer in self.layers
            if layer.visible
            and layer.size / 2 < layer.x < WIDTH - layer.size / 2
            and (self.bar is None or abs(self.bar - layer.x) > HALF_BAR + layer.size / 2)
        }


def read_faces(folder: Path, recognizer: Recognizer, count: int, seed: int) -> list[Photo]:
    """Choose photos with exactly one face of at least 60 pixels.

    Raises:
        DataError: There are too few such photos.
    """
    paths = sorted(path for path in folder.iterdir() if is_picture(path))
    photos: list[Photo] = []
    with progress() as bar:
        task = bar.add_task("choosing photos", total=count)
        for number in np.random.default_rng(seed).permutation(len(paths)):
            try:
                pixels = read_picture(paths[number])
            except DataError:
                continue
            found = recognizer.detector.detect(pixels)
            if len(found) == 1 and found[0].box.longer >= 60:
                label = recognizer.classify(pixels, found).faces[0].label
                photos.append(Photo(paths[number].name, pixels, found[0].box, label))
                bar.advance(task)
            if len(photos) == count:
                return photos
    raise DataError(f"{folder}: {len(photos)} photos with exactly one face of 60 pixels or more; {count} are needed")


PEOPLE = 1 + 1 + 4 + 1 + 2 + 1 + 1 + 12 + 2
"""Photos in one round of scenes."""


def plan_frames(photos: list[Photo], seed: int) -> Iterator[FramePlan]:
    """Plan scene after scene, each with its own photos, until all photos are used."""
    rng = np.random.default_rng(seed)
    for first in range(0, len(photos) - PEOPLE + 1, PEOPLE):
        scene = first  # unique over all rounds
        remaining = iter(photos[first : first + PEOPLE])
        for kind, frames, draw in _scenes(remaining, rng):
            for number in range(frames):
                layers, bar = draw(number / frames)
                yield FramePlan(scene, kind, layers, bar)
            scene += 1


Draw = Callable[[float], tuple[list[Layer], float | None]]


def _scenes(people: Iterator[Photo], rng: np.random.Generator) -> Iterator[tuple[str, int, Draw]]:
    """Yield kind, number of frames, and content at a time from 0 to 1, of each scene of a round."""
    one = next(people)
    yield (
        "pan",
        100,
        lambda time: ([Layer(one, 320 + 200 * math.sin(5 * time), 230 + 25 * math.sin(9 * time), 130)], None),
    )
    two = next(people)
    yield "zoom", 100, lambda time: ([Layer(two, 320, 240, 50 * 5**time)], None)
    yield "no face", 75, lambda time: ([], None)
    four = [next(people) for _ in range(4)]
    yield "four", 100, lambda time: (_tiled(four, 2, 2, 90, time), None)
    walker = next(people)
    yield "in and out", 125, lambda time: ([_walking(walker, -150 + 940 * time)], None)
    before, after = next(people), next(people)
    yield "one", 50, lambda time: ([Layer(before, 320, 240, 150)], None)
    yield "cut to another", 50, lambda time: ([Layer(after, 320, 240, 150)], None)
    shy = next(people)
    yield "hidden", 100, lambda time: ([Layer(shy, 320 + 20 * math.sin(6 * time), 240, 120)], -900 + 2400 * time)
    held = next(people)
    shakes = np.cumsum(rng.normal(0, 4, (100, 3)), axis=0)
    shakes -= np.linspace(0, 1, 100)[:, None] * shakes[-1]
    yield "shaken", 100, lambda time: ([_shaken(held, shakes[int(time * 100)])], None)
    crowd = [next(people) for _ in range(12)]
    yield "crowd", 75, lambda time: (_tiled(crowd, 4, 3, 56, time), None)
    calm, other = next(people), next(people)
    yield "new expression", 100, lambda time: (_turning(calm, other, time), None)


def _tiled(photos: list[Photo], columns: int, rows: int, size: float, time: float) -> list[Layer]:
    w, h = WIDTH // columns, HEIGHT // rows
    layers = []
    for number, photo in enumerate(photos):
        x, y = number % columns * w, number // columns * h
        sway, nod = math.sin(6 * time + number), math.sin(9 * time + 2 * number)
        layers.append(
            Layer(
                photo,
                x + w / 2 + 0.1 * w * sway,
                y + h / 2 + 0.05 * h * nod,
                size * (1 + 0.1 * nod),
                5 * sway,
                (x, y, x + w, y + h),
            )
        )
    return layers


def _walking(photo: Photo, x: float) -> Layer:
    region = max(0, round(x - 110)), 60, max(0, min(WIDTH, round(x + 110))), HEIGHT
    return Layer(photo, x, 200, 110, region=region)


def _shaken(photo: Photo, shake: Any) -> Layer:
    return Layer(photo, 320 + 2 * shake[0], 240 + 2 * shake[1], 140, roll=float(shake[2]) / 3)


def _turning(before: Photo, after: Photo, time: float) -> list[Layer]:
    """Cross-fade one face into another within 0.3 s, in the middle of the scene."""
    alpha = min(max((time - 0.5) * 100 / FPS / 0.3, 0.0), 1.0)
    return [
        Layer(before, 320, 240, 140, person="both", visible=alpha < 0.5),
        Layer(after, 320, 240, 140, person="both", visible=alpha >= 0.5, alpha=alpha),
    ]


def draw_frame(plan: FramePlan, rng: np.random.Generator) -> Pixels:
    """Draw a frame, (HEIGHT, WIDTH, 3) uint8 BGR."""
    wall = np.linspace(90, 140, WIDTH, dtype=np.float32)[None, :, None]
    canvas = np.broadcast_to(wall, (HEIGHT, WIDTH, 3)).copy()
    for layer in plan.layers:
        scale = layer.size / layer.photo.box.longer
        box, (x0, y0, x1, y1) = layer.photo.box, layer.region
        if x1 <= x0:
            continue
        centre = box.x + box.w / 2, box.y + box.h / 2
        grid = np.array(cv2.getRotationMatrix2D(centre, layer.roll, scale), np.float64)
        grid[:, 2] += np.array([layer.x - centre[0], layer.y - centre[1]])
        photo = layer.photo.pixels
        if scale < 0.7:  # warpAffine does not average
            photo = cast(Pixels, cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
            grid[:, :2] = grid[:, :2] / scale
        warped = cv2.warpAffine(photo, grid, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        part = canvas[y0:y1, x0:x1]
        part += layer.alpha * (warped[y0:y1, x0:x1].astype(np.float32) - part)
    if plan.bar is not None:
        canvas[:, max(0, round(plan.bar) - HALF_BAR) : max(0, round(plan.bar) + HALF_BAR)] = 60
    canvas += rng.normal(0, NOISE, canvas.shape).astype(np.float32)
    return np.asarray(np.clip(np.round(canvas), 0, 255), np.uint8)


def write_video(path: Path, plans: list[FramePlan], seed: int) -> None:
    """Draw and compress the video."""
    rng = np.random.default_rng(seed)
    with progress() as bar, new_video(path, np.zeros((HEIGHT, WIDTH, 3), np.uint8), FPS) as writer:
        for plan in bar.track(plans, description="drawing"):
            writer.write(draw_frame(plan, rng))
