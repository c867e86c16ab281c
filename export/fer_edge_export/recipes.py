"""The ways to make a network small, as data, and the ladder that `--auto` walks down."""

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["int8", "int16x8", "float16", "dynamic", "float32"]


@dataclass(frozen=True)
class Recipe:
    """One way to convert a network."""

    name: RecipeName
    weights: str
    """How a weight is stored."""
    activations: str
    """What is computed with."""
    calibrated: bool
    """Whether faces set the ranges of what is computed."""

    def __str__(self) -> str:
        return f"{self.weights} weights, {self.activations} activations"


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("int8", "int8", "int8", calibrated=True),
        Recipe("int16x8", "int8", "int16", calibrated=True),
        Recipe("float16", "float16", "float32", calibrated=False),
        Recipe("dynamic", "int8", "float32", calibrated=False),  # the kernels make int8 of them as they come
        Recipe("float32", "float32", "float32", calibrated=False),
    )
}
"""Smallest and fastest first; what a recipe gains depends on network and processor."""


@dataclass(frozen=True)
class Attempt:
    """One thing to try."""

    recipe: RecipeName
    other_faces: bool = False
    """Calibrated with faces of which the attempt before had none."""
    learned: bool = False
    """Weights and ranges of the attempt before, fine-tuned with rounding in between."""

    def __str__(self) -> str:
        how = ", other faces" if self.other_faces else ", learned ranges" if self.learned else ""
        return f"{self.recipe}{how}"


LADDER = (Attempt("int8"), Attempt("int8", other_faces=True), Attempt("dynamic"), Attempt("float16"))
"""What `--auto` tries until the gate holds. int16x8 is not among them: LiteRT computes it by its reference kernels, and
`edge` takes 19 times as long so as in float32 (export/README.md)."""
