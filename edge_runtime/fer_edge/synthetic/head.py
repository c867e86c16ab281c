"""Draw a head from back to front: hair and shoulders, shading, features, front hair and glasses."""

import numpy as np

from fer_edge.synthetic.actions import Actions
from fer_edge.synthetic.features import draw_brow, draw_cheek_folds, draw_eye, draw_nose
from fer_edge.synthetic.mouth import draw_mouth
from fer_edge.synthetic.person import Person, shade
from fer_edge.synthetic.sheet import Points, Sheet, curve, ellipse, translate

SHOULDERS = curve((-1.8, 5), (-1.6, 2.2), (-1.1, 1.45), (-0.4, 1.25), (0.4, 1.25), (1.1, 1.45), (1.6, 2.2), (1.8, 5))
NECK = np.array([(-0.4, 0.6), (0.4, 0.6), (0.42, 1.3), (0.0, 1.5), (-0.42, 1.3)])
LONG_HAIR = curve((0, -1.22), (0.8, -0.8), (0.92, 0.1), (0.84, 1), (-0.84, 1), (-0.92, 0.1), (-0.8, -0.8), closed=True)


def draw_person(sheet: Sheet, person: Person, actions: Actions) -> None:
    """Draw `person` with the expression `actions`."""
    head = _head(person, actions)
    _background_parts(sheet, person)
    sheet.fill(head, person.skin)
    _shading(sheet, person, head, actions)
    for side in (-1, 1):
        draw_eye(sheet, person, actions, side)
        draw_brow(sheet, person, actions, side)
        draw_cheek_folds(sheet, person, actions, side)
    draw_nose(sheet, person, actions)
    _facial_hair(sheet, person, head, actions)
    draw_mouth(sheet, person, actions)
    if person.cut != "bald":
        _hair(sheet, person, head)
    if person.glasses:
        _glasses(sheet, person)


def _head(person: Person, actions: Actions) -> Points:
    chin = 1.0 + 0.13 * actions.jaw_drop
    right = [
        (0.48, -0.98),
        (person.width * 0.94, -0.55),
        (person.width, -0.08),
        (person.width * 0.95, 0.28),
        (person.jaw, 0.68 + 0.06 * actions.jaw_drop),
        (0.24, chin - 0.06),
    ]
    left = [(-x, y) for x, y in reversed(right)]
    return curve((0, -1.1), *right, (0, chin), *left, closed=True)


def _background_parts(sheet: Sheet, person: Person) -> None:
    """Draw hair behind the head, shoulders, neck and ears."""
    dark = shade(person.hair, 0.8)
    if person.cut == "long":
        sheet.fill(LONG_HAIR, dark)
    if person.cut == "curly":
        for angle in np.linspace(np.pi * 0.9, np.pi * 2.1, 11):
            sheet.fill(ellipse(0.72 * np.cos(angle), -0.4 + 0.72 * np.sin(angle), 0.25, 0.25), dark)
    sheet.fill(SHOULDERS, person.shirt)
    sheet.fill(NECK, shade(person.skin, 0.78))
    if person.cut != "long":
        for x in (-person.width - 0.02, person.width + 0.02):
            sheet.fill(ellipse(x, 0.12, 0.09, 0.19), shade(person.skin, 0.88))
            sheet.fill(ellipse(x, 0.12, 0.045, 0.11), shade(person.skin, 0.72), soft=0.02)


def _shading(sheet: Sheet, person: Person, head: Points, actions: Actions) -> None:
    """Shade the head: far side, forehead, chin, eye sockets, cheeks."""
    away = -1 if person.light > 0 else 1
    dark, light = shade(person.skin, 0.62), shade(person.skin, 1.14)
    far_side = translate(head * (0.5, 1.1), away * 0.62, 0)
    sheet.fill(far_side, dark, opacity=0.15 + 0.25 * abs(person.light), soft=0.16, within=head)
    sheet.fill(ellipse(-away * 0.2, -0.5, 0.36, 0.2), light, opacity=0.5, soft=0.15, within=head)
    sheet.fill(ellipse(0, 1.02, 0.5, 0.12), dark, opacity=0.35, soft=0.08, within=head)
    blush = (person.skin[0] * 0.78, person.skin[1] * 0.78, min(255.0, person.skin[2] * 1.04))
    flush = 0.25 + 0.25 * actions.cheek_raise
    cheek_y = 0.26 - 0.05 * actions.cheek_raise
    for side in (-1, 1):
        sheet.fill(ellipse(side * person.eye_distance, -0.05, 0.2, 0.12), dark, opacity=0.35, soft=0.07, within=head)
        sheet.fill(ellipse(side * 0.42, cheek_y, 0.14, 0.1), light, opacity=0.45, soft=0.08, within=head)
        sheet.fill(ellipse(side * 0.45, cheek_y + 0.08, 0.16, 0.1), blush, opacity=flush, soft=0.08, within=head)


def _facial_hair(sheet: Sheet, person: Person, head: Points, actions: Actions) -> None:
    if person.beard:
        y = 0.72 + 0.13 * actions.jaw_drop
        inner = [(-0.8, 0.25), (-0.5, 0.42), (-0.3, y), (0, y + 0.04), (0.3, y), (0.5, 0.42), (0.8, 0.25)]
        beard = curve(*inner, (0.7, 1.0), (0, 1.3), (-0.7, 1.0), closed=True)
        sheet.fill(beard, person.hair, opacity=0.8, soft=0.03, within=head)
    if person.moustache:
        y = person.nose_length + 0.13 - 0.03 * actions.nose_wrinkle
        path = curve((-0.25, y + 0.06), (0, y), (0.25, y + 0.06))
        sheet.stroke(path, person.hair, (0.02, 0.09, 0.09, 0.09, 0.02), soft=0.008)


def _hair(sheet: Sheet, person: Person, head: Points) -> None:
    w = person.width + 0.04
    line = {  # hairline, from right to left
        "short": [(w, -0.1), (w * 0.9, -0.42), (0.5, -0.74), (0, -0.8), (-0.5, -0.74), (-w * 0.9, -0.42), (-w, -0.1)],
        "long": [
            (w * 1.05, 0.5),
            (w * 0.9, -0.2),
            (0.42, -0.66),
            (0, -0.84),
            (-0.42, -0.66),
            (-w * 0.9, -0.2),
            (-w, 0.5),
        ],
        "parted": [(w, -0.3), (0.5, -0.66), (0.1, -0.78), (-0.25, -0.86), (-0.55, -0.6), (-w, -0.3)],
        "curly": [(w, -0.35), (0.5, -0.68), (0.25, -0.62), (0, -0.72), (-0.25, -0.62), (-0.5, -0.68), (-w, -0.35)],
    }[person.cut]
    crown = [(-w * 1.06, -0.55), (-0.52, -1.12), (0, -1.24), (0.52, -1.12), (w * 1.06, -0.55)]
    cap = curve(*line, *crown, closed=True)
    sheet.fill(translate(cap, 0, 0.04), shade(person.skin, 0.6), opacity=0.4, soft=0.04, within=head)
    sheet.fill(cap, person.hair)
    shine = curve((-0.4, -1.0), (0, -1.08), (0.4, -0.98))
    sheet.stroke(shine, shade(person.hair, 1.5), (0.02, 0.09, 0.02), opacity=0.5, soft=0.03)


def _glasses(sheet: Sheet, person: Person) -> None:
    frame, eye = (40, 36, 36), person.eye_distance
    for side in (-1, 1):
        ring = ellipse(side * eye, 0.0, 0.235, 0.18)
        sheet.stroke(np.concatenate([ring, ring[:1]]), frame, 0.026)
        sheet.stroke(np.array([(side * (eye + 0.23), -0.03), (side * person.width, -0.06)]), frame, 0.026)
    sheet.stroke(curve((0.235 - eye, 0), (0, -0.03), (eye - 0.235, 0)), frame, 0.026)
