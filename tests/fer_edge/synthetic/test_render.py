import io
from dataclasses import astuple

import numpy as np
import pytest

from fer_edge.detection.detector import BUNDLED_DETECTORS, YuNet
from fer_edge.imaging.crop import Box, crop_face, overlap
from fer_edge.labels import EXPRESSIONS
from fer_edge.synthetic.actions import ACTIONS, Actions, blended, varied
from fer_edge.synthetic.render import clip, draw_face, golden_frames


def test_every_expression_can_be_drawn():
    assert tuple(ACTIONS) == EXPRESSIONS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_same_seed_draws_the_same_face(expression):
    first, first_box = draw_face(expression, seed=3)
    second, second_box = draw_face(expression, seed=3)
    assert np.array_equal(first, second)
    assert first_box == second_box


def test_another_seed_draws_another_face():
    assert not np.array_equal(draw_face("neutral", seed=1)[0], draw_face("neutral", seed=2)[0])


def test_expressions_of_one_person_differ_in_the_features_and_not_in_the_background():
    faces = {name: draw_face(name, seed=5, size=64)[0].astype(int) for name in EXPRESSIONS}
    for i, one in enumerate(EXPRESSIONS):
        for other in EXPRESSIONS[i + 1 :]:
            difference = np.abs(faces[one] - faces[other]).mean(axis=2)
            assert difference[16:60, 12:52].max() > 40, f"{one} looks like {other}"


@pytest.mark.parametrize("size", [48, 96, 200])
def test_a_face_is_a_square_colour_picture_of_the_size_asked_for(size):
    face, _ = draw_face("fear", seed=0, size=size)
    assert face.shape == (size, size, 3)
    assert face.dtype == np.uint8


def test_the_box_frames_the_face_as_yunet_frames_ferplus():
    boxes = np.array([draw_face("neutral", seed, 100)[1] for seed in range(40)])
    assert np.median(boxes[:, 2]) == pytest.approx(78, abs=3)
    assert np.median(boxes[:, 3]) == pytest.approx(100, abs=5)
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert np.abs(centres - 50).max() < 16


def test_an_unknown_expression_is_refused():
    with pytest.raises(KeyError):
        draw_face("tongue", seed=0)


def test_golden_frames_are_small_and_always_the_same():
    frames, boxes = golden_frames()
    assert frames.shape == (16, 64, 56, 3)
    assert boxes.shape == (16, 4)
    assert (frames.dtype, boxes.dtype) == (np.uint8, np.float32)
    assert np.array_equal(frames, golden_frames()[0])
    file = io.BytesIO()
    np.savez_compressed(file, frames=frames, boxes=boxes)
    assert len(file.getvalue()) < 60_000


def test_golden_boxes_exercise_the_border_and_both_ways_of_scaling():
    frames, boxes = golden_frames()
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 0] + boxes[:, 2] > 56) | (boxes[:, 1] + boxes[:, 3] > 64)
    assert 2 <= outside.sum() <= 14
    assert boxes[:, 3].min() < 48 < boxes[:, 3].max()
    crops = [crop_face(frame, Box(*box), 48) for frame, box in zip(frames, boxes.tolist(), strict=True)]
    assert min(crop.std() for crop in crops) > 8


def test_a_clip_shows_one_face_and_then_two_that_change():
    frames = list(clip(12, size_wh=(160, 120)))
    assert [len(faces) for _, faces in frames] == [1] * 4 + [2] * 8
    assert {frame.shape for frame, _ in frames} == {(120, 160, 3)}
    assert len({faces[0][0] for _, faces in frames}) > 4


@pytest.mark.parametrize("path", BUNDLED_DETECTORS.values(), ids=BUNDLED_DETECTORS)
def test_yunet_finds_the_drawn_faces(path):
    yunet = YuNet(path)
    found = total = 0
    for frame, faces in clip(8, size_wh=(320, 240)):
        seen = yunet.detect(frame)
        for _, box in faces:
            total += 1
            found += any(overlap(one.box, box) > 0.4 for one in seen)
    assert total == 13
    assert found >= 12


def test_blending_goes_from_one_expression_to_the_other():
    calm, glad = Actions(), Actions(corner_pull=1.0, jaw_drop=0.5)
    assert blended(calm, glad, 0.0) == calm
    assert blended(calm, glad, 1.0) == glad
    assert blended(calm, glad, 0.5) == Actions(corner_pull=0.5, jaw_drop=0.25)


def test_variation_keeps_actions_between_none_and_full():
    rng = np.random.default_rng(0)
    for actions in ACTIONS.values():
        values = np.array([astuple(varied(actions, rng)) for _ in range(50)])
        assert values.min() >= 0
        assert values.max() <= 1
