"""Eyes, brows, nose and nasolabial folds. A `side` is -1 for the half of the face on the image's left, else 1."""

import numpy as np

from fer_edge.synthetic.actions import Actions
from fer_edge.synthetic.person import Person, shade
from fer_edge.synthetic.sheet import Points, Sheet, curve, ellipse, translate


def draw_eye(sheet: Sheet, person: Person, actions: Actions, side: int) -> None:
    """Draw one eye: white, iris, highlight, lids, lashes, and the surrounding skin."""
    x, half = person.eye_distance, person.eye_width
    squint = 0.5 * actions.lid_tighten + 0.35 * actions.cheek_raise + 0.3 * actions.nose_wrinkle
    droop = 0.03 * actions.corner_drop * actions.inner_brow_raise  # the outer lid droops in sadness
    lift = 0.02 * actions.inner_brow_raise
    up = max(0.018, 0.088 * (1 + 0.75 * actions.upper_lid_raise - 0.55 * squint) - droop)
    down = max(0.012, 0.052 * (1 + 0.35 * actions.upper_lid_raise - 0.9 * squint))
    inner, outer = (x - half, 0.015 - lift), (x + half, -0.01 + 1.2 * droop)
    lid = [(x - 0.5 * half, -0.75 * up - lift), (x + 0.1 * half, -up), (x + 0.65 * half, -0.62 * up + droop)]
    upper = _on(side, curve(inner, *lid, outer))
    lower = _on(side, curve(outer, (x + 0.35 * half, down), (x - 0.4 * half, down * 0.9), inner))
    eye = np.concatenate([upper, lower])
    sheet.fill(eye, (226, 232, 236))
    sheet.fill(ellipse(side * x, -0.018, 0.074, 0.074), person.iris, within=eye)
    sheet.fill(ellipse(side * x, -0.018, 0.036, 0.036), (14, 12, 14), within=eye)
    glint = 0.025 if person.light > 0 else -0.025
    sheet.fill(ellipse(side * x + glint, -0.046, 0.016, 0.016), (250, 250, 250), within=eye)
    sheet.stroke(upper, shade(person.hair, 0.45), (0.02, 0.034, 0.03, 0.016))
    sheet.stroke(lower, shade(person.skin, 0.5), 0.012, opacity=0.8)
    _around_eye(sheet, person, actions, side, upper, down, min(1.0, squint))


def _around_eye(
    sheet: Sheet, person: Person, actions: Actions, side: int, upper: Points, down: float, squint: float
) -> None:
    """Draw the crease above the lid, the bag below the eye, and crow's feet."""
    x, half, line = person.eye_distance, person.eye_width, shade(person.skin, 0.6)
    crease = translate(upper[4:-4], 0, -0.045 + 0.02 * squint - 0.01 * actions.brow_lower)
    sheet.stroke(crease, line, (0.006, 0.016, 0.006), opacity=0.75)
    bag = _on(side, curve((x - 0.7 * half, down + 0.035), (x, down + 0.06), (x + 0.7 * half, down + 0.035)))
    sheet.stroke(bag, line, (0.004, 0.022, 0.004), opacity=0.25 + 0.5 * squint)
    for slope in (-0.25, 0.05, 0.35):
        foot = np.array([(x + half + 0.05, 0.02 + 0.05 * slope), (x + half + 0.13, 0.02 + 0.2 * slope)])
        sheet.stroke(_on(side, foot), line, 0.014, opacity=0.6 * actions.cheek_raise)


def draw_brow(sheet: Sheet, person: Person, actions: Actions, side: int) -> None:
    """Draw one brow, the frown line and the forehead folds."""
    x, y = person.eye_distance, person.brow_height
    lower, raise_in, raise_out = actions.brow_lower, actions.inner_brow_raise, actions.outer_brow_raise
    frown = 0.14 * lower * (1 - 0.9 * raise_in)  # AU1 with AU4 draws the inner ends together, not down
    inner_y = y + 0.02 - 0.15 * raise_in + frown + 0.03 * actions.nose_wrinkle
    middle_y = y - 0.04 - 0.07 * raise_in - 0.10 * raise_out + 0.06 * lower
    outer_y = y + 0.02 - 0.14 * raise_out + 0.03 * raise_in * (1 - raise_out) - 0.01 * lower
    start, end = (x - 0.19 - 0.05 * lower, inner_y), (x + 0.22, outer_y)
    path = _on(side, curve(start, (x - 0.02, middle_y), (x + 0.13, (middle_y + outer_y) / 2), end))
    weight = person.brow_weight
    sheet.stroke(path, shade(person.hair, 0.75), (weight * 0.7, weight, weight * 0.85, weight * 0.25), soft=0.006)
    line = shade(person.skin, 0.6)
    furrow = _on(side, curve((0.06, -0.34), (0.045, -0.25), (0.06, -0.16)))
    sheet.stroke(furrow, line, (0.008, 0.022, 0.008), opacity=0.75 * lower)
    for row_y in (-0.56, -0.66):
        fold = _on(side, curve((0, row_y), (0.2, row_y - 0.02), (0.4, row_y + 0.02)))
        sheet.stroke(fold, line, (0.016, 0.006), opacity=0.6 * raise_in * max(raise_out, 0.5))


def draw_nose(sheet: Sheet, person: Person, actions: Actions) -> None:
    """Draw the nose: shadow on the far side, highlight on the bridge, nostrils, and the wrinkles of AU9."""
    width = person.nose_width * (1 + 0.15 * actions.nose_wrinkle)
    tip = person.nose_length - 0.04 * actions.nose_wrinkle
    dark, away = shade(person.skin, 0.6), -1 if person.light > 0 else 1
    flank = curve((0.055, -0.1), (0.06, 0.1), (width * 0.8, tip - 0.03), (0.02, tip))
    sheet.fill(_on(away, flank), dark, opacity=0.45, soft=0.02)
    back = curve((0, -0.12), (-away * 0.015, tip - 0.08))
    sheet.stroke(back, shade(person.skin, 1.15), (0.03, 0.05, 0.08), opacity=0.6, soft=0.02)
    wing, low = (width, tip - 0.02), (width * 0.55, tip + 0.035)
    base = curve((-wing[0], wing[1]), (-low[0], low[1]), (0, tip + 0.05), low, wing)
    sheet.stroke(base, dark, (0.015, 0.03, 0.02, 0.03, 0.015), opacity=0.7, soft=0.006)
    for side in (-1, 1):
        sheet.fill(ellipse(side * width * 0.5, tip + 0.022, 0.034, 0.02), shade(person.skin, 0.32), soft=0.006)
        for y in (-0.03, 0.03, 0.09):
            wrinkle = _on(side, curve((0.02, y), (0.07, y - 0.025), (0.12, y - 0.06)))
            sheet.stroke(wrinkle, shade(person.skin, 0.5), (0.012, 0.022, 0.006), opacity=0.8 * actions.nose_wrinkle)


def draw_cheek_folds(sheet: Sheet, person: Person, actions: Actions, side: int) -> None:
    """Draw the nasolabial fold."""
    smirk = actions.one_corner if side == 1 else 0.0
    depth = min(1.0, 0.15 + 0.7 * actions.corner_pull + 0.9 * actions.nose_wrinkle + 0.7 * smirk)
    x = person.mouth_width + 0.09 * actions.corner_pull + 0.06 * smirk
    start = (person.nose_width + 0.03, person.nose_length - 0.02)
    fold = _on(side, curve(start, (x + 0.04, 0.48), (x + 0.07, 0.62)))
    sheet.stroke(fold, shade(person.skin, 0.58), (0.012, 0.03, 0.008), opacity=0.75 * depth, soft=0.008)


def _on(side: int, right_half: Points) -> Points:
    """Mirror a shape of the right half of the face to `side`."""
    return np.asarray(right_half * np.array([side, 1]))
