"""Model files of both tasks, expressions and faces, for commands that take either."""

from pathlib import Path

from fer_edge.detection.detector_contract import DetectorFile, as_detector
from fer_edge.inspection import detector_selftest, selftest
from fer_edge.inspection.selftest import StageResult
from fer_edge.model.contract import ModelFile, as_model
from fer_edge.model.package import read_packed


def read_any(path: Path) -> ModelFile | DetectorFile:
    """Read an expression model or a face detector.

    Raises:
        ModelError: The file is neither, or damaged.
    """
    packed = read_packed(path)
    return as_detector(packed) if packed.task == "faces" else as_model(packed)


def repeat_golden(model: ModelFile | DetectorFile) -> list[StageResult]:
    """Verify the golden vectors of a model of either task on this machine.

    Raises:
        ModelError: There are none, or they do not fit the model.
    """
    return detector_selftest.selftest(model) if isinstance(model, DetectorFile) else selftest.selftest(model)
