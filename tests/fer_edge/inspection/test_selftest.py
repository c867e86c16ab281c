from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fer_edge.errors import ModelError
from fer_edge.inspection.selftest import check, make_golden, selftest
from fer_edge.model.contract import Golden, read_model
from fer_edge.model.interpreter import Network


@pytest.mark.parametrize("name", ["tiny.tflite", "tiny_float32.tflite"])
def test_the_model_passes_here(tiny: Path, name: str) -> None:
    stages = selftest(read_model(tiny.with_name(name)))

    assert [(stage.name, stage.passed) for stage in stages] == [
        ("crop", True),
        ("network", True),
        ("fast kernels", True),
    ]


def test_a_crop_two_grey_levels_off_is_named(tiny: Path) -> None:
    model = read_model(tiny)
    pixels = model.golden.pixels.copy()
    pixels[3, 5, 5] ^= 2

    stages = selftest(replace(model, golden=replace(model.golden, pixels=pixels)))

    assert not stages[0].passed
    with pytest.raises(ModelError, match="reference output: crop;"):
        check(model, stages[:1])


def test_a_logit_two_steps_off_is_named(tiny: Path) -> None:
    model = read_model(tiny)
    logits = model.golden.logits.copy()
    logits[0, 0] += 2 * Network(model).step

    stages = selftest(replace(model, golden=replace(model.golden, logits=logits)))

    assert [stage.passed for stage in stages] == [True, False, True]
    with pytest.raises(ModelError, match=r"tiny\.tflite: differs from the reference output: network;"):
        check(model, stages)


@pytest.mark.parametrize(("recipe", "passed"), [("dynamic", True), ("float32", False)])
def test_a_dynamic_model_may_be_further_off_than_a_float_one(tiny: Path, recipe: str, passed: bool) -> None:
    model = read_model(tiny.with_name("tiny_float32.tflite"))
    golden = replace(model.golden, logits=model.golden.logits + np.float32(0.03))

    _, network, fast = selftest(replace(model, contract=replace(model.contract, recipe=recipe), golden=golden))

    assert (network.passed, fast.passed) == (passed, passed)


@pytest.mark.usefixtures("without_elu")
def test_without_reference_kernels_a_network_may_be_as_far_off_as_fast_kernels(tiny: Path) -> None:
    _, network, fast = selftest(read_model(tiny))

    assert network.passed
    assert network.allowed == fast.allowed


def test_fast_kernels_too_far_away_are_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_edge.inspection.selftest.FAST_STEPS", -1)
    model = read_model(tiny)

    stages = selftest(model)

    assert [stage.passed for stage in stages] == [True, True, False]
    with pytest.raises(ModelError, match=r"tiny\.tflite: differs from the reference output: fast kernels;"):
        check(model, stages)


def test_more_golden_frames_than_anyone_writes_are_refused(tiny: Path) -> None:
    model = read_model(tiny)
    golden = Golden(*(np.repeat(values, 17, axis=0) for values in vars(model.golden).values()))

    with pytest.raises(ModelError, match="golden vectors do not fit"):
        selftest(replace(model, golden=golden))


def test_golden_vectors_are_the_same_each_time(tiny: Path) -> None:
    first, second = make_golden(read_model(tiny)), make_golden(read_model(tiny))

    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.logits, second.logits)


def test_golden_vectors_that_do_not_fit_are_refused(tiny: Path) -> None:
    model = read_model(tiny)

    with pytest.raises(ModelError, match="golden vectors do not fit"):
        selftest(replace(model, golden=replace(model.golden, boxes=np.zeros((3, 4), np.float32))))
