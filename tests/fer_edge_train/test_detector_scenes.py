"""Training pictures of the face detector: the marks stay on the faces, whatever is done to the photo."""

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest
from tiny_photos import photo

from fer_edge.centre_points import overlaps
from fer_edge.photoset import Photo
from fer_edge_train.detector.scenes import Scene, SceneSettings, make_scene

PLAIN = SceneSettings(mosaic=0, crops=0, dark=0, backlight=0, blur=0, noise=0, jpeg=0, occlusion=0)
"""Moved, turned, mirrored and scaled, but clearly lit."""
UNMOVED = replace(PLAIN, zoom=1.0, aimed=0.0, rotation=0.0)
"""A photo of the picture's own size stays so, but may lie partly outside."""


def face() -> Photo:
    """A white ellipse on black; its right eye is black, its left one grey."""
    pixels = np.zeros((150, 200), np.uint8)
    cv2.ellipse(pixels, (90, 80), (30, 40), 0, 0, 360, 255, -1)
    cv2.circle(pixels, (78, 70), 5, 0, -1)
    cv2.circle(pixels, (102, 70), 5, 130, -1)
    return photo(pixels, [(60, 40, 60, 80)], [(78, 70, 102, 70)])


def nobody() -> Photo:
    return photo(np.full((150, 200), 90, np.uint8), [])


def scenes(settings: SceneSettings, photos: list[Photo], n: int = 200) -> Iterator[Scene]:
    for number in range(n):
        yield make_scene(photos, None, 96, 128, settings, np.random.default_rng(number))


def bright(scene: Scene) -> tuple[int, int, int, int]:
    """First and last corner of what is bright about the middle of a scene's face."""
    x, y, w, h = scene.boxes[0]
    height, width = scene.pixels.shape
    whole = cv2.morphologyEx(np.uint8(scene.pixels > 60) * np.uint8(1), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(np.asarray(whole, np.uint8))
    column, row = (int(np.clip(v, 0, side - 1)) for v, side in ((x + w / 2, width), (y + h * 0.65, height)))
    rows, columns = np.nonzero(parts == parts[row, column])
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("rotation", [0.0, 20.0])
def test_the_box_stays_on_the_face(rotation: float) -> None:
    checked = 0
    for scene in scenes(replace(PLAIN, rotation=rotation, aimed=0.5), [face()]):
        if not scene.counts.sum():
            continue
        x, y, w, h = scene.boxes[0]
        corners = np.array([x, y, x + w, y + h]).clip(0, (128, 96, 128, 96))
        np.testing.assert_allclose(bright(scene), corners, atol=1.5 + 0.04 * max(w, h))
        checked += 1
    assert checked > 100


def seen_at(scene: Scene, x: float, y: float) -> float:
    return float(scene.pixels[round(float(y)), round(float(x))])


def test_right_and_left_eye_change_places_in_a_mirrored_photo() -> None:
    dark_on_the_left = []
    for scene in scenes(UNMOVED, [face()]):
        right, left = scene.eyes[0, :2], scene.eyes[0, 2:]
        if not all(6 < x < 122 and 6 < y < 90 for x, y in (right, left)) or scene.boxes[0, 2] < 30:
            continue
        first, second = seen_at(scene, *right), seen_at(scene, *left)
        x, y, w, h = scene.boxes[0]
        cheek = seen_at(scene, x + w / 2, min(y + 0.55 * h, 95))
        assert right[0] < left[0]  # the person's own right eye is on our left
        assert max(first, second) < cheek - 40  # both marks lie on eyes
        dark_on_the_left.append(first < second)
    assert 20 < sum(dark_on_the_left) < len(dark_on_the_left) - 20


def test_a_face_of_which_less_than_half_is_seen_does_not_count() -> None:
    pixels = np.zeros((96, 128), np.uint8)
    counted = []
    for scene in scenes(UNMOVED, [photo(pixels, [(0, 0, 40, 50)])], 600):
        for box, counts in zip(scene.boxes, scene.counts, strict=True):
            first, last = box[:2].clip(0), (box[:2] + box[2:]).clip(0, (128, 96))
            share = (last - first).prod() / (40 * 50)
            assert counts == (share >= 0.5)
            assert counts or (first == box[:2]).all()  # what does not count is cut off at the picture's edge
            counted.append((float(counts), share < 0.99))
    assert {(0.0, True), (1.0, True), (1.0, False)} <= set(counted)


def test_a_face_outside_of_the_picture_leaves_no_mark() -> None:
    for scene in scenes(replace(PLAIN, zoom=3.0), [face()]):
        first, last = scene.boxes[:, :2].clip(0), (scene.boxes[:, :2] + scene.boxes[:, 2:]).clip(0, (128, 96))
        assert (last > first).all()


def test_a_doubtful_mark_never_counts() -> None:
    doubtful = replace(face(), sure=np.zeros(1, bool))
    counts = np.concatenate([scene.counts for scene in scenes(PLAIN, [doubtful], 60)])

    assert len(counts) > 20
    assert not counts.any()


def test_the_same_dice_make_the_same_scene_and_others_another() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 48, 48)).astype(np.uint8)
    all_changes = SceneSettings(
        mosaic=0.5, crops=0.5, dark=0.5, backlight=0.5, blur=0.5, noise=0.5, jpeg=0.5, occlusion=0.5
    )
    for seed in range(20):
        a, b, c = (
            make_scene([face(), nobody()], crops, 96, 128, all_changes, np.random.default_rng(dice))
            for dice in (seed, seed, seed + 1000)
        )
        for one, other in zip(a, b, strict=True):
            np.testing.assert_array_equal(one, other)
        assert not np.array_equal(a.pixels, c.pixels)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_a_photo_without_faces_makes_a_picture_without_faces(mosaic: float) -> None:
    for scene in scenes(replace(PLAIN, mosaic=mosaic), [nobody()], 20):
        assert scene.pixels.shape == (96, 128)
        assert scene.pixels.dtype == np.uint8
        assert scene.boxes.shape == scene.eyes.shape == (0, 4)
        assert scene.counts.shape == (0,)


def test_a_mosaic_keeps_the_faces_of_its_four_photos_where_they_are_seen() -> None:
    found = []
    for scene in scenes(replace(PLAIN, mosaic=1.0, rotation=0.0), [face()], 60):
        found.append(len(scene.boxes))
        for (x, y, w, h), counts in zip(scene.boxes, scene.counts, strict=True):
            if counts and min(w, h) > 8:  # more than half of it is in its own quarter, so its centre is
                assert scene.pixels[int(y + h / 2), int(x + w / 2)] > 100
    assert max(found) == 4


@pytest.mark.parametrize(("height", "width"), [(96, 128), (128, 96), (64, 200)])
def test_ready_crops_never_cover_a_marked_face(height: int, width: int) -> None:
    pixels = np.zeros((height, width), np.uint8)
    pixels[30:60, 40:70] = 255
    crops = np.full((2, 48, 48), 60, np.uint8)
    laid = 0
    settings = replace(UNMOVED, crops=1.0)
    for number in range(200):
        rng = np.random.default_rng(number)
        scene = make_scene([photo(pixels, [(40, 30, 30, 30)])], crops, height, width, settings, rng)
        ours = scene.boxes[:1] if len(scene.boxes) and abs(scene.boxes[0, 2:] - 30).max() < 0.1 else scene.boxes[:0]
        for x, y, w, h in ours:
            inside = scene.pixels[max(int(y + 2), 0) : int(y + h - 2), max(int(x + 2), 0) : int(x + w - 2)]
            assert inside.min(initial=255) > 130
        others = scene.boxes[len(ours) :][scene.counts[len(ours) :] > 0]
        assert overlaps(others, ours).max(initial=0) < 0.01  # a crop's box reaches a little over the crop
        for x, y, w, h in others:
            if x >= 0 and x + w <= width and w < 0.9 * h:  # a crop's, not the photo's
                assert scene.pixels[int(y + h / 2), int(x + w / 2)] < 130
                laid += 1
    assert laid > 100


def test_crops_are_laid_with_box_and_eyes_where_a_ready_crop_has_them() -> None:
    crop = np.full((48, 48), 250, np.uint8)
    settings = replace(UNMOVED, crops=1.0)
    for number in range(30):
        rng = np.random.default_rng(number)
        scene = make_scene([photo(np.zeros((96, 128)), [])], crop[None], 96, 128, settings, rng)
        for (x, y, w, h), eyes, counts in zip(scene.boxes, scene.eyes, scene.counts, strict=True):
            assert counts == 1
            assert h / w == pytest.approx(1.05 / 0.78)
            assert x < eyes[0] < eyes[2] < x + w
            assert eyes[1] == eyes[3] == pytest.approx(y + 0.425 / 1.05 * h)


def test_a_scene_survives_every_change_at_once() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 48, 48)).astype(np.uint8)
    everything = SceneSettings(
        mosaic=0.5, crops=1, dark=1, backlight=1, blur=1, noise=1, jpeg=1, occlusion=1, aimed=1, zoom=4, rotation=60
    )
    for number in range(60):
        scene = make_scene([face(), nobody()], crops, 64, 96, everything, np.random.default_rng(number))
        assert scene.pixels.shape == (64, 96)
        assert np.isfinite(scene.boxes).all()
        assert (scene.boxes[:, 2:] > 0).all()


def test_poor_light_is_darker() -> None:
    def mean(settings: SceneSettings) -> float:
        return float(np.mean([scene.pixels.mean() for scene in scenes(settings, [nobody()], 40)]))

    assert mean(replace(UNMOVED, dark=1.0)) < 0.6 * mean(UNMOVED)


def test_something_in_the_way_changes_faces_and_nothing_else() -> None:
    changed = 0
    for number in range(60):
        plain, hidden = (
            make_scene([face()], None, 96, 128, settings, np.random.default_rng(number))
            for settings in (UNMOVED, replace(UNMOVED, occlusion=1.0))
        )
        np.testing.assert_array_equal(plain.boxes, hidden.boxes)
        changed += not np.array_equal(plain.pixels > 60, hidden.pixels > 60)
    assert changed > 15
