"""Golden vectors of a face detector: a drawn frame and the reference output of each stage."""

import numpy as np

from fer_edge.detection.detector import YuNet
from fer_edge.detection.detector_contract import (
    DetectorContract,
    DetectorFile,
    DetectorGolden,
    DetectorModel,
    fitted,
    map_shapes,
)
from fer_edge.detection.yunet import decode
from fer_edge.errors import ModelError
from fer_edge.imaging.boxes import Floats
from fer_edge.imaging.images import Pixels
from fer_edge.inspection.selftest import CROP_TOLERANCE, MOST_FRAMES, StageResult, worst
from fer_edge.synthetic.render import golden_scene

GOLDEN_SIDE = 160
"""Longer side of the golden input in pixels; small, to keep the file small."""
GOLDEN_SCORE = 0.1
"""Minimum score of golden faces, below any threshold in use, so that there are some to compare."""
FAST_STEPS = 12
"""Maximum difference between fast and reference kernels in quantisation steps."""
FACE_TOLERANCE = 0.01
"""Tolerance of decoded faces in pixels, for rounding only."""


def make_golden(model: DetectorModel) -> DetectorGolden:
    """Compute the golden vectors of `model`."""
    frames = golden_scene()[None]
    pixels = _inputs(frames)
    maps = _maps(YuNet(model, reference=True), pixels)
    return DetectorGolden(frames, pixels, maps, _faces(maps, model.contract))


def selftest(model: DetectorFile) -> list[StageResult]:
    """Verify the golden vectors of `model` on this machine, each stage separately from its reference input.

    Raises:
        ModelError: There are no golden vectors, or they do not fit the model.
    """
    golden = model.golden
    n, (height, width) = len(golden.frames), golden.pixels.shape[1:3]
    expected = _inputs(golden.frames) if 0 < n <= MOST_FRAMES else golden.pixels[:0]
    shapes = [one.shape for one in golden.maps]
    if (
        not n
        or expected.shape != golden.pixels.shape
        or shapes != [(n, *shape) for shape in map_shapes(width, height)]
        or golden.faces.shape[1:] != (15,)
    ):
        raise ModelError(f"{model.path}: its golden vectors do not fit the model; copy the file again")
    reference, fast = YuNet(model, reference=True), YuNet(model)
    steps = 1 if reference.engine(width, height).exact else FAST_STEPS
    return [
        StageResult("fit", worst(expected, golden.pixels), CROP_TOLERANCE),
        StageResult("network", _map_difference(reference, golden), steps * 1.001),
        StageResult("fast kernels", _map_difference(fast, golden), FAST_STEPS * 1.001),
        StageResult("faces", _face_difference(_faces(golden.maps, model.contract), golden.faces), FACE_TOLERANCE),
    ]


def _inputs(frames: Pixels) -> Pixels:
    return np.stack([fitted(frame, GOLDEN_SIDE)[0] for frame in frames])


def _maps(detector: YuNet, pixels: Pixels) -> tuple[Floats, ...]:
    """Run the network: one unscaled array (n, rows, columns, 16) per stride."""
    height, width = pixels.shape[1:3]
    outputs = [detector.engine(width, height).run(picture) for picture in pixels]
    return tuple(np.stack(maps) for maps in zip(*outputs, strict=True))


def _map_difference(detector: YuNet, golden: DetectorGolden) -> float:
    """Return the largest difference of any map from the reference, in quantisation steps."""
    height, width = golden.pixels.shape[1:3]
    steps = detector.engine(width, height).steps
    rows = zip(_maps(detector, golden.pixels), golden.maps, steps, strict=True)
    return max(worst(here, there) / step for here, there, step in rows)


def _faces(maps: tuple[Floats, ...], contract: DetectorContract) -> Floats:
    rows = []
    for number, outputs in enumerate(zip(*maps, strict=True)):
        found = decode(outputs, *contract.scale_and_offset, GOLDEN_SCORE)
        for box, landmarks in zip(found.boxes, found.landmarks, strict=True):
            rows.append([number, *box, *landmarks.ravel()])
    return np.array(rows, np.float32).reshape(-1, 15)


def _face_difference(here: Floats, there: Floats) -> float:
    return worst(here, there) if here.shape == there.shape else float("inf")
