from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fer_edge.any_model import read_any
from fer_edge.contract import ModelFile, read_model
from fer_edge.detect import BUNDLED_DETECTOR, CentrePoints
from fer_edge.detector_contract import DetectorFile, fitted, read_detector, write_detector
from fer_edge.errors import ModelError
from fer_edge.images import to_grey
from fer_edge.model_file import read_packed, write_packed
from fer_edge.render import draw_face


@pytest.fixture(scope="module")
def bundled() -> DetectorFile:
    return read_detector(BUNDLED_DETECTOR)


def changed(path: Path, **fields: Any) -> Path:
    """Copy the bundled detector with some fields of its metadata.json changed; None takes one away."""
    packed = read_packed(BUNDLED_DETECTOR)
    document = {name: value for name, value in (packed.document | fields).items() if value is not None}
    write_packed(path, packed.flatbuffer, "faces", document, packed.golden)
    return path


def test_what_was_written_is_read(tmp_path: Path, bundled: DetectorFile) -> None:
    contract = replace(bundled.contract, threshold=0.25, metrics={"int8": {"recall": 0.9}}, data={"training": {"n": 1}})
    write_detector(tmp_path / "copy.tflite", bundled.flatbuffer, contract, bundled.golden)

    copy = read_detector(tmp_path / "copy.tflite")

    assert copy.contract == contract
    assert copy.flatbuffer == bundled.flatbuffer
    for name in ("frames", "pixels", "heat", "geometry", "boxes"):
        np.testing.assert_array_equal(getattr(copy.golden, name), getattr(bundled.golden, name), strict=True)


def test_the_bundled_detector_is_an_int8_network_for_inputs_of_many_sizes(bundled: DetectorFile) -> None:
    contract = bundled.contract

    assert (contract.width, contract.height, contract.stride, contract.recipe) == (320, 256, 8, "int8")
    assert contract.multiple == 32
    assert 0 < contract.threshold < 1


def test_the_task_decides_what_a_file_is_read_as(tiny: Path) -> None:
    assert isinstance(read_any(BUNDLED_DETECTOR), DetectorFile)
    assert isinstance(read_any(tiny), ModelFile)


def test_an_expression_model_is_no_detector(tiny: Path) -> None:
    with pytest.raises(ModelError, match=r"tiny\.tflite: names expressions and finds no faces; give it as --model /"):
        read_detector(tiny)


def test_a_detector_is_no_expression_model() -> None:
    with pytest.raises(
        ModelError, match=r"face\.tflite: finds faces and names no expressions; give it as --detector-model /"
    ):
        read_model(BUNDLED_DETECTOR)


def test_a_detector_of_another_stride_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its contract is damaged \(stride 16 instead of 8\)"):
        read_detector(changed(tmp_path / "a.tflite", stride=16))


@pytest.mark.parametrize(
    ("multiple", "why"), [(4, "multiples of 4 with a stride of 8"), (96, "320x256 are no multiples of 96")]
)
def test_a_detector_whose_sides_do_not_fit_together_is_refused(tmp_path: Path, multiple: int, why: str) -> None:
    with pytest.raises(ModelError, match=rf"damaged \({why}\)"):
        read_detector(changed(tmp_path / "a.tflite", multiple=multiple))


def test_a_detector_of_one_size_looks_at_every_frame_in_that(tmp_path: Path) -> None:
    """As files of older versions: nothing is said of other sizes."""
    packed = read_packed(BUNDLED_DETECTOR)
    document = {name: value for name, value in packed.document.items() if name != "multiple"}
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", document, packed.golden)
    detector = CentrePoints(tmp_path / "a.tflite")

    detector.detect(np.zeros((640, 360, 3), np.uint8))

    assert detector.choices == ()
    assert list(detector._engines) == [(320, 256)]


@pytest.mark.parametrize(
    "fields",
    [
        {"width": "wide"},
        {"multiple": -32},
        {"multiple": "32"},
        {"height": None},
        {"threshold": []},
        {"network": 5},
        {"metrics": None},
        {"made_with": "x"},
    ],
    ids=str,
)
def test_a_damaged_contract_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"a\.tflite: its contract is damaged .*; copy it again, or make one"):
        read_detector(changed(tmp_path / "a.tflite", **fields))


def test_a_detector_without_one_of_its_golden_vectors_is_refused(tmp_path: Path) -> None:
    packed = read_packed(BUNDLED_DETECTOR)
    golden = {name: array for name, array in packed.golden.items() if name != "heat"}
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", packed.document, golden)

    with pytest.raises(ModelError, match="its contract is damaged"):
        read_detector(tmp_path / "a.tflite")


@pytest.mark.parametrize("frames", [np.uint8(0), np.zeros((9, 9), np.uint8)], ids=np.shape)
def test_golden_frames_that_are_no_frames_are_refused(tmp_path: Path, frames: Any) -> None:
    packed = read_packed(BUNDLED_DETECTOR)
    write_packed(tmp_path / "a.tflite", packed.flatbuffer, "faces", packed.document, packed.golden | {"frames": frames})

    with pytest.raises(ModelError, match="its contract is damaged"):
        read_detector(tmp_path / "a.tflite")


def test_a_detector_cut_short_is_refused(tmp_path: Path) -> None:
    content = BUNDLED_DETECTOR.read_bytes()
    (tmp_path / "a.tflite").write_bytes(content[: len(content) // 2])

    with pytest.raises(ModelError, match="cut short"):
        read_detector(tmp_path / "a.tflite")


@pytest.mark.parametrize("fields", [{"width": 640, "height": 480}, {"width": 0}, {"height": -240}], ids=str)
def test_a_contract_of_another_network_is_refused(tmp_path: Path, fields: dict[str, int]) -> None:
    with pytest.raises(ModelError, match=r"its contract (says|is damaged)"):
        CentrePoints(changed(tmp_path / "a.tflite", **fields))


def test_the_network_of_an_expression_model_finds_no_faces(tiny: Path, bundled: DetectorFile) -> None:
    with pytest.raises(ModelError, match=r"tensors are \[\(1, 32, 32, 1\), \(1, 8\)\], its contract says"):
        CentrePoints(replace(bundled, flatbuffer=read_model(tiny).flatbuffer))


@pytest.mark.parametrize("broken", [b"", b"\0" * 100, b"\x1c\0\0\0TFL3" + b"\xff" * 500], ids=["empty", "0", "noise"])
def test_a_broken_network_is_refused(bundled: DetectorFile, broken: bytes) -> None:
    with pytest.raises(ModelError, match="cannot run it"):
        CentrePoints(replace(bundled, flatbuffer=broken))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_network_cut_short_is_refused(bundled: DetectorFile, share: float) -> None:
    short = bundled.flatbuffer[: int(share * len(bundled.flatbuffer))]

    with pytest.raises(ModelError, match="cannot run it"):
        CentrePoints(replace(bundled, flatbuffer=short))


@pytest.mark.parametrize(
    ("frame_wh", "used_wh", "back_xy"),
    [
        ((640, 480), (320, 240), (2, 2)),
        ((640, 360), (320, 180), (2, 2)),
        ((480, 640), (180, 240), (480 / 180, 640 / 240)),
        ((320, 240), (320, 240), (1, 1)),
        ((200, 150), (320, 240), (0.625, 0.625)),
        ((20, 10), (40, 20), (0.5, 0.5)),
        ((1, 1), (2, 2), (0.5, 0.5)),
        ((3000, 1), (320, 1), (9.375, 1)),
        ((1, 3000), (1, 240), (1, 12.5)),
    ],
    ids=["vga", "wide", "portrait", "exact", "enlarged", "tiny", "one pixel", "row", "column"],
)
def test_a_frame_is_scaled_to_fit_at_the_top_left(
    frame_wh: tuple[int, int], used_wh: tuple[int, int], back_xy: tuple[float, float]
) -> None:
    frame = np.full((frame_wh[1], frame_wh[0], 3), 200, np.uint8)

    pixels, back = fitted(frame, 320, 240)

    expected = np.zeros((240, 320), np.uint8)
    expected[: used_wh[1], : used_wh[0]] = 200
    np.testing.assert_array_equal(pixels, expected, strict=True)
    assert back == pytest.approx(back_xy)


def test_a_frame_of_the_inputs_size_goes_in_as_it_is() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    pixels, _ = fitted(frame, 320, 240)

    np.testing.assert_array_equal(pixels, to_grey(frame))


def test_a_grey_picture_is_taken_like_its_colour_frame() -> None:
    frame, _ = draw_face("neutral", seed=1, size=300)
    colour, grey = fitted(frame, 320, 240), fitted(to_grey(frame), 320, 240)

    np.testing.assert_array_equal(colour[0], grey[0])
    assert colour[1] == grey[1]


def test_the_picture_given_is_not_changed() -> None:
    grey = np.full((240, 320), 7, np.uint8)

    fitted(grey, 320, 240)

    assert (grey == 7).all()


@pytest.mark.parametrize("frame_wh", [(640, 480), (480, 640), (1000, 301), (120, 90)])
def test_a_place_in_the_input_leads_back_to_the_frame(frame_wh: tuple[int, int]) -> None:
    width, height = frame_wh
    frame = np.zeros((height, width), np.uint8)
    x, y = width // 2, height // 3
    frame[y : y + height // 10, x : x + width // 10] = 255

    pixels, back_xy = fitted(frame, 320, 240)

    rows, columns = np.nonzero(pixels > 127)
    found = [columns.min() * back_xy[0], rows.min() * back_xy[1]]
    np.testing.assert_allclose(found, [x, y], atol=max(back_xy))
