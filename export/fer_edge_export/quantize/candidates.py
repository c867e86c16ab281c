"""What is exported: a network with its faces; it makes a model by each recipe and lets it answer."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_edge.console import progress
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import needs
from fer_edge.imaging.images import Pixels
from fer_edge.model.contract import Contract, Golden, ModelFile
from fer_edge.native_logs import quiet
from fer_edge.recognition.classifier import Classifier
from fer_edge_export.accuracy.compare import Logits
from fer_edge_export.quantize.calibrate import RangeRule, choose_two
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES, Recipe

BLOCK = 32
"""Faces between two steps of the progress bar."""
TUNING = 2000
"""Training faces to fine-tune with: minutes for a few epochs, where all would take hours."""


@dataclass(frozen=True)
class Subject:
    """A network and the faces with which its models are made, chosen and judged."""

    network: Any
    """keras.Model."""
    float_model: ModelFile
    """The network as it is; its contract is every model's but for the recipe."""
    training: FaceSet
    """Faces to calibrate with."""
    validation: FaceSet
    """Faces to choose the calibration by; empty where the validation faces are those that judge."""
    judged: FaceSet
    """Faces to compare on; nothing is chosen by them."""
    temperature: float
    """Of the logits."""

    def make(self, recipe: Recipe, faces: FaceSet | None = None, rule: RangeRule = "minmax") -> ModelFile:
        """Convert the network by `recipe`; a calibrated one takes its ranges from `faces` by `rule`.

        Raises:
            ModelError: It cannot be converted, or cannot take ranges from outside (`rule` is percentile).
        """
        network = self.network
        if faces is not None and rule == "percentile":
            from fer_edge_export.quantize.fake_quant import quantised, ranges

            network = quantised(network, ranges(network, faces.faces, rule))
        contract, folder = self.float_model.contract, self.float_model.path.parent
        return converted(network, recipe, contract, folder, None if faces is None else faces.faces)

    def fine_tune(
        self, calibration: FaceSet, rule: RangeRule, epochs: int, seed: int
    ) -> tuple[ModelFile, Any, dict[str, Any]]:
        """Fine-tune for int8 with up to `TUNING` training faces, from the ranges of `calibration` by `rule`.

        Returns:
            The model, the folded float network that was learned, and the facts of the learning.

        Raises:
            DataError: There are too few training faces.
            ModelError: The network cannot take ranges from outside.
        """
        with needs("train"), quiet():
            from fer_edge_export.quantize.fake_quant import quantised, ranges
            from fer_edge_export.quantize.fine_tune import fine_tune

        faces = choose_two(self.training, TUNING, seed)[0].faces
        tuned = fine_tune(self.network, faces, ranges(self.network, calibration.faces, rule), epochs, seed)
        contract, folder = self.float_model.contract, self.float_model.path.parent
        network = quantised(tuned.network, tuned.ranges)
        model = converted(network, RECIPES["int8"], contract, folder, calibration.faces)
        return model, tuned.network, tuned.facts


def converted(
    network: Any, recipe: Recipe, contract: Contract, folder: Path, calibration: Pixels | None = None
) -> ModelFile:
    """Convert `network` to a model that will lie in `folder`; its contract lacks what the comparison finds out."""
    empty = np.zeros((0, 0, 0), np.uint8)
    golden = Golden(empty, np.zeros((0, 4), np.float32), empty, np.zeros((0, 0), np.float32))
    path = folder / f"model_{recipe.name}.tflite"
    return ModelFile(path, convert(network, recipe, calibration), replace(contract, recipe=recipe.name), golden)


def answers(model: ModelFile, faces: Pixels, doing: str) -> Logits:
    """Run a model on (n, size, size) uint8 faces one by one, as a device does; (n, classes)."""
    network = Classifier(model).network
    blocks = [faces[first : first + BLOCK] for first in range(0, len(faces), BLOCK)]
    with progress() as bar:
        return np.concatenate([network.logits(block) for block in bar.track(blocks, description=doing)])
