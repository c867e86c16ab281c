"""The identity of a drawn face, independent of its expression."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fer_edge.synthetic.sheet import Colour

SKINS: tuple[Colour, ...] = (
    (196, 214, 244),
    (170, 194, 232),
    (150, 180, 224),
    (122, 158, 208),
    (98, 134, 188),
    (72, 104, 156),
    (54, 80, 124),
    (44, 62, 98),
)
"""B, G, R, light to dark."""
HAIRS: tuple[Colour, ...] = (
    (28, 24, 26),
    (34, 40, 58),
    (40, 60, 92),
    (58, 96, 146),
    (110, 168, 212),
    (48, 74, 158),
    (176, 180, 184),
    (60, 52, 48),
)
IRISES: tuple[Colour, ...] = ((36, 56, 84), (30, 40, 58), (128, 104, 74), (86, 110, 84), (60, 88, 112))
SHIRTS: tuple[Colour, ...] = ((140, 96, 60), (80, 120, 60), (70, 70, 170), (90, 90, 90), (150, 140, 60), (60, 130, 190))

Cut = Literal["short", "long", "parted", "curly", "bald"]
CUTS: tuple[Cut, ...] = ("short", "long", "parted", "curly", "short", "long", "bald")


@dataclass(frozen=True)
class Person:
    """A fictional person; lengths in face units (`fer_edge.synthetic.sheet`), colours BGR."""

    skin: Colour
    hair: Colour
    iris: Colour
    shirt: Colour
    cut: Cut
    width: float
    """Half width of the head at the cheekbones."""
    jaw: float
    """Half width of the jaw."""
    eye_distance: float
    """Distance of an eye's centre from the middle of the face."""
    eye_width: float
    """Half width of an eye."""
    brow_weight: float
    """Thickness of a brow."""
    brow_height: float
    """y of a brow's inner end; negative, above the eyes."""
    nose_width: float
    """Half width of the nose."""
    nose_length: float
    """y of the nose's tip."""
    mouth_width: float
    """Half width of the mouth."""
    lip: float
    """Thickness of a lip."""
    moustache: bool
    beard: bool
    glasses: bool
    light: float
    """Direction of the light: -1 left, 1 right."""


def random_person(rng: np.random.Generator) -> Person:
    """Return a random person."""
    cut = CUTS[rng.integers(len(CUTS))]
    hairy = cut != "long" and rng.random() < 0.35
    return Person(
        skin=_varied(SKINS, rng),
        hair=_varied(HAIRS, rng),
        iris=_varied(IRISES, rng),
        shirt=_varied(SHIRTS, rng),
        cut=cut,
        width=rng.uniform(0.69, 0.79),
        jaw=rng.uniform(0.46, 0.56),
        eye_distance=rng.uniform(0.29, 0.345),
        eye_width=rng.uniform(0.145, 0.175),
        brow_weight=rng.uniform(0.05, 0.09),
        brow_height=rng.uniform(-0.27, -0.23),
        nose_width=rng.uniform(0.11, 0.16),
        nose_length=rng.uniform(0.29, 0.36),
        mouth_width=rng.uniform(0.24, 0.30),
        lip=rng.uniform(0.045, 0.075),
        moustache=bool(hairy and rng.random() < 0.7),
        beard=bool(hairy and rng.random() < 0.6),
        glasses=bool(rng.random() < 0.15),
        light=rng.uniform(-1, 1),
    )


def shade(colour: Colour, factor: float) -> Colour:
    """Darken (below 1) or lighten a colour."""
    b, g, r = (min(255.0, channel * factor) for channel in colour)
    return b, g, r


def _varied(palette: tuple[Colour, ...], rng: np.random.Generator) -> Colour:
    return shade(palette[rng.integers(len(palette))], rng.uniform(0.92, 1.06))
