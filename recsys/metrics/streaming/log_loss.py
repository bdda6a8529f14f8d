"""Logarithmic loss over batches."""

from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.metrics.streaming.rows import label_score_weight
from recsys.metrics.streaming.sums import SumMetric


@keras.saving.register_keras_serializable(package="recsys")
class LogLoss(SumMetric):
    """Mean negative log-likelihood: `recsys.metrics.log_loss` of all rows.

    The loss of a row is float32, and so is the value: relative error below 1e-6, for
    any number of rows. It is NaN if no row counts or a score is NaN.

    Args:
        from_logits: What the scores are. A `recsys.train.Model` passes what is asked
            for, and logits are exact. A plain `keras.Model` passes its outputs: say
            `from_logits=False` if those are probabilities; they are clipped at 1.2e-7,
            and one outside [0, 1] makes the value NaN.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.

    Example:
    >>> metric = LogLoss(from_logits=False)
    >>> metric.update_state([1, 0], [0.8, 0.5])
    >>> round(float(metric.result()), 3)
    0.458
    """

    def __init__(
        self, from_logits: bool = True, name: str = "log_loss", **kwargs: Any
    ) -> None:
        super().__init__(2, name=name, **kwargs)
        self.from_logits = from_logits

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds the rows of a batch.

        Args:
            y_true: Labels in [0, 1], `(batch,)` or `(batch, 1)`, as all other
                arguments; NaN is missing.
            y_pred: Logits or probabilities, as `from_logits` says.
            sample_weight: Weights; rows of weight 0 do not count.
        """
        y, score, weight = label_score_weight(y_true, y_pred, sample_weight)
        if self.from_logits:
            loss = ops.maximum(score, 0) - score * y
            loss += ops.log1p(ops.exp(-ops.abs(score)))
        else:
            epsilon = float(np.finfo(np.float32).eps)
            p = ops.clip(score, epsilon, 1 - epsilon)
            loss = -(y * ops.log(p) + (1 - y) * ops.log1p(-p))
            inside = ops.logical_and(score >= 0, score <= 1)
            loss = ops.where(inside, loss, float("nan"))
        loss = ops.where(weight == 0, 0.0, weight * loss)
        self.add(ops.sum(loss), ops.sum(weight))

    def result(self) -> Any:
        loss, weight = ops.unstack(self.sums())
        return loss / weight

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "from_logits": self.from_logits}
