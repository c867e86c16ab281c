from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_edge.any_model import repeat_golden
from fer_edge.detect import BUNDLED_DETECTOR, CentrePoints
from fer_edge.detector_contract import DetectorFile, read_detector
from fer_edge.detector_selftest import make_golden, selftest
from fer_edge.errors import ModelError
from fer_edge.selftest import as_json, check


@pytest.fixture(scope="module")
def model() -> DetectorFile:
    return read_detector(BUNDLED_DETECTOR)


def with_golden(model: DetectorFile, **vectors: Any) -> DetectorFile:
    return replace(model, golden=replace(model.golden, **vectors))


def failed(model: DetectorFile) -> list[str]:
    return [stage.name for stage in selftest(model) if not stage.passed]


def off(model: DetectorFile, steps: float) -> DetectorFile:
    """Change the geometry by some steps where there is surely no face."""
    geometry = model.golden.geometry.copy()
    cell = np.unravel_index(model.golden.heat.argmin(), model.golden.heat.shape)[:3]
    geometry[cell] += steps * CentrePoints(model).engine.steps[1]
    return with_golden(model, geometry=geometry)


def test_the_bundled_detector_passes_here(model: DetectorFile) -> None:
    stages = repeat_golden(model)

    assert [(stage.name, stage.passed) for stage in stages] == [
        ("fit", True),
        ("network", True),
        ("fast kernels", True),
        ("boxes", True),
    ]
    check(model, stages)


def test_there_are_faces_to_compare(model: DetectorFile) -> None:
    assert len(model.golden.boxes) > 0


def test_a_frame_that_is_fitted_otherwise_is_named(model: DetectorFile) -> None:
    assert failed(with_golden(model, frames=255 - model.golden.frames)) == ["fit"]


def test_an_input_two_grey_levels_off_is_named(model: DetectorFile) -> None:
    pixels = model.golden.pixels.copy()
    pixels[0, 5, 5] ^= 2

    assert failed(with_golden(model, pixels=pixels))[0] == "fit"


@pytest.mark.parametrize("vector", ["heat", "geometry"])
def test_a_map_far_off_is_named(model: DetectorFile, vector: str) -> None:
    named = failed(with_golden(model, **{vector: getattr(model.golden, vector) + 100}))

    assert named[:2] == ["network", "fast kernels"]


def test_a_value_two_steps_off_is_one_of_the_network(model: DetectorFile) -> None:
    named = failed(off(model, steps=2))

    assert "network" in named
    assert {"fit", "boxes"}.isdisjoint(named)


def test_the_fast_kernels_may_be_further_off_but_not_by_forty_steps(model: DetectorFile) -> None:
    assert failed(off(model, steps=40)) == ["network", "fast kernels"]


@pytest.mark.usefixtures("without_elu")
def test_without_reference_kernels_a_detector_may_be_as_far_off_as_fast_kernels(model: DetectorFile) -> None:
    stages = {stage.name: stage for stage in selftest(model)}

    assert stages["network"].passed
    assert stages["network"].allowed == stages["fast kernels"].allowed


def test_a_box_that_is_read_from_the_maps_a_pixel_off_is_named(model: DetectorFile) -> None:
    boxes = model.golden.boxes.copy()
    boxes[-1, 3] += 1

    assert failed(with_golden(model, boxes=boxes)) == ["boxes"]


def test_a_box_too_few_is_named_and_fit_for_json(model: DetectorFile) -> None:
    other = with_golden(model, boxes=model.golden.boxes[:-1])
    stages = selftest(other)

    assert [stage.passed for stage in stages] == [True, True, True, False]
    assert as_json(other, stages)["stages"][3]["worst"] is None
    with pytest.raises(ModelError, match=r"face\.tflite: not as on the workstation: boxes;"):
        check(other, stages)


@pytest.mark.parametrize(
    "vectors",
    [
        {"frames": np.zeros((0, 9, 9, 3), np.uint8)},
        {"pixels": np.zeros((2, 9, 9), np.uint8)},
        {"heat": np.zeros((2, 9, 9, 1), np.float32)},
        {"geometry": np.zeros((2, 30, 40, 7), np.float32)},
        {"boxes": np.zeros((3, 4), np.float32)},
    ],
    ids=lambda vectors: " ".join(f"{name} {np.shape(array)}" for name, array in vectors.items()),
)
def test_golden_vectors_that_do_not_fit_are_refused(model: DetectorFile, vectors: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"its golden vectors do not fit the model; export it again"):
        selftest(with_golden(model, **vectors))


def test_golden_vectors_are_the_same_each_time_and_pass(model: DetectorFile) -> None:
    first, second = make_golden(model), make_golden(model)

    for name in ("frames", "pixels", "heat", "geometry", "boxes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)
    assert failed(replace(model, golden=first)) == []


def test_a_broken_network_is_refused(model: DetectorFile) -> None:
    with pytest.raises(ModelError, match="cannot run it"):
        selftest(replace(model, flatbuffer=model.flatbuffer[:1000]))
