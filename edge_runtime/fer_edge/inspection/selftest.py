"""Golden vectors: rendered faces that travel with a model, and what the workstation made of them, stage by stage."""

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
"""Levels of a pixel: builds of OpenCV for other processors round differently where they scale."""

MOST_FRAMES = 256
"""Golden frames that are repeated; we write 16."""

FAST_STEPS = 3
"""Quantisation steps that other kernels may be away from the reference kernels. Seen with `edge` on x86: at most 3 on
3,191 FER+ faces, 2 on the golden ones."""

DYNAMIC_STEP = 0.05
"""Logits that count as a step of a dynamic model, which quantises what goes into each layer by the largest value of the
moment. 0.019 lay between the kernels of x86, and between x86 and Arm, with `edge`."""


@dataclass(frozen=True)
class StageResult:
    """How one stage on this machine compares with the workstation."""

    name: str
    """crop, network (by the reference kernels), or fast kernels (those that `run` uses)."""
    worst: float
    """Largest difference: levels of a pixel for crop, units of the output for the others."""
    allowed: float
    """Largest difference that passes."""

    @property
    def passed(self) -> bool:
        """Whether the stage gives the workstation's answer."""
        return bool(self.worst <= self.allowed)


def make_golden(model: Model) -> Golden:
    """Run the rendered faces through crop and network of `model`."""
    frames, boxes = golden_frames()
    pixels = _crops(frames, boxes, model.contract)
    return Golden(frames, boxes, pixels, Network(model, reference=True).logits(pixels))


def selftest(model: ModelFile) -> list[StageResult]:
    """Repeat the golden vectors of `model` here; each stage starts from the workstation's input, so faults don't mix.

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
    step = DYNAMIC_STEP if contract.recipe == "dynamic" else reference.step * 1.001  # and what float32 loses of it
    allowed = step if reference.exact else FAST_STEPS * step
    return [
        StageResult("crop", worst(crops, golden.pixels), CROP_TOLERANCE),
        StageResult("network", worst(reference.logits(golden.pixels), golden.logits), allowed),
        StageResult("fast kernels", worst(fast.logits(golden.pixels), golden.logits), FAST_STEPS * step),
    ]


def as_text(stage: StageResult) -> str:
    """One line for people."""
    verdict = "same as on the workstation" if stage.passed else "DIFFERS from the workstation"
    return f"{stage.name}: {verdict} (largest difference {stage.worst:.4g}, allowed {stage.allowed:.4g})"


def as_json(model: ModelFile | DetectorFile, stages: list[StageResult]) -> dict[str, Any]:
    """What `selftest --json` prints; `worst` is null where the answers cannot be compared."""
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
    """Accept stages that all passed.

    Raises:
        ModelError: One did not; says which.
    """
    wrong = [stage.name for stage in stages if not stage.passed]
    if wrong:
        raise ModelError(
            f"{model.path}: not as on the workstation: {', '.join(wrong)}; "
            "copy the file again, then compare the versions of OpenCV and the TFLite runtime (fer-edge info)"
        )


def _crops(frames: Pixels, boxes: npt.NDArray[np.float32], contract: Contract) -> Pixels:
    pairs = zip(frames, boxes.tolist(), strict=True)
    size, scale, colour = contract.size, contract.crop_scale, contract.colour
    return np.stack([crop_face(frame, Box(*box), size, scale, colour) for frame, box in pairs])


def worst(here: npt.NDArray[Any], there: npt.NDArray[Any]) -> float:
    """Largest difference between two arrays of one shape; 0 where they are empty."""
    return float(np.abs(here.astype(np.float64) - there.astype(np.float64)).max(initial=0))
