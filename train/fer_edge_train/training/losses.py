"""What a training minimises."""

from typing import Any

import keras
import numpy as np

from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import Floats

NEVER = -1e9
"""A logit whose probability is 0."""


def training_loss(priors: Floats, settings: TrainSettings) -> keras.losses.Loss:
    """Make the loss for the targets of `fer_edge_train.training.batches` and for logits.

    Args:
        priors: (classes,) share of each class in the training targets; none counts as less than a thousandth.
        settings: Of the training.
    """
    offsets = settings.logit_adjustment * np.log(np.maximum(priors, 1e-3))
    return Crossentropy([float(offset) for offset in offsets], settings.teacher_weight, settings.teacher_temperature)


@keras.saving.register_keras_serializable(package="fer_edge")
class Crossentropy(keras.losses.Loss):
    """Cross-entropy with what people said of a face and, where there are teachers, with what those said.

    Targets are (n, classes) or, with teachers, (n, 2, classes). A class that nobody was asked for is left out of the
    softmax, so nothing is learnt of it. The offsets adjust logits (Menon et al. 2021); the network learns to do
    without them. What teachers said counts by the square of their temperature (Hinton et al. 2015), at which gradients
    are as large as without one.
    """

    def __init__(
        self,
        offsets: list[float],
        teacher_weight: float = 0.0,
        teacher_temperature: float = 1.0,
        name: str = "crossentropy",
        **others: str | None,
    ) -> None:
        super().__init__(name=name, **others)
        self._offsets, self._weight, self._temperature = offsets, teacher_weight, teacher_temperature

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Give (n,) losses of targets and (n, classes) logits."""
        if len(y_true.shape) == 2:
            return self._people(y_true, y_pred)
        taught = keras.ops.categorical_crossentropy(y_true[:, 1], y_pred / self._temperature, from_logits=True)
        return (1 - self._weight) * self._people(y_true[:, 0], y_pred) + self._weight * self._temperature**2 * taught

    def _people(self, said: Any, logits: Any) -> Any:
        adjusted = logits + keras.ops.convert_to_tensor(self._offsets, logits.dtype)
        adjusted = keras.ops.where(said < 0, NEVER, adjusted)
        return keras.ops.categorical_crossentropy(keras.ops.maximum(said, 0.0), adjusted, from_logits=True)

    def get_config(self) -> dict[str, object]:
        """What `last.keras` holds of it, for --resume."""
        own = {"offsets": self._offsets, "teacher_weight": self._weight, "teacher_temperature": self._temperature}
        return {**super().get_config(), **own}


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Whether each of n faces got the class that most people chose; of a face that nobody labelled, most teachers."""
    if len(y_true.shape) == 3:
        unlabelled = keras.ops.max(y_true[:, 0], axis=-1, keepdims=True) < 0
        y_true = keras.ops.where(unlabelled, y_true[:, 1], y_true[:, 0])
    return keras.ops.equal(keras.ops.argmax(y_true, axis=-1), keras.ops.argmax(y_pred, axis=-1))


keras.saving.register_keras_serializable(package="fer_edge")(accuracy)
