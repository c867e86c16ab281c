from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, YuNet
from fer_edge.detection.detector_contract import DetectorFile, fitted, map_shapes, read_detector, write_detector
from fer_edge.errors import ModelError
from fer_edge.imaging.images import Pixels
from fer_edge.inspection.models import read_any
from fer_edge.model.contract import ModelFile, read_model
from fer_edge.model.package import read_packed, write_packed
from fer_edge.synthetic.render import draw_face

INT8 = BUNDLED_DETECTORS["int8"]


@pytest.fixture(scope="module")
def bundled() -> DetectorFile:
    return read_detector(INT8)


def changed(path: Path, **fields: Any) -> Path:
    """Copy the bundled detector with some fields of its metadata.json changed; None takes one away."""
    packed = read_packed(INT8)
    document = {name: value for name, value in (packed.document | fields).items() if value is not None}
    write_packed(path, packed.flatbuffer, "faces", document, packed.golden)
    return path


def noise(rows: int, columns: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def test_what_was_written_is_read(tmp_path: Path, bundled: DetectorFile) -> None:
    contract = replace(bundled.contract, threshold=0.25, data={"weights": {"n": 1}}, scale=((0.5,) * 16,) * 3)
    write_detector(tmp_path / "copy.tflite", bundled.flatbuffer, contract, bundled.golden)

    copy = read_detector(tmp_path / "copy.tflite")

    assert copy.contract == contract
    assert copy.flatbuffer == bundled.flatbuffer
    for name in ("frames", "pixels", "faces"):
        np.testing.assert_array_equal(getattr(copy.golden, name), getattr(bundled.golden, name), strict=True)
    for here, there in zip(copy.golden.maps, bundled.golden.maps, strict=True):
        np.testing.assert_array_equal(here, there, strict=True)


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
def test_the_bundled_detectors_are_one_network_in_two_forms(recipe: str, bundled: DetectorFile) -> None:
    contract = read_detector(BUNDLED_DETECTORS[recipe]).contract

    assert (contract.width, contract.height, contract.recipe) == (320, 256, recipe)
    assert replace(contract, recipe="int8") == bundled.contract
    assert 0 < contract.threshold < 1


def test_the_maps_are_an_eighth_a_sixteenth_and_a_thirty_second_of_the_input(bundled: DetectorFile) -> None:
    assert map_shapes(320, 256) == [(32, 40, 16), (16, 20, 16), (8, 10, 16)]
    assert [one.shape[1:] for one in bundled.golden.maps] == map_shapes(160, 160)


def test_scale_and_offset_are_arrays_of_three_maps(bundled: DetectorFile) -> None:
    for values, stated in zip(
        bundled.contract.scale_and_offset, (bundled.contract.scale, bundled.contract.offset), strict=True
    ):
        assert (values.shape, values.dtype) == ((3, 16), np.float32)
        np.testing.assert_allclose(values, stated, rtol=1e-6)


def test_the_task_decides_what_a_file_is_read_as(tiny: Path) -> None:
    assert isinstance(read_any(INT8), DetectorFile)
    assert isinstance(read_any(tiny), ModelFile)


def test_an_expression_model_is_no_detector(tiny: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.tflite: an expression model, not a face detector; type: --model /"):
        read_detector(tiny)


def test_a_detector_is_no_expression_model() -> None:
    with pytest.raises(
        ModelError, match=r"yunet_int8\.tflite: a face detector, not an expression model; type: --detector-model /"
    ):
        read_model(INT8)


OTHER = r"^\S+a\.tflite: a face detector of another fer-edge version; remove --detector-model to use the bundled one$"


def test_a_detector_as_fer_edge_trained_them_before_yunet_is_refused(tmp_path: Path) -> None:
    """Its contract named a stride and a multiple, and its golden vectors were heat and geometry."""
    packed = read_packed(INT8)
    fields = ("format", "version", "flatbuffer", "width", "height", "recipe", "threshold", "data", "made_with")
    document = {name: packed.document[name] for name in fields}
    document |= {"stride": 8, "multiple": 32, "metrics": {}, "network": {"name": "face"}}
    maps = {"heat": np.zeros((1, 32, 40, 1), np.float32), "geometry": np.zeros((1, 32, 40, 8), np.float32)}
    golden = {"frames": packed.golden["frames"], "boxes": np.zeros((0, 4), np.float32), **maps}
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", document, golden)

    for read in (read_detector, read_any):
        with pytest.raises(ModelError, match=OTHER):
            read(tmp_path / "a.tflite")


@pytest.mark.parametrize("decoding", ["yunet2", "", 7, ["yunet"]], ids=str)
def test_a_detector_whose_maps_are_read_otherwise_is_refused(tmp_path: Path, decoding: Any) -> None:
    with pytest.raises(ModelError, match=OTHER):
        read_detector(changed(tmp_path / "a.tflite", decoding=decoding))


@pytest.mark.parametrize("name", ["width", "height"])
@pytest.mark.parametrize("side", [300, 321, 272])
def test_sides_that_are_no_multiples_of_32_are_refused(tmp_path: Path, name: str, side: int) -> None:
    with pytest.raises(ModelError, match=rf"damaged \({name} {side} is not a multiple of 32\)"):
        read_detector(changed(tmp_path / "a.tflite", **{name: side}))


@pytest.mark.parametrize("side", [0, -256, 32, 8224, 1e9, True, "wide", 320.0])
def test_sides_of_no_input_are_refused(tmp_path: Path, side: Any) -> None:
    with pytest.raises(ModelError, match=r"damaged \(height is .*, not an integer from 64 to 8192\)"):
        read_detector(changed(tmp_path / "a.tflite", height=side))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("scale", value) for value in (0, -1.0, 1e-5, 1e5, 10**400)),
        *(("offset", value) for value in (1e5, -1e5)),
        *((name, value) for name in ("scale", "offset") for value in ("1", None, True, [1.0], {})),
        *((name, float(value)) for name in ("scale", "offset") for value in ("nan", "inf", "-inf")),
    ],
)
def test_a_channel_that_is_scaled_or_moved_by_no_such_number_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    """JSON has no NaN and no infinity; Python writes and would read them."""
    rows = [[1.0] * 16 for _ in range(3)]
    rows[1][7] = value
    why = rf"({name} of channel 7 is .*, not a number from|(NaN|-?Infinity) is not finite\))"

    with pytest.raises(ModelError, match=rf"a\.tflite: its contract is damaged \({why}"):
        read_detector(changed(tmp_path / "a.tflite", **{name: rows}))


@pytest.mark.parametrize("name", ["scale", "offset"])
@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (None, "one list for each of 3 maps"),
        ("1", "one list for each of 3 maps"),
        ({}, "one list for each of 3 maps"),
        ([[1.0] * 16] * 2, "one list for each of 3 maps"),
        ([[1.0] * 16] * 4, "one list for each of 3 maps"),
        ([1.0] * 16, "one list for each of 3 maps"),
        ([1.0] * 3, "one number for each of 16 channels"),
        ([[1.0] * 16] * 2 + [[1.0] * 15], "one number for each of 16 channels"),
        ([[1.0] * 17] * 3, "one number for each of 16 channels"),
        (["1" * 16] * 3, "one number for each of 16 channels"),
        ([{}] * 3, "one number for each of 16 channels"),
    ],
    ids=["nothing", "text", "object", "2", "4", "flat", "numbers", "15", "17", "texts", "objects"],
)
def test_too_few_and_too_many_scales_and_offsets_are_refused(tmp_path: Path, name: str, rows: Any, why: str) -> None:
    with pytest.raises(ModelError, match=rf"a\.tflite: its contract is damaged \({name} is not {why}\)"):
        read_detector(changed(tmp_path / "a.tflite", **{name: rows}))


@pytest.mark.parametrize(
    "fields",
    [
        {"width": None},
        {"height": None},
        {"threshold": []},
        {"threshold": 1.01},
        {"threshold": -0.01},
        {"recipe": None},
        {"network": 5},
        {"data": []},
        {"made_with": "x"},
    ],
    ids=str,
)
def test_a_damaged_contract_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"a\.tflite: its contract is damaged .*; copy it again, or make one"):
        read_detector(changed(tmp_path / "a.tflite", **fields))


@pytest.mark.parametrize("name", ["frames", "pixels", "map8", "map16", "map32", "faces"])
def test_a_detector_without_one_of_its_golden_vectors_is_refused(tmp_path: Path, name: str) -> None:
    packed = read_packed(INT8)
    golden = {other: array for other, array in packed.golden.items() if other != name}
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", packed.document, golden)

    with pytest.raises(ModelError, match=rf"its contract is damaged \(golden\.npz has no {name}\)"):
        read_detector(tmp_path / "a.tflite")


@pytest.mark.parametrize("frames", [np.uint8(0), np.zeros((9, 9), np.uint8)], ids=np.shape)
def test_golden_frames_that_are_no_frames_are_refused(tmp_path: Path, frames: Any) -> None:
    packed = read_packed(INT8)
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", packed.document, packed.golden | {"frames": frames})

    with pytest.raises(ModelError, match="its contract is damaged"):
        read_detector(tmp_path / "a.tflite")


def test_a_detector_cut_short_is_refused(tmp_path: Path) -> None:
    content = INT8.read_bytes()
    (tmp_path / "a.tflite").write_bytes(content[: len(content) // 2])

    with pytest.raises(ModelError, match="truncated"):
        read_detector(tmp_path / "a.tflite")


@pytest.mark.parametrize("fields", [{"width": 640, "height": 480}, {"width": 256}], ids=str)
def test_a_contract_of_another_network_is_refused(tmp_path: Path, fields: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"tensor shapes are .*\(1, 256, 320, 3\).*, its contract says"):
        YuNet(changed(tmp_path / "a.tflite", **fields))


def test_the_network_of_an_expression_model_finds_no_faces(tiny: Path, bundled: DetectorFile) -> None:
    with pytest.raises(ModelError, match=r"tensor shapes are \[\(1, 32, 32, 1\), \(1, 8\)\], its contract says"):
        YuNet(replace(bundled, flatbuffer=read_model(tiny).flatbuffer))


@pytest.mark.parametrize("recipe", BUNDLED_DETECTORS)
@pytest.mark.parametrize("broken", [b"", b"\0" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 500, 0.1, 0.5, 0.98], ids=repr)
def test_a_broken_network_is_refused(recipe: str, broken: bytes | float) -> None:
    """One that is cut short is told by the share that is left of it."""
    whole = read_detector(BUNDLED_DETECTORS[recipe])
    content = whole.flatbuffer[: int(broken * len(whole.flatbuffer))] if isinstance(broken, float) else broken

    with pytest.raises(ModelError, match=rf"yunet_{recipe}\.tflite: .* cannot run it"):
        YuNet(replace(whole, flatbuffer=content))


CASES = pytest.mark.parametrize(
    ("frame_wh", "used_wh", "input_wh", "back_xy"),
    [
        ((640, 480), (320, 240), (320, 256), (2, 2)),
        ((640, 360), (320, 180), (320, 192), (2, 2)),
        ((480, 640), (240, 320), (256, 320), (2, 2)),
        ((320, 256), (320, 256), (320, 256), (1, 1)),
        ((200, 150), (320, 240), (320, 256), (0.625, 0.625)),
        ((150, 100), (300, 200), (320, 224), (0.5, 0.5)),
        ((1000, 301), (320, 96), (320, 96), (3.125, 301 / 96)),
        ((20, 10), (40, 20), (64, 64), (0.5, 0.5)),
        ((1, 1), (2, 2), (64, 64), (0.5, 0.5)),
        ((3000, 1), (320, 1), (320, 64), (9.375, 1)),
        ((1, 3000), (1, 320), (64, 320), (1, 9.375)),
    ],
    ids=["vga", "wide", "portrait", "exact", "enlarged", "twice", "strip", "tiny", "one pixel", "row", "column"],
)
Wh = tuple[int, int]


@CASES
def test_a_frame_is_scaled_to_fit_at_the_top_left_of_the_smallest_input_that_holds_it(
    frame_wh: Wh, used_wh: Wh, input_wh: Wh, back_xy: tuple[float, float]
) -> None:
    frame = np.full((frame_wh[1], frame_wh[0], 3), (200, 100, 50), np.uint8)

    pixels, back = fitted(frame, 320)

    expected = np.zeros((input_wh[1], input_wh[0], 3), np.uint8)
    expected[: used_wh[1], : used_wh[0]] = (200, 100, 50)
    np.testing.assert_array_equal(pixels, expected, strict=True)
    assert back == pytest.approx(back_xy)


def rubbish(input_wh: Wh) -> Pixels:
    return np.random.default_rng(1).integers(1, 256, (input_wh[1], input_wh[0], 3), np.uint8)


@CASES
@pytest.mark.parametrize("canvas", [rubbish, lambda wh: np.zeros((wh[1], wh[0], 3), np.uint8)], ids=["rubbish", "0"])
def test_a_canvas_is_written_over_and_holds_what_a_fresh_one_would(
    frame_wh: Wh, used_wh: Wh, input_wh: Wh, back_xy: tuple[float, float], canvas: Callable[[Wh], Pixels]
) -> None:
    frame, given = noise(frame_wh[1], frame_wh[0]), canvas(input_wh)
    before = frame.copy()

    pixels, back = fitted(frame, 320, given)

    fresh, fresh_back = fitted(frame, 320)
    assert pixels is given
    np.testing.assert_array_equal(pixels, fresh, strict=True)
    np.testing.assert_array_equal(frame, before)
    assert back == fresh_back
    assert pixels[: used_wh[1], : used_wh[0]].any()
    assert back == pytest.approx(back_xy)


def test_a_canvas_of_another_size_is_left_alone() -> None:
    frame, given = noise(480, 640), rubbish((256, 320))
    before = given.copy()

    pixels, _ = fitted(frame, 320, given)

    np.testing.assert_array_equal(pixels, fitted(frame, 320)[0], strict=True)
    np.testing.assert_array_equal(given, before)


def test_a_frame_of_the_inputs_size_goes_in_as_it_is() -> None:
    frame = noise(256, 320)

    pixels, _ = fitted(frame, 320)

    np.testing.assert_array_equal(pixels, frame)
    assert pixels is not frame


@pytest.mark.parametrize("side", [192, 320, 640])
def test_the_longer_side_becomes_what_is_asked_for(side: int) -> None:
    frame, _ = draw_face("neutral", seed=1, size=700)

    pixels, back_xy = fitted(frame[:500], side)

    assert pixels.shape == (-(-side * 5 // 7 // 32) * 32, side, 3)
    assert back_xy == pytest.approx((700 / side, 700 / side), rel=0.01)


def test_each_pixel_of_the_input_is_the_mean_of_those_it_stands_for() -> None:
    frame = np.zeros((1024, 1280, 3), np.uint8)
    frame[::4] = 240

    pixels, _ = fitted(frame, 320)

    assert (pixels == 60).all()


@pytest.mark.parametrize("view", [lambda frame: frame[:, ::-1], lambda frame: frame[::2, ::2]], ids=["mirror", "half"])
def test_a_view_of_a_frame_is_as_good_as_a_copy(view: Callable[[Pixels], Pixels]) -> None:
    frame = noise(480, 640)

    np.testing.assert_array_equal(fitted(view(frame), 320)[0], fitted(view(frame).copy(), 320)[0])


@pytest.mark.parametrize("frame_wh", [(640, 480), (480, 640), (1000, 301), (120, 90)])
def test_a_place_in_the_input_leads_back_to_the_frame(frame_wh: tuple[int, int]) -> None:
    width, height = frame_wh
    frame = np.zeros((height, width, 3), np.uint8)
    x, y = width // 2, height // 3
    frame[y : y + height // 10, x : x + width // 10] = 255

    pixels, back_xy = fitted(frame, 320)

    rows, columns = np.nonzero(pixels[..., 0] > 127)
    found = [columns.min() * back_xy[0], rows.min() * back_xy[1]]
    np.testing.assert_allclose(found, [x, y], atol=max(back_xy))
