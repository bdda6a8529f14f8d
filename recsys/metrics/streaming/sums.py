"""Metrics that are a function of sums over rows."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from recsys.metrics.streaming.exact import is_stub, label_score_weight
from recsys.types import Tensor, TensorLike


class SumMetric(keras.metrics.Metric):
    """Keeps sums over all rows; a subclass adds to them and combines them.

    Sums are float32 and compensated (Kahan 1965), so their relative error stays near
    that of one batch, about 1e-7, however many batches there are. Those of several
    replicas add up.

    Args:
        num_sums: How many sums there are.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.
    """

    def __init__(self, num_sums: int, *, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._total = self.add_variable((num_sums,), "zeros", "float32", name="total")
        self._excess = self.add_variable((num_sums,), "zeros", "float32", name="excess")

    def add(self, terms: Tensor) -> None:
        """Adds to the sums, `(num_sums,)` numbers."""
        term = terms - self._excess
        total = self._total + term
        self._excess.assign((total - self._total) - term)
        self._total.assign(total)

    def sums(self) -> Tensor:
        """Returns the sums, `(num_sums,)`."""
        return self._total - self._excess


class RowSums(SumMetric):
    """A metric that is a function of weighted sums of something of each row.

    Relative errors of the sums are about 1e-7. It is NaN if a score that counts is.

    Args:
        num_sums: How many sums there are, that of the weights included.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.
    """

    from_logits = False

    def update_state(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
    ) -> None:
        """Adds the rows of a batch.

        Args:
            y_true: Labels, `(batch,)` or `(batch, 1)`, as all other arguments; NaN is
                missing.
            y_pred: What `from_logits` says: logits or predictions.
            sample_weight: Weights; rows of weight 0 do not count.
        """
        self._add_rows(y_true, y_pred, sample_weight, self.of_rows)

    def _add_rows(
        self,
        y_true: TensorLike,
        scores: TensorLike,
        sample_weight: TensorLike | None,
        of_rows: Callable[[Tensor, Tensor], list[Tensor]],
    ) -> None:
        if is_stub(self._total):
            return
        y, score, weight = label_score_weight(y_true, scores, sample_weight)
        terms = ops.stack(of_rows(y, score))
        terms = ops.where(weight == 0, 0.0, weight * terms)
        self.add(ops.sum(terms, axis=1))

    def of_rows(self, y: Tensor, score: Tensor) -> list[Tensor]:
        """Returns what is summed, `(batch,)` each."""
        raise NotImplementedError


def probability(score: Tensor) -> Tensor:
    """Returns scores where they are in [0, 1], else NaN."""
    inside = ops.logical_and(score >= 0, score <= 1)
    return ops.where(inside, score, float("nan"))


def ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """Divides; NaN where the divisor is 0."""
    return ops.where(
        bottom == 0, float("nan"), top / ops.where(bottom == 0, 1.0, bottom)
    )
