"""What is exported: a network with its faces; it makes a model by each recipe and lets it answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.console import progress
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import needs
from fer_edge.imaging.images import Pixels
from fer_edge.model.interpreter import Engine
from fer_edge_export.accuracy.compare import Logits
from fer_edge_export.quantize.calibrate import RangeRule, choose_two
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES, Recipe
from fer_edge_export.results import Learning

TUNING = 2000
"""Training faces to fine-tune with: minutes for a few epochs, where all would take hours."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A network and the faces with which its models are made, chosen and judged."""

    network: Any
    """keras.Model."""
    float32: bytes
    """Its flatbuffer, as it is."""
    training: FaceSet
    """Faces to calibrate with."""
    validation: FaceSet
    """Faces to choose the calibration by; empty where the validation faces are those that judge."""
    judged: FaceSet
    """Faces to compare on; nothing is chosen by them."""
    temperature: float
    """Of the logits."""

    def make(self, recipe: Recipe, faces: FaceSet | None = None, rule: RangeRule = "minmax") -> bytes:
        """Convert the network by `recipe`; a calibrated one takes its ranges from `faces` by `rule`.

        Raises:
            ModelError: It cannot be converted, or cannot take ranges from outside (`rule` is percentile).
        """
        network = self.network
        if faces is not None and rule == "percentile":
            from fer_edge_export.quantize.fake_quant import quantised, ranges

            network = quantised(network, ranges(network, faces.faces, rule))
        return convert(network, recipe, None if faces is None else faces.faces)

    def fine_tune(self, calibration: FaceSet, rule: RangeRule, epochs: int, seed: int) -> tuple[bytes, Any, Learning]:
        """Fine-tune for int8 with up to `TUNING` training faces, from the ranges of `calibration` by `rule`.

        Returns:
            The flatbuffer, the folded float network that was learned, and how it was.

        Raises:
            DataError: There are too few training faces.
            ModelError: The network cannot take ranges from outside.
        """
        with needs("train"):
            from fer_edge_export.quantize.fake_quant import quantised, ranges
            from fer_edge_export.quantize.fine_tune import fine_tune

        faces = choose_two(self.training, TUNING, seed)[0].faces
        tuned = fine_tune(self.network, faces, ranges(self.network, calibration.faces, rule), epochs, seed)
        flatbuffer = convert(quantised(tuned.network, tuned.ranges), RECIPES["int8"], calibration.faces)
        return flatbuffer, tuned.network, tuned.learning


def answers(flatbuffer: bytes, faces: Pixels, doing: str) -> Logits:
    """Let a converted network answer to (n, size, size) or (n, size, size, 3) uint8 faces one by one; (n, classes)."""
    engine = Engine("the converted network", flatbuffer)
    with progress() as bar:
        return np.array([engine.run(face)[0] for face in bar.track(faces, description=doing)], np.float32)
