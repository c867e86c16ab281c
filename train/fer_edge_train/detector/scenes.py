"""Training pictures for the detector, made anew each time from photos with marked faces and from ready face crops."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

from fer_edge.centre_points import Floats
from fer_edge.images import Pixels
from fer_edge.photoset import Photo
from fer_edge_train.config_file import Share, Within

Rng = np.random.Generator
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SceneSettings:
    """How far a training picture may be changed; each change is drawn anew for every picture and epoch."""

    zoom: Annotated[float, Within(1, 10)] = 1.6
    """A photo that just fits the picture is made larger or smaller by up to this factor."""
    aimed: Share = 0.2
    """Share of photos that are scaled so that one of their faces gets any size, from `smallest` to the picture's."""
    smallest: Annotated[float, Within(1, 32)] = 12.0
    """Pixels."""
    enlarge: Annotated[float, Within(0.1, 10)] = 2.5
    """A photo is enlarged by no more than this."""
    mosaic: Share = 0.15
    """Share of pictures that are put together from four photos."""
    crops: Share = 0.15
    """Share of pictures with ready face crops laid over them, if there are any."""
    rotation: Annotated[float, Within(0, 180)] = 7.0
    """Degrees either way (standard deviation; every eighth photo three times that)."""
    dark: Share = 0.1
    """Share of pictures taken in poor light."""
    backlight: Share = 0.05
    """Share of pictures whose faces are darker than what is around them."""
    blur: Share = 0.1
    noise: Share = 0.15
    jpeg: Share = 0.05
    occlusion: Share = 0.1
    """Share of pictures in which something stands before some faces."""


CROP_BOX = (0.11, -0.035, 0.78, 1.05)
"""x, y, w, h of the face box in a ready face crop, over its side: YuNet's on FER+ and muxspace pictures (median)."""
CROP_EYES = (0.31, 0.39, 0.69, 0.39)
"""Right and left eye in a ready face crop, over its side; the mean of FER+'s, which are aligned by the eyes roughly."""
VISIBLE = 0.5
"""A face of which less lies in the picture is neither face nor background."""


class Scene(NamedTuple):
    """A picture and the faces in it."""

    pixels: Pixels
    """(height, width) uint8 grey."""
    boxes: Floats
    """(n, 4): x, y, w, h in pixels; may reach over the edge."""
    eyes: Floats
    """(n, 4): right eye x, y, left eye x, y; NaN where unknown."""
    counts: Floats
    """(n,): 1 for a face, 0 for what is neither face nor background."""


def make_scene(
    photos: Sequence[Photo], crops: Pixels | None, height: int, width: int, settings: SceneSettings, rng: Rng
) -> Scene:
    """Make one training picture of `height` x `width` pixels.

    Args:
        photos: Photos with marked faces, of the training split.
        crops: (n, side, side) uint8 grey ready face crops, or none.
        height: Of the picture, in pixels.
        width: Likewise.
        settings: How far it may be changed.
        rng: Draws everything.
    """
    if rng.random() < settings.mosaic:
        scene = _mosaic(photos, height, width, settings, rng)
    else:
        scene = _photo(photos[int(rng.integers(len(photos)))], height, width, settings, rng)
    if crops is not None and rng.random() < settings.crops:
        scene = _with_crops(scene, crops, settings, rng)
    return _as_a_camera_sees(scene, settings, rng)


def _mosaic(photos: Sequence[Photo], height: int, width: int, settings: SceneSettings, rng: Rng) -> Scene:
    """Four photos about a common corner."""
    x, y = int(width * rng.uniform(0.3, 0.7)), int(height * rng.uniform(0.3, 0.7))
    pixels = np.empty((height, width), np.uint8)
    parts = []
    for left, top, right, bottom in ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)):
        part = _photo(photos[int(rng.integers(len(photos)))], bottom - top, right - left, settings, rng)
        pixels[top:bottom, left:right] = part.pixels
        moved = part.boxes + np.array([left, top, 0, 0]), part.eyes + np.array([left, top, left, top])
        parts.append(part._replace(boxes=moved[0], eyes=moved[1]))
    boxes, eyes, counts = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    return Scene(pixels, boxes.astype(np.float32), eyes.astype(np.float32), counts)


def _photo(photo: Photo, height: int, width: int, settings: SceneSettings, rng: Rng) -> Scene:
    """A photo scaled so that one of its faces gets a size drawn at random, turned, mirrored and moved."""
    scale, centre_xy = _aim(photo, height, width, settings, rng)
    pixels, boxes, eyes = photo.pixels, photo.boxes, photo.eyes
    if scale < 1:  # warpAffine takes four neighbours only; what is made smaller needs them all
        size_wh = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        pixels = cast(Pixels, cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA))
        shrunk = size_wh[0] / photo.pixels.shape[1], size_wh[1] / photo.pixels.shape[0]
        boxes, eyes, centre_xy = boxes * (shrunk * 2), eyes * (shrunk * 2), centre_xy * shrunk
        scale = 1.0
    angle = np.deg2rad(rng.normal(0, settings.rotation * (3 if rng.random() < 1 / 8 else 1)))
    mirror = rng.random() < 0.5
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirror:
        turn = turn @ np.diag([-1.0, 1.0])
    target_xy = rng.uniform(0.05, 0.95, 2) * (width, height)
    if rng.random() < 0.9:  # else much of most pictures would be empty
        target_xy = _covering(target_xy, centre_xy * scale, np.array(pixels.shape[::-1]) * scale, (width, height))
    warp = np.column_stack([turn, target_xy - turn @ centre_xy])
    border = int(rng.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101], p=[0.6, 0.2, 0.2]))
    if border == cv2.BORDER_REFLECT_101 and len(boxes):
        border = cv2.BORDER_REPLICATE  # mirrored faces would be faces without a mark
    shade = 0.0 if rng.random() < 0.6 else float(rng.uniform(0, 255))
    warped = cv2.warpAffine(pixels, warp, (width, height), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=shade)
    boxes, eyes = _moved(boxes, eyes, warp, mirror=mirror)
    visible = _visible(boxes, height, width)
    counts = (photo.sure & (visible >= VISIBLE))[visible > 0]
    boxes, eyes = boxes[visible > 0], eyes[visible > 0]
    boxes[~counts] = _clipped(boxes[~counts], height, width)  # beyond the edge may be another photo
    return Scene(np.asarray(warped, np.uint8), boxes, eyes, counts.astype(np.float32))


def _covering(target_xy: Doubles, centre_xy: Doubles, photo_wh: Doubles, picture_wh: tuple[int, int]) -> Doubles:
    """Move the place where `centre_xy` of the scaled photo comes to, so that photo and picture share all they can."""
    room = np.array(picture_wh) - photo_wh  # negative where the photo is larger: its edge must stay outside
    return np.clip(target_xy - centre_xy, np.minimum(room, 0), np.maximum(room, 0)) + centre_xy


def _aim(photo: Photo, height: int, width: int, settings: SceneSettings, rng: Rng) -> tuple[float, Doubles]:
    """Scale of the photo, and the place in it that comes somewhere into the picture."""
    size_wh = np.array(photo.pixels.shape[::-1], np.float64)
    fit = float(min((width, height) / size_wh))
    if len(photo.boxes) == 0 or rng.random() >= settings.aimed:
        scale = fit * np.exp(rng.uniform(-1, 1) * np.log(settings.zoom))
        return float(np.clip(scale, 0.05, settings.enlarge)), size_wh * rng.uniform(0.2, 0.8, 2)
    x, y, w, h = photo.boxes[rng.integers(len(photo.boxes))]
    wanted = np.exp(rng.uniform(np.log(settings.smallest), np.log(1.1 * height)))
    scale = float(np.clip(wanted / max(w, h), 0.3 * fit, settings.enlarge))
    return scale, np.array([x + w / 2, y + h / 2], np.float64)


def _moved(boxes: Floats, eyes: Floats, warp: Doubles, *, mirror: bool) -> tuple[Floats, Floats]:
    """Boxes and eyes after an affine warp; a turned face's box is that of the turned ellipse."""
    turn, shift = warp[:, :2], warp[:, 2]
    centres = (boxes[:, :2] + boxes[:, 2:] / 2) @ turn.T + shift
    sizes = np.sqrt(np.square(boxes[:, 2:]) @ np.square(turn.T))
    eyes = (eyes.reshape(-1, 2, 2) @ turn.T + shift).reshape(-1, 4)
    if mirror:
        eyes = eyes[:, [2, 3, 0, 1]]
    return np.concatenate([centres - sizes / 2, sizes], axis=1).astype(np.float32), eyes.astype(np.float32)


def _visible(boxes: Floats, height: int, width: int) -> Floats:
    """Share of each box that lies in the picture."""
    inside = _clipped(boxes, height, width)[:, 2:]
    return np.asarray(inside.prod(axis=1) / boxes[:, 2:].prod(axis=1), np.float32)


def _clipped(boxes: Floats, height: int, width: int) -> Floats:
    """The part of each box that lies in the picture; 0 wide or high where none does."""
    first = np.clip(boxes[:, :2], 0, (width, height))
    last = np.clip(boxes[:, :2] + boxes[:, 2:], 0, (width, height))
    return np.concatenate([first, last - first], axis=1).astype(np.float32)


def _with_crops(scene: Scene, crops: Pixels, settings: SceneSettings, rng: Rng) -> Scene:
    """Lay up to three ready face crops over the picture, where no face is."""
    pixels = scene.pixels.copy()
    height, width = pixels.shape
    boxes, eyes, counts = list(scene.boxes), list(scene.eyes), list(scene.counts)
    for _ in range(int(rng.integers(1, 4))):
        side = int(np.exp(rng.uniform(np.log(1.3 * settings.smallest), np.log(min(width, height)))))
        x, y = (int(rng.integers(0, length - side + 1)) for length in (width, height))
        taken = np.array(boxes).reshape(-1, 4)
        apart = (taken[:, :2] > (x + side, y + side)).any(axis=1) | ((taken[:, :2] + taken[:, 2:]) < (x, y)).any(axis=1)
        if not apart.all():
            continue
        crop = crops[rng.integers(len(crops))]
        method = cv2.INTER_AREA if side < len(crop) else cv2.INTER_LINEAR
        crop = cast(Pixels, cv2.resize(crop, (side, side), interpolation=method))
        mirrored = rng.random() < 0.5  # the box and the eyes of a ready crop are symmetrical
        pixels[y : y + side, x : x + side] = crop[:, ::-1] if mirrored else crop
        boxes.append(np.array(CROP_BOX) * side + (x, y, 0, 0))
        eyes.append(np.array(CROP_EYES) * side + (x, y, x, y))
        counts.append(1.0)
    marks = [np.array(rows, np.float32).reshape(len(counts), 4) for rows in (boxes, eyes)]
    return Scene(pixels, marks[0], marks[1], np.array(counts, np.float32))


def _as_a_camera_sees(scene: Scene, settings: SceneSettings, rng: Rng) -> Scene:
    """Something in the way, poor light, blur, noise and compression; the marks stay."""
    pixels = scene.pixels.copy()
    if rng.random() < settings.occlusion:
        _occlude(pixels, scene, rng)
    picture = pixels.astype(np.float32)
    if rng.random() < settings.backlight:
        picture = _backlit(picture, scene, rng)
    dark = rng.random() < settings.dark
    gain = rng.uniform(0.1, 0.6) if dark else rng.uniform(0.8, 1.2)
    picture = 255 * np.clip(picture / 255, 0, 1) ** np.exp(rng.normal(0, 0.2)) * gain + rng.normal(0, 6)
    if rng.random() < settings.blur:
        picture = _blurred(picture, rng)
    if rng.random() < settings.noise:
        spread = np.exp(rng.uniform(np.log(1.5), np.log(15)))
        picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(spread)
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        _, packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 70))])
        pixels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    return scene._replace(pixels=pixels)


def _occlude(pixels: Pixels, scene: Scene, rng: Rng) -> None:
    """A plain or noisy rectangle over up to two fifths of some faces: a hand, a mask, a cup, hair."""
    height, width = pixels.shape
    for x, y, w, h in scene.boxes[scene.counts > 0]:
        if rng.random() < 0.5:
            continue
        over_wh = rng.uniform(0.2, 0.63, 2) * (w, h)
        first = np.array([x, y]) + rng.uniform(0, 1, 2) * (np.array([w, h]) - over_wh)
        left, top = (int(v) for v in np.clip(first, 0, (width, height)))
        right, bottom = (int(v) for v in np.clip(first + over_wh, 0, (width, height)))
        patch = pixels[top:bottom, left:right]
        shade = rng.uniform(0, 255) + rng.normal(0, rng.choice([0, 20]), patch.shape)
        patch[:] = np.clip(shade, 0, 255)


def _backlit(picture: Floats, scene: Scene, rng: Rng) -> Floats:
    """Faces dark before something bright: a window behind people."""
    mask = np.zeros(picture.shape, np.float32)
    for x, y, w, h in scene.boxes:
        centre = int(x + w / 2), int(y + 0.8 * h)
        cv2.ellipse(mask, centre, (int(0.9 * w) + 1, int(1.2 * h) + 1), 0, 0, 360, 1.0, -1)
    small = cv2.resize(mask, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    mask = cast(Floats, cv2.resize(cv2.GaussianBlur(small, (0, 0), 3), picture.shape[::-1]))
    dim, bright = rng.uniform(0.2, 0.6), rng.uniform(1.0, 1.6)
    return np.asarray(picture * (bright + (dim - bright) * mask), np.float32)


def _blurred(picture: Floats, rng: Rng) -> Floats:
    """Out of focus, or moved."""
    if rng.random() < 0.5:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 2.0)), np.float32)
    length, angle = int(rng.integers(3, 10)), rng.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle, way = (length - 1) / 2, np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    ends = [tuple(round(v) for v in middle + sign * way) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)
