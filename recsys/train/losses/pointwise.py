"""Losses of single rows."""

import math
from typing import Any

import keras
from keras import ops

from recsys.feature._constraints import Maybe, Number, check
from recsys.layers.row_means import weights_of_rows
from recsys.saving import saved
from recsys.types import Tensor, TensorLike


def same_shape(y_true: TensorLike, y_pred: TensorLike) -> tuple[Tensor, Tensor]:
    """Flattens labels and logits to `(batch,)`, lest one column meets one row."""
    return ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1,))


def cross_entropy(y: Tensor, z: Tensor) -> Tensor:
    """Returns `log(1 + exp z) - y z`, finite and exact for all logits z."""
    return ops.softplus(z) - ops.cast(y, z.dtype) * z


class RowLoss(keras.losses.Loss):
    """A loss of each row by itself.

    Weights may be `(batch,)`, `(batch, 1)`, or one for all rows, by which Keras' own
    `"mean_with_sample_weight"` divides only once.

    Attributes:
        from_logits: True: `recsys.train.Model` passes logits.
        one_logit: Whether a row has one logit only.
    """

    from_logits = True
    one_logit = True

    def __call__(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> Tensor:
        """Returns the loss of a batch.

        Raises:
            ValueError: If there are several logits for a row of a loss of one.
        """
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        shape = tuple(y_pred.shape)
        if self.one_logit and shape[1:] not in ((), (1,), (None,)):
            raise ValueError(
                f"Loss {self.name!r} takes logits of shape (batch, 1). "
                f"Received: shape {shape}"
            )
        if sample_weight is not None:
            rows = ops.shape(y_true)[0]
            sample_weight = weights_of_rows(sample_weight, rows, self.dtype)
        return super().__call__(y_true, y_pred, sample_weight)


def undo_downsampling(logits: Any, keep_rate: float) -> Any:
    """Returns the logits of a model that saw only a part of the negatives, calibrated.

    Args:
        logits: Logits, any shape.
        keep_rate: Share of the negatives that were kept for training, in (0, 1].

    Raises:
        ValueError: If `keep_rate` is outside (0, 1].

    Example:
    >>> undo_downsampling(0.0, keep_rate=1 / 3)  # odds of 1:1 were 1:3
    -1.09...
    """
    if not 0 < keep_rate <= 1:
        raise ValueError(f"keep_rate must be in (0, 1]. Received: {keep_rate!r}")
    return logits + math.log(keep_rate)


@saved
class WeightedBinaryCrossentropy(RowLoss):
    r"""Cross-entropy in which positive rows weigh more, or labels are smoothed.

        c y softplus(-z) + (1 - y) softplus(z),    y <- y (1 - e) + e / 2

    Args:
        pos_weight: Factor on the positive part, c. Predictions are then those of a
            population with c times the positives.
        label_smoothing: e, in [0, 1).
        reduction, name, **kwargs: Arguments of `keras.losses.Loss`.
    Call arguments:
        y_true: Labels in [0, 1], `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Raises:
        ValueError: If an argument is out of range.
    Example:
    >>> loss = WeightedBinaryCrossentropy(pos_weight=3)
    >>> round(float(loss(np.array([1, 0]), np.zeros(2))), 4)  # 2 log 2
    1.3863
    """

    _constraints = {
        "pos_weight": Number(above=0),
        "label_smoothing": Number(0, below=1),
    }

    def __init__(
        self,
        pos_weight: float = 1.0,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "weighted_binary_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.pos_weight = pos_weight
        self.label_smoothing = label_smoothing
        check(self)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y, z = same_shape(y_true, y_pred)
        y = y * (1 - self.label_smoothing) + self.label_smoothing / 2
        return self.pos_weight * y * ops.softplus(-z) + (1 - y) * ops.softplus(z)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pos_weight": self.pos_weight,
            "label_smoothing": self.label_smoothing,
        }


@saved
class FocalLoss(RowLoss):
    r"""Cross-entropy that looks away from rows that are right already.

        a_t (1 - p_t)^\gamma CE,    1 - p_t = \sigma(-z (2 y - 1))

    It moves probabilities towards 1/2: look at PCOC. (Keras' own clips probabilities
    at 1e-7.)

    Args:
        gamma: How much, at least 0. At 0 it is cross-entropy.
        alpha: Weight of positive rows, in (0, 1), 1 - alpha being that of negative
            ones. Default: 1 for both.
        reduction, name, **kwargs: Arguments of `keras.losses.Loss`.
    Call arguments:
        y_true: Labels 0 or 1, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Raises:
        ValueError: If an argument is out of range.
    Example:
    >>> round(float(FocalLoss()(np.ones(1), np.zeros(1))), 4)  # log(2) / 4
    0.1733

    Reference:
        Lin et al., ICCV 2017, https://arxiv.org/abs/1708.02002, eq. 4-5
    """

    _constraints = {"gamma": Number(0), "alpha": Maybe(Number(above=0, below=1))}

    def __init__(
        self,
        gamma: float = 2.0,
        alpha: float | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "focal_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.gamma = gamma
        self.alpha = alpha
        check(self)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y, z = same_shape(y_true, y_pred)
        right = z * (2 * y - 1)
        # (1 - p_t)^gamma by its logarithm: the root of 0 has no gradient
        losses = ops.exp(-self.gamma * ops.softplus(right)) * ops.softplus(-right)
        if self.alpha is not None:
            losses *= self.alpha * y + (1 - self.alpha) * (1 - y)
        return losses

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@saved
class WatchTimeLoss(RowLoss):
    r"""Logistic regression whose odds are the expected watch time.

        T softplus(-z) for what was watched for T > 0, softplus(z) for what was not

    `exp(z)` is the watch time of an impression, if few impressions are watched. The
    task is a regression: its prediction is z.

    Call arguments:
        y_true: Watch time, 0 for none, in any unit, `(batch, 1)`.
        y_pred: Logits, `(batch, 1)`.
    Example:
    >>> loss = WatchTimeLoss()
    >>> round(float(loss(np.array([3.0, 0.0]), np.zeros(2))), 4)  # 2 log 2
    1.3863

    Reference:
        Covington et al., RecSys 2016, section 4.2, https://doi.org/10.1145/2959100.2959190
    """

    def __init__(
        self,
        reduction: str = "sum_over_batch_size",
        name: str = "watch_time_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y, z = same_shape(y_true, y_pred)
        return ops.where(y > 0, y * ops.softplus(-z), ops.softplus(z))


@saved
class PoissonOfLogits(RowLoss):
    """Poisson loss of counts whose mean is exp z: `exp(z) - y z` (M2M).

    Beyond z = 30, a mean of 10^13, exp goes on as its tangent, so that no logit
    overflows; below, also where the best z is, nothing changes.

    `compile(loss="poisson")` gives it to tasks of counts, see `recsys.train.routing`.

    Call arguments:
        y_true: Counts, `(batch, 1)`.
        y_pred: Logits z, `(batch, 1)`.
    Example:
    >>> loss = PoissonOfLogits()
    >>> round(float(loss(np.array([[2.0]]), np.array([[1.0]]))), 3)
    0.718
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        y, z = same_shape(y_true, y_pred)
        mean = ops.exp(ops.minimum(z, 30.0)) * (1 + ops.maximum(z - 30.0, 0.0))
        return mean - y * z
