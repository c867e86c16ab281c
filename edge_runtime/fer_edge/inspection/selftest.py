"""Golden vectors: rendered faces in a model file, and the reference output of each stage."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fer_edge.detection.detector_contract import DetectorFile
from fer_edge.errors import ModelError
from fer_edge.imaging.crop import Box, crop_face
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import Contract, Golden, Model, ModelFile
from fer_edge.model.interpreter import Network
from fer_edge.synthetic.render import golden_frames

CROP_TOLERANCE = 1
"""Tolerance in pixel levels: OpenCV rounds differently on other processors when scaling."""

MOST_FRAMES = 256
"""Maximum number of golden frames; fer-edge writes 16."""

FAST_STEPS = 3
"""Maximum difference between fast and reference kernels in quantisation steps. Measured with `edge` on x86: at most 3
on 3,191 FER+ faces, 2 on the golden ones."""

DYNAMIC_STEP = 0.05
"""Tolerance in logits for a dynamic model, which quantises each layer's input by its current maximum. Measured with
`edge`: 0.019 between the kernels of x86, and between x86 and Arm."""


@dataclass(frozen=True)
class StageResult:
    """Difference of one stage on this machine from the reference."""

    name: str
    """crop, network (with reference kernels), or fast kernels (as in `run`)."""
    worst: float
    """Largest difference: in pixel levels for crop, in units of the output for the others."""
    allowed: float
    """Tolerance."""

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return bool(self.worst <= self.allowed)


def make_golden(model: Model) -> Golden:
    """Compute the golden vectors of `model`."""
    frames, boxes = golden_frames()
    pixels = _crops(frames, boxes, model.contract)
    return Golden(frames, boxes, pixels, Network(model, reference=True).logits(pixels))


def selftest(model: ModelFile) -> list[StageResult]:
    """Verify the golden vectors of `model` on this machine, each stage separately from its reference input.

    Raises:
        ModelError: There are no golden vectors, or they do not fit the model.
    """
    golden, contract = model.golden, model.contract
    n = len(golden.frames)
    shapes = (golden.boxes.shape, golden.pixels.shape, golden.logits.shape)
    if not 0 < n <= MOST_FRAMES or shapes != ((n, 4), (n, *contract.face_shape), (n, len(contract.labels))):
        raise ModelError(f"{model.path}: its golden vectors do not fit the model; export it again: fer-edge export RUN")
    reference, fast = Network(model, reference=True), Network(model)
    crops = _crops(golden.frames, golden.boxes, contract)
    step = DYNAMIC_STEP if contract.recipe == "dynamic" else reference.step * 1.001  # and rounding in float32
    allowed = step if reference.exact else FAST_STEPS * step
    return [
        StageResult("crop", worst(crops, golden.pixels), CROP_TOLERANCE),
        StageResult("network", worst(reference.logits(golden.pixels), golden.logits), allowed),
        StageResult("fast kernels", worst(fast.logits(golden.pixels), golden.logits), FAST_STEPS * step),
    ]


def as_text(stage: StageResult) -> str:
    """Format a stage as one line of text."""
    verdict = "matches the reference" if stage.passed else "DIFFERS from the reference"
    return f"{stage.name}: {verdict} (largest difference {stage.worst:.4g}, allowed {stage.allowed:.4g})"


def as_json(model: ModelFile | DetectorFile, stages: list[StageResult]) -> dict[str, Any]:
    """Return the JSON of `selftest --json`; `worst` is null if the outputs cannot be compared."""
    return {
        "model": str(model.path),
        "passed": all(stage.passed for stage in stages),
        "frames": len(model.golden.frames),
        "stages": [
            {**asdict(stage), "worst": stage.worst if math.isfinite(stage.worst) else None, "passed": stage.passed}
            for stage in stages
        ],
    }


def check(model: ModelFile | DetectorFile, stages: list[StageResult]) -> None:
    """Check that all stages passed.

    Raises:
        ModelError: Some failed; the message names them.
    """
    failed = [stage.name for stage in stages if not stage.passed]
    if failed:
        raise ModelError(
            f"{model.path}: differs from the reference output: {', '.join(failed)}; copy the file again, then compare "
            "the versions of OpenCV and the TFLite runtime: fer-edge info"
        )


def _crops(frames: Pixels, boxes: npt.NDArray[np.float32], contract: Contract) -> Pixels:
    pairs = zip(frames, boxes.tolist(), strict=True)
    size, scale, colour = contract.size, contract.crop_scale, contract.colour
    return np.stack([crop_face(frame, Box(*box), size, scale, colour) for frame, box in pairs])


def worst(here: npt.NDArray[Any], there: npt.NDArray[Any]) -> float:
    """Return the largest difference between two arrays of equal shape; 0 if they are empty."""
    return float(np.abs(here.astype(np.float64) - there.astype(np.float64)).max(initial=0))
