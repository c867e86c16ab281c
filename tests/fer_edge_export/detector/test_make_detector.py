"""Creation of the bundled face detector from YuNet's weights, with few pictures and without writing files."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS
from fer_edge.detection.detector_contract import map_shapes, read_detector
from fer_edge.detection.yunet import CHANNELS, OVERLAP, STRIDES, Faces, candidates, decode
from fer_edge.errors import DataError, FerEdgeError, ModelError
from fer_edge.files import sha256
from fer_edge.imaging.boxes import overlaps
from fer_edge.imaging.images import Pixels
from fer_edge.model.interpreter import Engine
from fer_edge.model.operators import BUILTIN, operators
from fer_edge.model.trial import load_runtime
from fer_edge_export.detector.drawings import synthetic_pictures
from fer_edge_export.detector.weights import DIGEST, HEADS, SOURCE, Floats, Weights, read_weights
from fer_edge_export.quantize.convert import convert
from fer_edge_export.recipes import RECIPES

SIZE_WH = (320, 256)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return read_weights()


@pytest.fixture(scope="module")
def pictures() -> Pixels:
    return synthetic_pictures(8, SIZE_WH, seed=0)


def enlarged(pictures: Pixels) -> Pixels:
    return pictures[:4].repeat(2, axis=1).repeat(2, axis=2)


@pytest.fixture(scope="module")
def ready(weights: Weights, pictures: Pixels) -> tuple[Weights, Floats, Floats]:
    """Weights prepared for quantisation, with the scale and offset of their maps."""
    from fer_edge_export.detector.ranges import equalised, normalised

    return normalised(equalised(weights, pictures), [pictures, enlarged(pictures)])


@pytest.fixture(scope="module")
def float16(ready: tuple[Weights, Floats, Floats]) -> bytes:
    from fer_edge_export.detector.network import make_network

    return convert(make_network(ready[0], (256, 320)), RECIPES["float16"])


@pytest.fixture(scope="module")
def int8(ready: tuple[Weights, Floats, Floats], pictures: Pixels) -> bytes:
    from fer_edge_export.detector.network import make_network

    return convert(make_network(ready[0], (256, 320), clip=True), RECIPES["int8"], pictures)


def maps_of(weights: Weights, pictures: Pixels) -> list[Any]:
    from fer_edge_export.detector.network import make_network

    outputs = make_network(weights).predict_on_batch(pictures.astype(np.float32) / 255)
    return [np.asarray(one) for one in outputs]


def test_the_weights_are_the_published_file_to_the_byte() -> None:
    assert sha256(SOURCE.read_bytes()) == DIGEST


def test_a_changed_byte_of_the_weights_is_rejected(tmp_path: Path) -> None:
    content = bytearray(SOURCE.read_bytes())
    content[100_000] ^= 1
    (tmp_path / "yunet.onnx").write_bytes(content)

    with pytest.raises(ModelError, match=rf"^\S+yunet\.onnx: not face_detection_yunet_2023mar\.onnx .*{DIGEST}\)$"):
        read_weights(tmp_path / "yunet.onnx")


def test_missing_weights_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^\S+none\.onnx: No such file or directory; it is part of .*git checkout$"):
        read_weights(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r": Is a directory; "):
        read_weights(tmp_path)


def test_without_onnx_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)

    with pytest.raises(FerEdgeError, match=r"onnx is not installed; .*pip install '\.\[dev\]'$"):
        read_weights()


def test_all_weights_of_the_file_are_used(weights: Weights) -> None:
    """The file has batch normalisation folded: its parameters are the weights and biases of convolutions."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(SOURCE)).graph
    used = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    arrays = [numpy_helper.to_array(one) for one in graph.initializer if one.name in used]
    parts = [
        weights.stem / 255,
        weights.stem_bias,
        *(part for pair in weights.pairs.values() for part in parts_of(pair)),
    ]

    assert sum(part.size for part in parts) == sum(array.size for array in arrays)
    assert sum(part.sum() for part in parts) == pytest.approx(sum(array.sum(dtype=np.float64) for array in arrays))


def parts_of(pair: Any) -> Iterator[Floats]:
    yield from (pair.pointwise, pair.pointwise_bias, pair.depthwise, pair.depthwise_bias)


def test_the_network_has_the_outputs_of_opencv(weights: Weights, pictures: Pixels) -> None:
    import cv2

    maps = maps_of(weights, pictures[:1])
    ones, zeros = np.ones((3, CHANNELS), np.float32), np.zeros((3, CHANNELS), np.float32)
    cells = candidates([one[0] for one in maps], ones, zeros, 0.6)
    kept = np.array(cv2.dnn.NMSBoxes(cells.boxes.tolist(), cells.scores.tolist(), 0.6, OVERLAP), int)
    found = Faces(*(column[kept] for column in cells))
    _, rows = cv2.FaceDetectorYN.create(str(SOURCE), "", SIZE_WH, 0.6, OVERLAP).detect(pictures[0])

    assert len(found.boxes) == len(rows) > 0
    nearest = overlaps(rows[:, :4], found.boxes).argmax(axis=1)
    np.testing.assert_allclose(found.boxes[nearest], rows[:, :4], atol=0.02)
    np.testing.assert_allclose(found.landmarks[nearest].reshape(-1, 10), rows[:, 4:14], atol=0.02)
    np.testing.assert_allclose(found.scores[nearest], rows[:, 14], atol=1e-3)


def test_equalised_ranges_do_not_change_the_outputs(
    weights: Weights, ready: tuple[Weights, Floats, Floats], pictures: Pixels
) -> None:
    """Also on other pictures of another size."""
    others = synthetic_pictures(2, (192, 160), seed=9)
    changed, scale, offset = ready
    for shown in (pictures[:2], others):
        exact, rows = maps_of(weights, shown), maps_of(changed, shown)
        for row, (there, here) in enumerate(zip(exact, rows, strict=True)):
            np.testing.assert_allclose(here * scale[row] + offset[row], there, atol=1e-3)


def test_the_maps_of_faces_are_between_minus_1_and_1(ready: tuple[Weights, Floats, Floats], pictures: Pixels) -> None:
    changed, scale, offset = ready
    sets = [maps_of(changed, shown) for shown in (pictures, enlarged(pictures))]
    for row in range(3):
        largest = []
        for maps in sets:
            logits = (maps[row] * scale[row] + offset[row])[..., :2]
            score = np.sqrt(np.prod(1 / (1 + np.exp(-logits)), axis=-1))
            largest.append(np.abs(maps[row][score >= 0.05]).max())  # below, a logit may be under -6 and is clipped

        assert 0.8 < max(largest) < 1
        assert (scale[row] > 0).all()
        np.testing.assert_allclose(offset[row, :2] - scale[row, :2], -6, atol=2e-4)


def test_pictures_without_a_face_are_rejected(weights: Weights) -> None:
    from fer_edge_export.detector.ranges import normalised

    with pytest.raises(DataError, match="none of 2 pictures has a face"):
        normalised(weights, [np.full((2, 64, 64, 3), 128, np.uint8)])


def test_channels_between_the_convolutions_of_a_pair_have_equal_ranges(
    weights: Weights, ready: tuple[Weights, Floats, Floats], pictures: Pixels
) -> None:
    def spread(changed: Weights) -> float:
        import keras

        from fer_edge_export.detector.network import make_network

        network = make_network(changed)
        inner = keras.Model(network.input, network.get_layer("stage4a_pointwise").output)
        maxima = np.abs(inner.predict_on_batch(pictures.astype(np.float32) / 255)).max(axis=(0, 1, 2))
        return float(maxima.max() / maxima.min())

    assert spread(weights) > 3
    assert spread(ready[0]) < 1.01


def test_float16_has_built_in_operators_only(float16: bytes) -> None:
    assert set(operators(float16)) <= set(BUILTIN)
    assert not [name for name in operators(float16) if name.startswith(("custom", "Flex"))]


@pytest.mark.parametrize("size_wh", [(320, 256), (64, 64), (192, 320), (640, 96)])
@pytest.mark.parametrize("recipe", ["float16", "int8"])
def test_other_multiples_of_32_are_accepted(
    recipe: str, size_wh: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    width, height = size_wh
    flatbuffer = request.getfixturevalue(recipe)

    engine = Engine(Path("new"), flatbuffer, shape=(1, height, width, 3))
    engine.expect((1, height, width, 3), *((1, *shape) for shape in map_shapes(width, height)))

    answers = engine.run(synthetic_pictures(1, size_wh, seed=3)[0])
    assert [one.shape for one in answers] == [(height // stride, width // stride, CHANNELS) for stride in STRIDES]
    assert all(one.std() > 0 for one in answers)


def test_int8_has_uint8_pixels_as_input_and_int8_outputs(int8: bytes) -> None:
    interpreter = load_runtime()[1].Interpreter(model_content=int8)
    (taken,), given = interpreter.get_input_details(), interpreter.get_output_details()

    assert (taken["dtype"], taken["quantization"]) == (np.uint8, (float(np.float32(1 / 255)), 0))
    assert {one["dtype"] for one in given} == {np.int8}
    for one in given:  # 255 steps from -1 to 1
        assert one["quantization"][0] == pytest.approx(2 / 255, rel=0.2)


@pytest.mark.parametrize("recipe", ["float16", "int8"])
def test_the_converted_model_finds_the_faces_of_the_network(
    recipe: str,
    weights: Weights,
    ready: tuple[Weights, Floats, Floats],
    pictures: Pixels,
    request: pytest.FixtureRequest,
) -> None:
    """int8 is less precise here: it is calibrated with 8 pictures."""
    scale, offset = (part.astype(np.float32) for part in ready[1:])
    engine = Engine(Path("new"), request.getfixturevalue(recipe))
    engine.expect((1, 256, 320, 3), *((1, *shape) for shape in map_shapes(*SIZE_WH)))
    ones, zeros = np.ones((3, CHANNELS), np.float32), np.zeros((3, CHANNELS), np.float32)
    total = 0
    for picture, *maps in zip(pictures, *maps_of(weights, pictures), strict=True):
        exact, found = decode(maps, ones, zeros, 0.4), decode(engine.run(picture), scale, offset, 0.4)
        sure = exact.scores >= 0.6
        total += int(sure.sum())
        for box, landmarks in zip(exact.boxes[sure], exact.landmarks[sure], strict=True):
            shared = overlaps(found.boxes, box[None])[:, 0]
            assert shared.max(initial=0) > (0.98 if recipe == "float16" else 0.6)
            apart = np.abs(found.landmarks[shared.argmax()] - landmarks).max() / box[2:].max()
            assert apart < (0.01 if recipe == "float16" else 0.2)
    assert total >= 8


def test_the_same_seed_gives_the_same_pictures() -> None:
    first, again, other = (synthetic_pictures(2, (96, 64), seed) for seed in (5, 5, 6))

    assert (first.shape, first.dtype) == ((2, 64, 96, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_the_bundled_files_name_the_weights_and_their_licence(recipe: str) -> None:
    contract = read_detector(BUNDLED_DETECTORS[recipe]).contract
    stated = contract.data["weights"]

    assert (stated["name"], stated["digest"]) == (SOURCE.name, sha256(SOURCE.read_bytes()))
    assert stated["licence"].startswith("MIT, ")
    notice = (BUNDLED_DETECTORS[recipe].parent / "LICENSE.yunet").read_text()
    assert "MIT License" in notice
    assert stated["licence"].removeprefix("MIT, ") in notice
    assert contract.recipe == recipe
    assert {"onnx", "tensorflow", "keras", "ai-edge-litert"} <= contract.made_with.keys()


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_the_bundled_files_have_all_parameters(recipe: str, weights: Weights) -> None:
    parameters = weights.stem.size + weights.stem_bias.size
    parameters += sum(part.size for pair in weights.pairs.values() for part in parts_of(pair))

    assert read_detector(BUNDLED_DETECTORS[recipe]).contract.network["parameters"] == parameters


def test_scaling_between_the_convolutions_of_a_pair_keeps_the_output(weights: Weights) -> None:
    pair = weights.pairs["stage1a"]
    factors = np.linspace(0.1, 10, pair.pointwise.shape[1])

    changed = pair.scaled_between(factors)

    np.testing.assert_allclose(
        np.einsum("io,rco->irco", changed.pointwise, changed.depthwise),
        np.einsum("io,rco->irco", pair.pointwise, pair.depthwise),
    )
    np.testing.assert_allclose(changed.pointwise_bias * changed.depthwise, pair.pointwise_bias * pair.depthwise)
    np.testing.assert_array_equal(changed.depthwise_bias, pair.depthwise_bias)


def test_the_heads_are_the_last_three_pairs(weights: Weights) -> None:
    assert tuple(weights.pairs)[-3:] == HEADS
    assert {weights.pairs[head].depthwise.shape for head in HEADS} == {(3, 3, CHANNELS)}


def test_enlarge_equals_upsampling_with_operators_of_xnnpack() -> None:
    import keras

    from fer_edge_export.detector.network import Enlarge

    maps = np.random.default_rng(0).random((2, 3, 5, 4), np.float32)
    pictures = keras.Input((8, 8, 1))

    np.testing.assert_array_equal(Enlarge()(maps), keras.layers.UpSampling2D(2)(maps))
    network = keras.Model(pictures, Enlarge()(pictures))
    assert operators(convert(network, RECIPES["float32"])).keys() == {"CONCATENATION", "DEPTH_TO_SPACE"}
