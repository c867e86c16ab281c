from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, YuNet
from fer_edge.detection.detector_contract import DetectorFile, read_detector
from fer_edge.errors import ModelError
from fer_edge.imaging.boxes import Floats
from fer_edge.inspection.detector_selftest import FACE_TOLERANCE, GOLDEN_SCORE, GOLDEN_SIDE, make_golden, selftest
from fer_edge.inspection.models import repeat_golden
from fer_edge.inspection.selftest import as_json, check


@pytest.fixture(scope="module", params=BUNDLED_DETECTORS)
def model(request: pytest.FixtureRequest) -> DetectorFile:
    return read_detector(BUNDLED_DETECTORS[request.param])


@pytest.fixture(scope="module")
def int8() -> DetectorFile:
    return read_detector(BUNDLED_DETECTORS["int8"])


def with_golden(model: DetectorFile, **vectors: Any) -> DetectorFile:
    return replace(model, golden=replace(model.golden, **vectors))


def with_map(model: DetectorFile, number: int, values: Floats) -> DetectorFile:
    maps = list(model.golden.maps)
    maps[number] = values
    return with_golden(model, maps=tuple(maps))


def failed(model: DetectorFile) -> list[str]:
    return [stage.name for stage in selftest(model) if not stage.passed]


def off(model: DetectorFile, number: int, steps: float) -> DetectorFile:
    """Change the ways to a face by some steps in the cell of a map where there is most surely none."""
    values = model.golden.maps[number].copy()
    cell = np.unravel_index(values[..., :2].sum(axis=-1).argmin(), values.shape[:3])
    values[cell][2:] += np.float32(steps * YuNet(model).engine(GOLDEN_SIDE, GOLDEN_SIDE).steps[number])
    return with_map(model, number, values)


def test_the_bundled_detectors_pass_here(model: DetectorFile) -> None:
    stages = repeat_golden(model)

    assert [(stage.name, stage.passed) for stage in stages] == [
        ("fit", True),
        ("network", True),
        ("fast kernels", True),
        ("faces", True),
    ]
    check(model, stages)


def test_there_are_faces_to_compare_each_with_its_landmarks(model: DetectorFile) -> None:
    faces = model.golden.faces
    boxes, landmarks = faces[:, 1:5], faces[:, 5:].reshape(-1, 5, 2)

    assert len(faces) == 4
    assert faces[:, 0].tolist() == [0] * 4
    assert ((landmarks > boxes[:, None, :2]) & (landmarks < boxes[:, None, :2] + boxes[:, None, 2:])).all()


def test_a_frame_that_is_fitted_otherwise_is_named(int8: DetectorFile) -> None:
    assert failed(with_golden(int8, frames=255 - int8.golden.frames)) == ["fit"]


@pytest.mark.parametrize(("levels", "named"), [(1, False), (2, True)])
def test_an_input_two_levels_off_is_named(int8: DetectorFile, levels: int, named: bool) -> None:
    pixels = int8.golden.pixels.copy()
    pixels[0, 5, 5, 1] ^= levels

    assert ("fit" in failed(with_golden(int8, pixels=pixels))) is named


@pytest.mark.parametrize("number", range(3))
def test_a_map_far_off_is_named(model: DetectorFile, number: int) -> None:
    named = failed(with_map(model, number, model.golden.maps[number] + 100))

    assert named[:2] == ["network", "fast kernels"]


@pytest.mark.parametrize("number", range(3))
def test_a_value_two_steps_off_is_one_of_the_network(model: DetectorFile, number: int) -> None:
    assert failed(off(model, number, steps=2)) == ["network"]


@pytest.mark.parametrize("number", range(3))
def test_the_fast_kernels_may_be_further_off_but_not_by_forty_steps(model: DetectorFile, number: int) -> None:
    assert failed(off(model, number, steps=40)) == ["network", "fast kernels"]


@pytest.mark.usefixtures("without_elu")
def test_without_reference_kernels_a_detector_may_be_as_far_off_as_fast_kernels(model: DetectorFile) -> None:
    stages = {stage.name: stage for stage in selftest(model)}

    assert stages["network"].passed
    assert stages["network"].allowed == stages["fast kernels"].allowed


@pytest.mark.parametrize("column", [0, 1, 4, 5, 14])
def test_a_face_that_is_read_from_the_maps_otherwise_is_named(int8: DetectorFile, column: int) -> None:
    faces = int8.golden.faces.copy()
    faces[-1, column] += 2 * FACE_TOLERANCE

    assert failed(with_golden(int8, faces=faces)) == ["faces"]


def test_a_face_too_few_is_named_and_fit_for_json(int8: DetectorFile) -> None:
    other = with_golden(int8, faces=int8.golden.faces[:-1])
    stages = selftest(other)

    assert [stage.passed for stage in stages] == [True, True, True, False]
    assert as_json(other, stages)["stages"][3]["worst"] is None
    with pytest.raises(ModelError, match=r"yunet_int8\.tflite: differs from the reference output: faces;"):
        check(other, stages)


@pytest.mark.parametrize(
    "vectors",
    [
        {"frames": np.zeros((0, 9, 9, 3), np.uint8)},
        {
            "frames": np.zeros((257, 1, 1, 3), np.uint8),
            "pixels": np.zeros((257, 64, 64, 3), np.uint8),
            "maps": tuple(np.zeros((257, side, side, 16), np.float32) for side in (8, 4, 2)),
        },
        {"pixels": np.zeros((2, 160, 160, 3), np.uint8)},
        {"pixels": np.zeros((1, 9, 9, 3), np.uint8)},
        {"pixels": np.zeros((1, 160, 160, 1), np.uint8)},
        {"maps": tuple(np.zeros((1, side, side, 16), np.float32) for side in (20, 10, 4))},
        {"maps": tuple(np.zeros((2, side, side, 16), np.float32) for side in (20, 10, 5))},
        {"maps": tuple(np.zeros((1, side, side, 15), np.float32) for side in (20, 10, 5))},
        {"faces": np.zeros((3, 14), np.float32)},
    ],
    ids=[
        "none",
        "too many",
        "two inputs",
        "small input",
        "grey",
        "small maps",
        "two maps",
        "15 channels",
        "14 columns",
    ],
)
def test_golden_vectors_that_do_not_fit_are_refused(int8: DetectorFile, vectors: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"its golden vectors do not fit the model; copy the file again"):
        selftest(with_golden(int8, **vectors))


def test_golden_vectors_are_the_same_each_time_and_pass(model: DetectorFile) -> None:
    first, second = make_golden(model), make_golden(model)

    for name in ("frames", "pixels", "faces"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), strict=True)
    for here, there in zip(first.maps, second.maps, strict=True):
        np.testing.assert_array_equal(here, there, strict=True)
    assert failed(replace(model, golden=first)) == []


def test_golden_faces_are_read_at_a_score_of_their_own_whatever_the_models_threshold(int8: DetectorFile) -> None:
    blind = replace(int8, contract=replace(int8.contract, threshold=1.0))

    assert int8.contract.threshold > GOLDEN_SCORE
    np.testing.assert_array_equal(make_golden(blind).faces, make_golden(int8).faces)
    assert failed(blind) == []


def test_a_broken_network_is_refused(int8: DetectorFile) -> None:
    with pytest.raises(ModelError, match="cannot run it"):
        selftest(replace(int8, flatbuffer=int8.flatbuffer[:1000]))
