"""Facial movements of each expression, loosely after FACS.

Action units (AU) of the Facial Action Coding System, combined after Ekman & Friesen (1978, 1983: EMFACS).
Intensities run from 0 (at rest) to 1 (maximum).
"""

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Actions:
    """Intensity of each movement; all zero is a face at rest."""

    inner_brow_raise: float = 0.0
    """AU1"""
    outer_brow_raise: float = 0.0
    """AU2"""
    brow_lower: float = 0.0
    """AU4: down and together."""
    upper_lid_raise: float = 0.0
    """AU5: the white is visible above the iris."""
    cheek_raise: float = 0.0
    """AU6: raised lower lid, crow's feet."""
    lid_tighten: float = 0.0
    """AU7"""
    nose_wrinkle: float = 0.0
    """AU9, with the upper lip's AU10."""
    corner_pull: float = 0.0
    """AU12: mouth corners up and out."""
    corner_drop: float = 0.0
    """AU15"""
    lower_lip_drop: float = 0.0
    """AU16: the lower teeth are visible."""
    lip_stretch: float = 0.0
    """AU20: wide, flat mouth."""
    lip_tighten: float = 0.0
    """AU23: thin, pressed lips."""
    jaw_drop: float = 0.0
    """AU26"""
    one_corner: float = 0.0
    """AU12 and AU14 on the right side only."""


ACTIONS = {
    "neutral": Actions(),
    "happiness": Actions(cheek_raise=0.9, corner_pull=1.0, jaw_drop=0.12),
    "surprise": Actions(inner_brow_raise=1.0, outer_brow_raise=1.0, upper_lid_raise=0.8, jaw_drop=1.0),
    "sadness": Actions(inner_brow_raise=0.9, brow_lower=0.5, corner_drop=1.0),
    "anger": Actions(brow_lower=1.0, upper_lid_raise=0.35, lid_tighten=0.7, lip_tighten=1.0),
    "disgust": Actions(nose_wrinkle=1.0, brow_lower=0.45, lid_tighten=0.8, corner_drop=0.6, lower_lip_drop=0.7),
    "fear": Actions(
        inner_brow_raise=1.0,
        outer_brow_raise=0.5,
        brow_lower=0.4,
        upper_lid_raise=1.0,
        lid_tighten=0.2,
        lip_stretch=1.0,
        jaw_drop=0.35,
    ),
    "contempt": Actions(one_corner=1.0, lid_tighten=0.35),
}
"""Expression -> its actions."""


def varied(actions: Actions, rng: np.random.Generator) -> Actions:
    """Vary the intensities randomly, also of a face at rest."""
    strength = rng.uniform(0.75, 1.05)
    values = {}
    for part in fields(actions):
        value = getattr(actions, part.name) * strength * rng.uniform(0.85, 1.1)
        values[part.name] = float(np.clip(value + rng.uniform(0.0, 0.06), 0, 1))
    return Actions(**values)


def blended(start: Actions, end: Actions, share: float) -> Actions:
    """Interpolate between two expressions: `share` 0 is `start`, 1 is `end`.

    >>> blended(Actions(), Actions(corner_pull=1.0), 0.25).corner_pull
    0.25
    """
    names = [part.name for part in fields(Actions)]
    return replace(start, **{n: getattr(start, n) * (1 - share) + getattr(end, n) * share for n in names})
