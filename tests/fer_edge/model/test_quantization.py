import numpy as np
import pytest

from fer_edge.model.quantization import PIXELS, Quantization, dequantize, quantize, to_unit

EVERY_BYTE = np.arange(256, dtype=np.uint8)


def test_bytes_become_zero_to_one_and_come_back_exactly() -> None:
    assert to_unit(EVERY_BYTE)[[0, 255]].tolist() == [0, 1]
    assert (quantize(to_unit(EVERY_BYTE), PIXELS, np.uint8) == EVERY_BYTE).all()


def test_pixels_are_scaled_in_place_where_a_place_is_given() -> None:
    place = np.empty(256, np.float32)
    to_unit(EVERY_BYTE, out=place)
    assert (place == EVERY_BYTE / np.float32(255)).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16])
def test_integers_survive_the_way_to_reals_and_back(dtype: type[np.integer]) -> None:
    limits, quantization = np.iinfo(dtype), Quantization(0.037, 5)
    integers = np.linspace(limits.min, limits.max, 255).astype(dtype)
    assert (quantize(dequantize(integers, quantization), quantization, dtype) == integers).all()


def test_what_lies_beyond_the_integers_is_cut_off_and_not_wrapped() -> None:
    assert quantize(np.array([-1e9, 1e9], np.float32), Quantization(0.1, 0), np.int8).tolist() == [-128, 127]
