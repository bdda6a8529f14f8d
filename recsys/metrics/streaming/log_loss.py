"""Logarithmic loss over batches."""

from functools import partial
from typing import Any

import numpy as np
from keras import ops

from recsys.metrics.streaming.exact import one_of
from recsys.metrics.streaming.sums import RowSums, probability
from recsys.saving import saved
from recsys.types import Tensor, TensorLike


@saved
class LogLoss(RowSums):
    """Mean negative log-likelihood: `recsys.metrics.log_loss` of all rows.

    The loss of a row is float32, and so is the value: relative error below 1e-6, for
    any number of rows. It is NaN if no row counts or a score is NaN.

    Probabilities are clipped at 1.2e-7, and one outside [0, 1] makes the value NaN.
    Logits are exact; a `recsys.train.Model` passes them where an output has them.

    Args:
        from_logits: Whether `y_pred` are logits, as the outputs of some plain
            `keras.Model` are.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.

    Example:
    >>> metric = LogLoss()
    >>> metric.update_state([1, 0], [0.8, 0.5])
    >>> round(float(metric.result()), 3)
    0.458
    """

    num_sums = 2
    logits_apart = True  # a Model passes them as `logits`

    def __init__(
        self, from_logits: bool = False, name: str = "log_loss", **kwargs: Any
    ) -> None:
        super().__init__(self.num_sums, name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(
        self,
        y_true: TensorLike,
        y_pred: TensorLike | None = None,
        sample_weight: TensorLike | None = None,
        logits: TensorLike | None = None,
    ) -> None:
        """Adds the rows of a batch.

        Args:
            y_true: Labels in [0, 1], `(batch,)` or `(batch, 1)`, as all other
                arguments; NaN is missing.
            y_pred: Probabilities, unless `from_logits` says otherwise. Give these or
                `logits`.
            sample_weight: Weights; rows of weight 0 do not count.
            logits: Logits.

        Raises:
            ValueError: If both or none of `y_pred` and `logits` are given.
        """
        scores, of_logits = one_of(self, y_pred, logits)
        of_rows = partial(self.of_rows, of_logits=of_logits)
        self._add_rows(y_true, scores, sample_weight, of_rows)

    def of_rows(
        self, y: Tensor, score: Tensor, of_logits: bool = False
    ) -> list[Tensor]:
        if of_logits:
            loss = ops.maximum(score, 0) - score * y
            loss += ops.log1p(ops.exp(-ops.abs(score)))
        else:
            epsilon = float(np.finfo(np.float32).eps)
            p = ops.clip(probability(score), epsilon, 1 - epsilon)
            loss = -(y * ops.log(p) + (1 - y) * ops.log1p(-p))
        return [loss, ops.ones_like(y)]

    def result(self) -> Tensor:
        loss, weight = ops.unstack(self.sums())
        return loss / weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}


@saved
class NormalizedEntropy(LogLoss):
    """Log loss over that of a constant: `recsys.metrics.normalized_entropy`.

    Args:
        prior: Base rate of the constant, in (0, 1). Default: that of the rows.
        from_logits, name, **kwargs: Arguments of `LogLoss`.

    Raises:
        ValueError: If `prior` is outside (0, 1).

    Example:
    >>> metric = NormalizedEntropy()
    >>> metric.update_state([1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1])
    >>> round(float(metric.result()), 4)
    0.2991
    """

    num_sums = 3

    def __init__(
        self,
        prior: float | None = None,
        from_logits: bool = False,
        name: str = "normalized_entropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(from_logits, name=name, **kwargs)
        if prior is not None and not 0 < prior < 1:
            raise ValueError(
                f"NormalizedEntropy {name!r}: prior must be in (0, 1). "
                f"Received: prior={prior!r}"
            )
        self.prior = prior

    def of_rows(
        self, y: Tensor, score: Tensor, of_logits: bool = False
    ) -> list[Tensor]:
        return [*super().of_rows(y, score, of_logits), y]

    def result(self) -> Tensor:
        loss, weight, positive = ops.unstack(self.sums())
        rate = positive / weight if self.prior is None else self.prior + 0 * weight
        inside = ops.logical_and(rate > 0, rate < 1)
        rate = ops.where(inside, rate, 0.5)
        entropy = -(rate * ops.log(rate) + (1 - rate) * ops.log1p(-rate))
        return ops.where(inside, loss / weight / entropy, float("nan"))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "prior": self.prior}
