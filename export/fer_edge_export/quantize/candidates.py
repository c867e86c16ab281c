"""The network to export with its faces: conversion by recipe, fine-tuning and prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_edge.console import progress
from fer_edge.data.faceset import FaceSet
from fer_edge.errors import needs
from fer_edge.imaging.images import Pixels
from fer_edge.model.interpreter import Engine
from fer_edge_export.accuracy.compare import Logits
from fer_edge_export.quantize.calibrate import RangeRule, calibration_subsets
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES, Recipe
from fer_edge_export.results import Learning

TUNING = 2000
"""Training faces for fine-tuning: minutes for a few epochs, instead of hours with all."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A network and the faces for its calibration, selection and evaluation."""

    network: Any
    """keras.Model."""
    float32: bytes
    """Its float32 flatbuffer."""
    training: FaceSet
    """Calibration faces."""
    validation: FaceSet
    """Faces to select the calibration; empty if the evaluation uses the validation faces."""
    heldout: FaceSet
    """Evaluation faces; not used for any selection."""
    temperature: float
    """Softmax temperature."""

    def make(self, recipe: Recipe, faces: FaceSet | None = None, rule: RangeRule = "minmax") -> bytes:
        """Convert the network by `recipe`; a calibrated one gets its ranges from `faces` by `rule`.

        Raises:
            ModelError: It cannot be converted, or does not support custom ranges (`rule` is percentile).
        """
        network = self.network
        if faces is not None and rule == "percentile":
            from fer_edge_export.quantize.fake_quant import quantised, ranges

            network = quantised(network, ranges(network, faces.faces, rule))
        return convert(network, recipe, None if faces is None else faces.faces)

    def fine_tune(self, calibration: FaceSet, rule: RangeRule, epochs: int, seed: int) -> tuple[bytes, Any, Learning]:
        """Fine-tune for int8 with up to `TUNING` training faces, from the ranges of `calibration` by `rule`.

        Returns:
            The flatbuffer, the fine-tuned folded float network, and the training record.

        Raises:
            DataError: Too few training faces.
            ModelError: The network does not support custom ranges.
        """
        with needs("train"):
            from fer_edge_export.quantize.fake_quant import quantised, ranges
            from fer_edge_export.quantize.fine_tune import fine_tune

        faces = calibration_subsets(self.training, TUNING, seed)[0].faces
        tuned = fine_tune(self.network, faces, ranges(self.network, calibration.faces, rule), epochs, seed)
        flatbuffer = convert(quantised(tuned.network, tuned.ranges), RECIPES["int8"], calibration.faces)
        return flatbuffer, tuned.network, tuned.learning


def predict(flatbuffer: bytes, faces: Pixels, description: str) -> Logits:
    """Run a converted network on (n, size, size) or (n, size, size, 3) uint8 faces; returns (n, classes) logits."""
    engine = Engine("the converted network", flatbuffer)
    with progress() as bar:
        return np.array([engine.run(face)[0] for face in bar.track(faces, description=description)], np.float32)
