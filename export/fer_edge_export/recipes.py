"""Quantisation recipes, and those that `--auto` tries."""

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["int8", "int16x8", "float16", "dynamic", "float32"]


@dataclass(frozen=True)
class Recipe:
    """A way to convert a network."""

    name: RecipeName
    weights: str
    """Type of stored weights."""
    activations: str
    """Type of activations."""
    calibrated: bool
    """Whether the activation ranges are calibrated with faces."""

    def __str__(self) -> str:
        return f"{self.weights} weights, {self.activations} activations"


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("int8", "int8", "int8", calibrated=True),
        Recipe("int16x8", "int8", "int16", calibrated=True),
        Recipe("float16", "float16", "float32", calibrated=False),
        Recipe("dynamic", "int8", "float32", calibrated=False),  # kernels quantise activations at run time
        Recipe("float32", "float32", "float32", calibrated=False),
    )
}
"""Smallest and fastest first; the gain depends on network and processor."""


@dataclass(frozen=True)
class Attempt:
    """One attempt of an export."""

    recipe: RecipeName
    other_faces: bool = False
    """Calibrated with faces not used by the previous attempt."""
    learned: bool = False
    """The previous attempt after quantisation-aware training."""

    def __str__(self) -> str:
        variant = ", other faces" if self.other_faces else ", learned ranges" if self.learned else ""
        return f"{self.recipe}{variant}"


LADDER = (Attempt("int8"), Attempt("int8", other_faces=True), Attempt("dynamic"), Attempt("float16"))
"""Attempts of `--auto`, until one passes the gate. Without int16x8: LiteRT has only reference kernels for it, which run
`edge` 19 times slower than float32 (export/README.md)."""
