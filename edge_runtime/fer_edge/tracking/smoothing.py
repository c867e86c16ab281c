"""Smooth the expression of a face over time, without delay.

The log probabilities are averaged exponentially over time, not over frames, so that the frame rate does not matter:
each new value weighs 1 - exp(-passed / seconds) (Eckner 2012, "Algorithms for Unevenly Spaced Time Series: Moving
Averages and Other Rolling Operators"). Averaging logs is pooling the frames' opinions by their product (Genest and
Zidek 1986): a class that most frames deny does not win by one loud frame. Then the label changes only where another
one leads clearly, and after it has stood for a moment.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fer_edge.errors import UsageError
from fer_edge.model.contract import Contract
from fer_edge.recognition.classifier import UNCERTAIN

Floats = npt.NDArray[np.float64]

LEAST = 0.001
"""Probability that every class keeps, so that no single frame rules one out."""
USUAL_STEP = 1 / 30
"""Seconds that the first value stands for, and each one behind which the clock did not move on."""


@dataclass(frozen=True)
class SmoothingSettings:
    """How calm an expression is.

    Chosen on the video of `studies.accuracy.tracking_clip` (96 people of ExpW, detection every 3 frames): each frame by
    itself changes a label 2.9 times a second and names what the still photo says in 81.4 %; smoothed, 0.14 times and
    86.2 %.
    """

    seconds: float = 0.3
    """Time constant of the average. At 0.2, 0.3, 0.4 and 0.6 there are 0.18, 0.14, 0.13 and 0.10 changes a second, and
    the later of two new expressions is named 0.28, 0.40, 0.48 and 0.64 s after it outweighed the old one."""
    lead: float = 0.2
    """Probability by which another expression must lead before it is named."""
    dwell: float = 0.3
    """Seconds for which a label stands at least."""
    band: float = 0.05
    """Probability by which "uncertain" begins below the model's threshold, and ends above it."""

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            UsageError: A number makes no sense.
        """
        if not (self.seconds > 0 and 0 <= self.lead <= 1 and self.dwell >= 0 and 0 <= self.band <= 1):
            raise UsageError(f"{self}: seconds above 0, a dwell of 0 or more, lead and band from 0 to 1")


DEFAULT_SMOOTHING = SmoothingSettings()


class Smoother:
    """One face over time. Not to be shared between threads."""

    def __init__(self, contract: Contract, settings: SmoothingSettings = DEFAULT_SMOOTHING) -> None:
        """Begin with a face of which nothing is known.

        Args:
            contract: Of the model that the probabilities come from.
            settings: How calm it is.
        """
        self._settings = settings
        self._labels = contract.labels
        self._uncertain_below = contract.uncertain_below
        self._sum = np.zeros(len(contract.labels))
        self._weight = 0.0
        self._t: float | None = None
        self._held = 0.0
        self._label: str | None = None

    def step(self, probabilities: Floats, t: float) -> tuple[str, Floats]:
        """Take what one frame says.

        Args:
            probabilities: (classes,) that sum to 1.
            t: Seconds of the frame, in any frame rate; where the clock jumps back, a usual step counts as passed.

        Returns:
            The label, or "uncertain", and the averaged probabilities, (classes,), which sum to 1.
        """
        passed = t - self._t if self._t is not None and t > self._t else USUAL_STEP
        self._t = t
        keep = math.exp(-passed / self._settings.seconds)
        self._sum = keep * self._sum + (1 - keep) * np.log(np.maximum(probabilities, LEAST))
        self._weight = keep * self._weight + (1 - keep)
        pooled = np.exp(self._sum / self._weight)  # of equal parts, as long as nothing has been forgotten
        pooled /= pooled.sum()
        self._held += passed
        label = self._wanted(pooled)
        if self._label is None or (label != self._label and self._held >= self._settings.dwell):
            self._label, self._held = label, 0.0
        return self._label, pooled

    def _wanted(self, pooled: Floats) -> str:
        """Name what the average says, with the label until now in mind.

        A label appears at the model's threshold or above; one that is there stays until it is `band` below it.
        """
        settings, best = self._settings, int(pooled.argmax())
        if self._label in self._labels:
            held = pooled[self._labels.index(self._label)]
            if held >= self._uncertain_below - settings.band and pooled[best] < held + settings.lead:
                return self._label
        needed = self._uncertain_below
        if self._label == UNCERTAIN:  # 1 is never reached
            needed = min(needed + settings.band, (needed + 1) / 2)
        return self._labels[best] if pooled[best] >= needed else UNCERTAIN
