"""Golden vectors of a face detector: a drawn frame and what the workstation made of them, stage by stage."""

import numpy as np

from fer_edge.centre_points import Floats, decode
from fer_edge.detect import CentrePoints
from fer_edge.detector_contract import DetectorFile, DetectorGolden, fitted
from fer_edge.errors import ModelError
from fer_edge.images import Pixels
from fer_edge.interpreter import Engine
from fer_edge.render import golden_scene
from fer_edge.selftest import CROP_TOLERANCE, MOST_FRAMES, Stage, worst

GOLDEN_SCORE = 0.1
"""Score from which on the golden boxes are decoded: below any threshold in use, so that there are some to compare."""
FAST_STEPS = 12
"""Quantisation steps that other kernels may be away from the reference kernels on the golden frame. Seen with `face`:
7 there, on x86 and Arm; on 495 photos of ExpW 8 in the median and 21 at most, of 11,520 values each."""
BOX_TOLERANCE = 0.01
"""Pixels: decoding is the same arithmetic everywhere, but for its last digits."""


def make_golden(model: DetectorFile) -> DetectorGolden:
    """Run the drawn frame through `model`, whose own golden vectors are not looked at."""
    frames = golden_scene()[None]
    pixels = _inputs(frames, model)
    heat, geometry = _maps(CentrePoints(model, reference=True).engine, pixels)
    return DetectorGolden(frames, pixels, heat, geometry, _boxes(heat, geometry))


def selftest(model: DetectorFile) -> list[Stage]:
    """Repeat the golden vectors of `model` here; each stage starts from the workstation's input, so faults don't mix.

    Raises:
        ModelError: There are no golden vectors, or they do not fit the model.
    """
    golden, contract = model.golden, model.contract
    n, rows, columns = len(golden.frames), contract.height // contract.stride, contract.width // contract.stride
    shapes = golden.pixels.shape, golden.heat.shape, golden.geometry.shape
    wanted = (n, contract.height, contract.width), (n, rows, columns, 1), (n, rows, columns, 8)
    if not 0 < n <= MOST_FRAMES or shapes != wanted or golden.boxes.shape[1:] != (5,):
        raise ModelError(f"{model.path}: its golden vectors do not fit the model; export it again: fer-edge export RUN")
    reference, fast = CentrePoints(model, reference=True).engine, CentrePoints(model).engine
    steps = 1 if reference.exact else FAST_STEPS
    return [
        Stage("fit", worst(_inputs(golden.frames, model), golden.pixels), CROP_TOLERANCE),
        Stage("network", _steps_off(reference, golden), steps * 1.001),
        Stage("fast kernels", _steps_off(fast, golden), FAST_STEPS * 1.001),
        Stage("boxes", _boxes_off(_boxes(golden.heat, golden.geometry), golden.boxes), BOX_TOLERANCE),
    ]


def _inputs(frames: Pixels, model: DetectorFile) -> Pixels:
    contract = model.contract
    return np.stack([fitted(frame, contract.width, contract.height)[0] for frame in frames])


def _maps(engine: Engine, pixels: Pixels) -> tuple[Floats, Floats]:
    pairs = [engine.run(picture) for picture in pixels]
    return np.stack([heat for heat, _ in pairs]), np.stack([geometry for _, geometry in pairs])


def _steps_off(engine: Engine, golden: DetectorGolden) -> float:
    """Largest difference of either map from the workstation's, in quantisation steps."""
    here, there = _maps(engine, golden.pixels), (golden.heat, golden.geometry)
    return max(worst(a, b) / step for a, b, step in zip(here, there, engine.steps, strict=True))


def _boxes(heat: Floats, geometry: Floats) -> Floats:
    rows = []
    for number, maps in enumerate(zip(heat, geometry, strict=True)):
        rows += [[number, *box] for box in decode(*maps, GOLDEN_SCORE).boxes.tolist()]
    return np.array(rows, np.float32).reshape(-1, 5)


def _boxes_off(here: Floats, there: Floats) -> float:
    return worst(here, there) if here.shape == there.shape else float("inf")
