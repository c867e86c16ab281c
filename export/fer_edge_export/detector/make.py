"""Create both bundled face detectors: build, normalise ranges, convert, add contract and reference outputs."""

from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np

from fer_edge.console import console
from fer_edge.detection.detector_contract import DetectorContract, DetectorModel, write_detector
from fer_edge.errors import needs
from fer_edge.imaging.images import Pixels
from fer_edge.inspection.detector_selftest import make_golden
from fer_edge.versions import installed
from fer_edge_export.detector.drawings import synthetic_pictures
from fer_edge_export.detector.weights import DIGEST, SOURCE, read_weights
from fer_edge_export.networks.load import facts
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES
from fer_edge_export.settings import PACKAGES

WIDTH, HEIGHT = 320, 256
"""Input size in pixels: a VGA frame scaled to a longer side of 320, in multiples of 32."""
PICTURES = 160
"""Number of synthetic calibration pictures."""
ENLARGED = 2
"""Factor by which every third one is also enlarged: the ranges of the maps include faces that fill 640 pixels."""
SEED = 0
THRESHOLD = 0.6
"""Score threshold; its selection is in docs/face_detector.md."""
TERMS = {
    "name": SOURCE.name,
    "digest": DIGEST,
    "from": "OpenCV Zoo, models/face_detection_yunet",
    "licence": "MIT, Copyright (c) 2020 Shiqi Yu",
    "trained_on": "WIDER FACE (CC BY-NC-ND 4.0), by YuNet's authors",
}


def make_detectors(folder: Path) -> list[Path]:
    """Write `yunet_int8.tflite` and `yunet_float16.tflite`; the same bytes each time on one machine.

    Args:
        folder: Output folder.

    Returns:
        Their paths.

    Raises:
        FerEdgeError: A file or package is missing, or a file cannot be written.
    """
    with needs("train"):
        from fer_edge_export.detector.network import make_network
        from fer_edge_export.detector.ranges import equalised, normalised
    console.print(f"drawing {PICTURES} calibration pictures")
    pictures = synthetic_pictures(PICTURES, (WIDTH, HEIGHT), SEED)
    console.print("measuring ranges")
    weights, scale, offset = normalised(equalised(read_weights(), pictures), [pictures, _enlarged(pictures[::3])])
    base = DetectorContract(
        width=WIDTH,
        height=HEIGHT,
        recipe="",
        threshold=THRESHOLD,
        scale=tuple(map(tuple, scale.tolist())),
        offset=tuple(map(tuple, offset.tolist())),
        data={"weights": TERMS, "calibration": {"pictures": PICTURES, "drawn": True, "seed": SEED}},
        made_with=installed((*PACKAGES, "onnx")),
    )
    paths = []
    for recipe in ("int8", "float16"):
        console.print(f"converting to {recipe}: {RECIPES[recipe]}")
        network = make_network(weights, (HEIGHT, WIDTH), clip=recipe == "int8")
        contract = replace(base, recipe=recipe, network=asdict(facts(network, "yunet")))
        flatbuffer = convert(network, RECIPES[recipe], pictures if recipe == "int8" else None)
        model = DetectorModel(folder / f"yunet_{recipe}.tflite", flatbuffer, contract)
        write_detector(model.path, flatbuffer, contract, make_golden(model))
        paths.append(model.path)
    return paths


def _enlarged(pictures: Pixels) -> Pixels:
    size_wh = (ENLARGED * pictures.shape[2], ENLARGED * pictures.shape[1])
    return np.asarray(np.stack([cv2.resize(one, size_wh, interpolation=cv2.INTER_CUBIC) for one in pictures]), np.uint8)
