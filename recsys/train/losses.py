"""Losses beyond those of Keras."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="recsys")
class AugmentedBinaryCrossentropy(keras.losses.Loss):
    """Cross-entropy of several predictions of each row: the mean over them.

    The auxiliary loss of AdaF2M2; a model that has it applies it by itself.

    Call arguments:
        y_true: Labels, `(batch, 1)`.
        y_pred: Logits of the copies, `(batch * num_sample, 1)`; the copies of a row are
            together.
    Example:
    >>> loss = AugmentedBinaryCrossentropy()
    >>> round(float(loss([[1.0], [0.0]], [[0.0], [0.0], [9.0], [9.0]])), 3)
    4.847

    Reference:
        AdaF2M2, DASFAA 2025, https://arxiv.org/abs/2501.15816
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = ops.reshape(y_pred, (ops.shape(y_true)[0], -1))
        y_true = ops.cast(y_true, logits.dtype)
        # log(1 + exp z) - y z, of every copy of a row with that row's label
        return ops.mean(ops.softplus(logits) - y_true * logits, axis=-1)


@keras.saving.register_keras_serializable(package="recsys")
class PoissonOfLogits(keras.losses.Loss):
    """Poisson loss of counts whose mean is exp z: `exp(z) - y z` (M2M).

    `compile(loss="poisson")` gives it to tasks of counts, see `recsys.train.routing`.

    Call arguments:
        y_true: Counts, `(batch, 1)`.
        y_pred: Logits z, `(batch, 1)`.
    Example:
    >>> loss = PoissonOfLogits()
    >>> round(float(loss(np.array([[2.0]]), np.array([[1.0]]))), 3)
    0.718
    """

    from_logits = True

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, y_pred.dtype)
        return ops.mean(ops.exp(y_pred) - y_true * y_pred, axis=-1)
