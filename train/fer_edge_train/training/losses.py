"""The training loss and metric."""

from typing import Any

import keras
import numpy as np

from fer_edge_train.settings import TrainSettings
from fer_edge_train.training.batches import Floats

MASKED = -1e9
"""Logit of a masked class: its probability is 0."""


def training_loss(priors: Floats, settings: TrainSettings) -> keras.losses.Loss:
    """Make the loss of logits against the targets of `fer_edge_train.training.batches`.

    Args:
        priors: (classes,) share of each class in the training targets; at least 0.001 is assumed.
        settings: Training settings.
    """
    offsets = settings.logit_adjustment * np.log(np.maximum(priors, 1e-3))
    return Crossentropy([float(offset) for offset in offsets], settings.teacher_weight, settings.teacher_temperature)


@keras.saving.register_keras_serializable(package="fer_edge")
class Crossentropy(keras.losses.Loss):
    """Cross-entropy with the labels and, in distillation, with the teacher targets.

    Targets are (n, classes) or, with teachers, (n, 2, classes). A class that a data set does not annotate is masked in
    the softmax. The offsets adjust logits in training only (Menon et al. 2021). The teacher term is scaled by the
    square of the temperature, which keeps gradients of the same size (Hinton et al. 2015).
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
            return self._label_loss(y_true, y_pred)
        teacher_loss = keras.ops.categorical_crossentropy(y_true[:, 1], y_pred / self._temperature, from_logits=True)
        return (1 - self._weight) * self._label_loss(
            y_true[:, 0], y_pred
        ) + self._weight * self._temperature**2 * teacher_loss

    def _label_loss(self, labels: Any, logits: Any) -> Any:
        adjusted = logits + keras.ops.convert_to_tensor(self._offsets, logits.dtype)
        adjusted = keras.ops.where(labels < 0, MASKED, adjusted)
        return keras.ops.categorical_crossentropy(keras.ops.maximum(labels, 0.0), adjusted, from_logits=True)

    def get_config(self) -> dict[str, object]:
        """Configuration saved in `last.keras`, for --resume."""
        own = {"offsets": self._offsets, "teacher_weight": self._weight, "teacher_temperature": self._temperature}
        return {**super().get_config(), **own}


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Accuracy of each of n faces against its label or, if unlabelled, its teacher target."""
    if len(y_true.shape) == 3:
        unlabelled = keras.ops.max(y_true[:, 0], axis=-1, keepdims=True) < 0
        y_true = keras.ops.where(unlabelled, y_true[:, 1], y_true[:, 0])
    return keras.ops.equal(keras.ops.argmax(y_true, axis=-1), keras.ops.argmax(y_pred, axis=-1))


keras.saving.register_keras_serializable(package="fer_edge")(accuracy)
