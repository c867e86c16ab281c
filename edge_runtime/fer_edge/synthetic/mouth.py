"""The mouth: lips, opening, teeth and tongue."""

import numpy as np

from fer_edge.synthetic.actions import Actions
from fer_edge.synthetic.person import Person, shade
from fer_edge.synthetic.sheet import Colour, Points, Sheet, between, ellipse, translate

MOUTH_Y = 0.60
TEETH: Colour = (232, 238, 240)
INSIDE: Colour = (30, 22, 62)
TONGUE: Colour = (80, 76, 168)


def draw_mouth(sheet: Sheet, person: Person, actions: Actions) -> None:
    """Draw the mouth, its corners and the shadow below; lines run from the left corner (t = -1) to the right."""
    t = np.linspace(-1, 1, 25)
    arch = 1 - np.abs(t) ** 2.2
    half, gap = _half_width(person, actions), _gap(actions)
    smirk = np.clip(t, 0, 1) ** 1.5 * actions.one_corner
    middle = MOUTH_Y + 0.03 * actions.corner_pull - 0.03 * actions.corner_drop - 0.05 * actions.nose_wrinkle
    corners = -0.13 * actions.corner_pull + 0.11 * actions.corner_drop + 0.05 * actions.lip_stretch
    x, y = t * half + 0.07 * smirk, middle + (1 - arch) * corners - 0.12 * smirk
    thick = person.lip * (1 - 0.6 * actions.lip_tighten - 0.25 * actions.corner_pull)
    cupid = 1 - 0.35 * np.exp(-((t / 0.14) ** 2))
    top, bottom = _line(x, y - 0.3 * gap * arch), _line(x, y + 0.8 * gap * arch)
    upper = _line(x, top[:, 1] - thick * arch**0.7 * cupid)
    lower = _line(x, bottom[:, 1] + 1.25 * thick * arch**0.8)
    red: Colour = (person.skin[0] * 0.62, person.skin[1] * 0.58, person.skin[2] * 0.84)
    below = translate(lower[6:-6], 0, 0.05)
    sheet.stroke(below, shade(person.skin, 0.6), (0.01, 0.05, 0.01), opacity=0.5, soft=0.02)
    sheet.fill(between(upper, translate(top, 0, 0.004)), shade(red, 0.86))
    sheet.fill(between(lower, translate(bottom, 0, -0.004)), red)
    if gap > 0.02:
        _inside(sheet, actions, top, bottom, gap)
    sheet.stroke(top, shade(red, 0.42), (0.014, 0.02, 0.014), opacity=0.9)
    for end, depth in ((0, actions.corner_pull), (-1, max(actions.corner_pull, 1.2 * actions.one_corner))):
        dimple = ellipse(x[end], y[end], 0.022, 0.03)
        sheet.fill(dimple, shade(person.skin, 0.5), opacity=min(1.0, 0.15 + 0.7 * depth), soft=0.012)


def _half_width(person: Person, actions: Actions) -> float:
    wider = 0.28 * actions.corner_pull + 0.22 * actions.lip_stretch
    narrower = 0.08 * actions.corner_drop + 0.12 * actions.lip_tighten + 0.22 * max(0.0, actions.jaw_drop - 0.4)
    return person.mouth_width * (1 + wider - narrower)


def _gap(actions: Actions) -> float:
    """Return the distance of the lips."""
    apart = 0.30 * actions.jaw_drop + 0.07 * actions.corner_pull + 0.07 * actions.lip_stretch
    return max(0.0, apart + 0.05 * actions.nose_wrinkle + 0.09 * actions.lower_lip_drop - 0.03)


def _inside(sheet: Sheet, actions: Actions, top: Points, bottom: Points, gap: float) -> None:
    opening = between(top, bottom)
    sheet.fill(opening, INSIDE)
    tongue = ellipse(0, bottom[12, 1], 0.6 * bottom[-1, 0], 0.3 * gap)
    sheet.fill(tongue, TONGUE, opacity=max(0.0, actions.jaw_drop - 0.3), within=opening)
    shown = max(actions.corner_pull, actions.lip_stretch, actions.nose_wrinkle, 0.35 * actions.jaw_drop)
    depth = bottom - top
    sheet.fill(between(translate(top, 0, -0.05), top + 0.55 * shown * depth), TEETH, within=opening)
    if actions.lower_lip_drop > 0.3 or actions.lip_stretch > 0.4:
        sheet.fill(between(bottom - 0.27 * depth, translate(bottom, 0, 0.05)), shade(TEETH, 0.9), within=opening)


def _line(x: Points, y: Points) -> Points:
    return np.stack([x, y], axis=1)
