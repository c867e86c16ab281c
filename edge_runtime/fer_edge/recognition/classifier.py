"""Classify face crops: network, temperature, and the threshold for "uncertain"."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fer_edge.data.metrics import softmax
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import Contract, ModelFile, read_model
from fer_edge.model.interpreter import Network

UNCERTAIN = "uncertain"

BUNDLED = Path(__file__).parents[1] / "models" / "edge.tflite"
"""The bundled expression model."""


class Classifier:
    """An expression model, loaded once. Not thread-safe."""

    def __init__(self, model: Path | ModelFile | None = None, threads: int = 1) -> None:
        """Load `model`, by default the bundled one.

        Raises:
            ModelError: The file is not a model that this runtime can run.
        """
        self.model = model if isinstance(model, ModelFile) else read_model(model or BUNDLED)
        self.network = Network(self.model, threads)

    @property
    def contract(self) -> Contract:
        """The model's contract."""
        return self.model.contract

    def probabilities(self, pixels: Pixels) -> npt.NDArray[np.float64]:
        """Classify (n, size, size) uint8 grey or (n, size, size, 3) RGB crops; returns (n, classes), rows sum to 1."""
        return softmax(self.network.logits(pixels), self.contract.temperature)

    def label(self, probabilities: npt.NDArray[np.float64]) -> str:
        """Return the best class of one row of `probabilities`, or "uncertain" below the model's threshold."""
        best = int(probabilities.argmax())
        return UNCERTAIN if probabilities[best] < self.contract.uncertain_below else self.contract.labels[best]
