"""What an Edge TPU or a Hexagon would not take, by their makers' documents."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.model.operators import BUILTIN, operators
from fer_edge.model.package import read_packed
from fer_edge.recognition.classifier import BUNDLED
from fer_edge_export.microcontroller.graph import Operator, Tensor, read_graphs
from fer_edge_export.targets import TARGETS, Untaken, untaken, why_not
from support.paths import TINY_FLOAT

EDGE_TPU, HEXAGON = TARGETS


def tensor(*shape: int, of: str = "INT8", holding: list[int] | None = None) -> Tensor:
    content = None if holding is None else np.array(holding, np.int32 if of == "INT32" else np.int8).tobytes()
    return Tensor(index=0, shape=shape, type=of, scales=(0.1,), zero_point=0, content=content)


PICTURE = tensor(1, 8, 8, 6)
FILTER = tensor(6, 3, 3, 6, holding=[1])
PLAIN_CONV = {
    "strideW": 1,
    "strideH": 1,
    "dilationWFactor": 1,
    "dilationHFactor": 1,
    "fusedActivationFunction": 3,
    "depthMultiplier": 1,
}
PLAIN_DENSE = {"fusedActivationFunction": 0, "weightsFormat": 0, "keepNumDims": False}
PLAIN_POOL = {"fusedActivationFunction": 0, "padding": 0, "filterWidth": 2, "filterHeight": 2}
PLAIN_SLICE = {"ellipsisMask": 0, "newAxisMask": 0}


def step(name: str, *inputs: Tensor, out: Tensor = PICTURE, version: int = 1, **options: Any) -> Operator:
    return Operator(name, version, inputs, (out,), options)


def convolution(name: str = "CONV_2D", *, filtered: Tensor = FILTER, version: int = 3, **options: Any) -> Operator:
    return step(name, PICTURE, filtered, version=version, **(PLAIN_CONV | options))


def axes(*numbers: int) -> Tensor:
    return tensor(len(numbers), of="INT32", holding=list(numbers))


def sliced(strides: list[int], **options: int) -> Operator:
    return step("STRIDED_SLICE", PICTURE, axes(0), axes(0), axes(*strides), **(PLAIN_SLICE | options))


def test_the_bundled_expression_model_meets_every_condition_that_is_known() -> None:
    assert untaken(read_packed(BUNDLED).flatbuffer) == []


def test_a_flatten_over_an_open_batch_computes_its_shape_which_neither_takes(tiny: Path) -> None:
    reasons = [
        ("SHAPE", 1, "not among its operators"),
        ("STRIDED_SLICE", 1, "works on INT32, and not on 8-bit integers"),
        ("PACK", 1, "works on INT32, and not on 8-bit integers"),
        ("RESHAPE", 1, "a size or axis is computed while running; sizes must be fixed"),
    ]

    assert untaken(read_packed(tiny).flatbuffer) == [
        Untaken(target, *reason) for target in ("Edge TPU", "Hexagon") for reason in reasons
    ]


def test_float_models_are_taken_by_neither() -> None:
    found = untaken(read_packed(TINY_FLOAT).flatbuffer)

    assert Untaken("Edge TPU", "CONV_2D", 3, "works on FLOAT32, and not on 8-bit integers") in found
    assert Untaken("Hexagon", "FULLY_CONNECTED", 1, "works on FLOAT32, and not on 8-bit integers") in found


def test_each_operator_is_named_with_its_count(enlarging: bytes) -> None:
    found = untaken(enlarging)

    assert Untaken("Edge TPU", "TILE", 2, "not among its operators") in found
    assert Untaken("Edge TPU", "RESHAPE", 3, "only the three innermost dimensions may be larger than 1") in found
    assert Untaken("Hexagon", "RESHAPE", 3, "more than four dimensions") in found
    assert all(entry.count <= operators(enlarging)[entry.operator] for entry in found)


def test_the_face_detector_enlarges_in_an_operator_that_a_hexagon_takes() -> None:
    found = untaken(read_packed(BUNDLED_DETECTORS["int8"]).flatbuffer)

    assert Untaken("Edge TPU", "DEPTH_TO_SPACE", 2, "not among its operators") in found
    assert not [entry for entry in found if entry.target == "Hexagon"]


@pytest.mark.parametrize(
    "operator",
    [
        convolution(),
        convolution("DEPTHWISE_CONV_2D"),
        convolution(strideW=2, strideH=2),
        step("ADD", PICTURE, PICTURE, version=2, fusedActivationFunction=3),
        step("MEAN", PICTURE, axes(1, 2), version=2, keepDims=False),
        step("FULLY_CONNECTED", tensor(1, 6), tensor(8, 6, holding=[1]), out=tensor(1, 8), version=4, **PLAIN_DENSE),
        step("MAX_POOL_2D", PICTURE, version=2, **PLAIN_POOL),
        step("PAD", PICTURE, tensor(4, 2, of="INT32", holding=[0, 0, 1, 1, 1, 1, 0, 0]), version=2),
        step("QUANTIZE", tensor(1, 8, 8, 6, of="UINT8")),
        step("SOFTMAX", tensor(1, 8), out=tensor(1, 8), version=2),
        sliced([1, 1, 1, 1]),
    ],
    ids=lambda operator: operator.name,
)
def test_plain_layers_are_taken_by_both(operator: Operator) -> None:
    assert [why_not(target, operator) for target in TARGETS] == [None, None]


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (step("HARD_SWISH", PICTURE), "not among"),
        (step("custom:FlexErf", PICTURE), "not among"),
        (step("LEAKY_RELU", PICTURE), "not among"),
        (convolution(dilationWFactor=2), "dilation differs"),
        (step("MAX_POOL_2D", PICTURE, **(PLAIN_POOL | {"fusedActivationFunction": 1})), "fused activation"),
        (step("MEAN", PICTURE, axes(0)), "batch"),
        (step("MEAN", PICTURE, axes(-4)), "batch"),
        (step("MEAN", PICTURE, axes(3)), "no multiple of 4"),  # 6 channels
        (step("SUM", PICTURE, axes(0)), "batch"),
        (step("SPLIT", axes(0), PICTURE), "batch"),
        (step("PACK", PICTURE, PICTURE, axis=0), "batch"),
        (step("PAD", PICTURE, tensor(4, 2, of="INT32", holding=[0, 1, 0, 0, 0, 0, 0, 0])), "batch"),
        (step("PRELU", PICTURE, tensor(8, 8, 6, holding=[1])), "shared_axes"),
        (step("SOFTMAX", tensor(1, 20_000), out=tensor(1, 20_000)), "16,000"),
        (step("SOFTMAX", tensor(1, 4, 8), out=tensor(1, 4, 8)), "one row"),
        (step("FULLY_CONNECTED", tensor(1, 4, 6), out=tensor(1, 4, 8), **PLAIN_DENSE), "more than one dimension"),
        (sliced([1, 2, 2, 1]), "stride"),
        (sliced([1, 1, 1, 1], ellipsisMask=1), "ellipsis"),
        (step("CONCATENATION", PICTURE, PICTURE, FILTER, fusedActivationFunction=0), "zero padding"),
        (step("RESIZE_BILINEAR", PICTURE, tensor(2, of="INT32")), "computed while running"),
        (step("ADD", PICTURE, PICTURE, out=tensor(1, 8, 8, 6, of="INT16")), "INT16"),
        (step("EXPAND_DIMS", PICTURE, axes(0), out=tensor(2, 8, 8, 6)), "three innermost"),
    ],
)
def test_edge_tpu_says_why_not(operator: Operator, reason: str) -> None:
    assert reason in str(why_not(EDGE_TPU, operator))


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (step("PRELU", PICTURE, FILTER), "not among"),
        (step("EXPAND_DIMS", PICTURE, axes(0)), "not among"),
        (convolution(dilationWFactor=2, dilationHFactor=2), "dilated"),
        (convolution(strideW=4), "larger than 3"),
        (convolution(fusedActivationFunction=4), "other than ReLU"),  # tanh
        (convolution(version=5), "version 5; versions up to 3"),
        (convolution("DEPTHWISE_CONV_2D", dilationWFactor=2, strideW=2), "dilated and has a stride"),
        (convolution("DEPTHWISE_CONV_2D", depthMultiplier=2), "several channels"),
        (convolution("DEPTHWISE_CONV_2D", filtered=tensor(1, 1, 3, 6, holding=[1])), "one row high"),
        (step("MAX_POOL_2D", PICTURE, **(PLAIN_POOL | {"filterWidth": 13})), "larger than 12"),
        (step("FULLY_CONNECTED", tensor(1, 6), FILTER, **(PLAIN_DENSE | {"keepNumDims": True})), "kept"),
        (step("FULLY_CONNECTED", tensor(1, 6), FILTER, version=12, **PLAIN_DENSE), "version 12; versions up to 4"),
        (sliced([1, 1, 1, 1], newAxisMask=1), "new axis"),
        (step("RESHAPE", PICTURE, out=tensor(1, 2, 4, 8, 6)), "more than four"),
        (step("RESHAPE", PICTURE, tensor(2, of="INT32")), "computed while running"),
        (step("MUL", tensor(1, 8, of="FLOAT32"), PICTURE, fusedActivationFunction=0), "FLOAT32"),
    ],
)
def test_hexagon_says_why_not(operator: Operator, reason: str) -> None:
    assert reason in str(why_not(HEXAGON, operator))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_targets_data_are_operators_of_tflite_with_a_source_and_a_date(target: Any) -> None:
    assert target.names <= set(BUILTIN)
    assert set(target.rules) <= target.names
    assert "November 2026" in target.source
    assert target.unknown


def test_graph_is_what_the_file_says(tiny: Path) -> None:
    (graph,) = read_graphs(read_packed(tiny).flatbuffer)

    assert [(t.shape, t.type, t.zero_point) for t in graph.inputs] == [((1, 32, 32, 1), "UINT8", 0)]
    assert [(t.shape, t.type, t.zero_point) for t in graph.outputs] == [((1, 8), "INT8", 21)]
    assert [operator.name for operator in graph.operators] == [
        *("QUANTIZE", "CONV_2D", "CONV_2D", "CONV_2D", "SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "FULLY_CONNECTED")
    ]
    stem = graph.operators[1]
    assert (stem.version, stem.options["strideW"]) == (3, 2)
    assert [t.shape for t in stem.inputs] == [(1, 32, 32, 1), (8, 3, 3, 1), (8,)]
    assert [len(t.scales) for t in stem.inputs] == [1, 8, 8]
    assert [t.content is None for t in stem.inputs] == [True, False, False]
    assert stem.outputs[0].nbytes == 16 * 16 * 8
