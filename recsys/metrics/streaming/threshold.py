"""Decisions by a threshold on the prediction, over batches."""

from typing import Any

from keras import ops

from recsys.feature._constraints import Flag, Number, check
from recsys.metrics.streaming.sums import RowSums, ratio
from recsys.saving import saved
from recsys.types import Tensor


class _Decisions(RowSums):
    """Keeps what was right, what was called positive, and what is.

    Args:
        threshold: Predictions above it mean 1.
        from_logits: Whether it is one on logits.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    _constraints = {"threshold": Number(), "from_logits": Flag()}

    def __init__(
        self, threshold: float, from_logits: bool = False, *, name: str, **kwargs: Any
    ) -> None:
        super().__init__(4, name=name, **kwargs)
        self.threshold = threshold
        self.from_logits = from_logits
        check(self)

    def of_rows(self, y: Tensor, score: Tensor) -> list[Tensor]:
        called = ops.cast(score > self.threshold, "float32")
        called = ops.where(ops.isnan(score), float("nan"), called)
        return [called * y, called, y, ops.ones_like(y)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "from_logits": self.from_logits,
        }


@saved
class Accuracy(_Decisions):
    """Share of the rows on the right side: `recsys.metrics.accuracy` of all rows.

    Args:
        threshold: Predictions above it mean 1.
        from_logits: Whether it is one on logits.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Example:
    >>> metric = Accuracy(threshold=0.5)
    >>> metric.update_state([1, 0, 1, 1], [0.9, 0.2, 0.4, 0.6])
    >>> float(metric.result())
    0.75
    """

    def __init__(
        self,
        threshold: float,
        from_logits: bool = False,
        name: str = "accuracy",
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, from_logits, name=name, **kwargs)

    def result(self) -> Tensor:
        both, called, positive, all_rows = ops.unstack(self.sums())
        return ratio(all_rows - called - positive + 2 * both, all_rows)


@saved
class F1Score(_Decisions):
    """F1 at a threshold: `recsys.metrics.f1_score` of all rows; see `Accuracy`."""

    def __init__(
        self,
        threshold: float,
        from_logits: bool = False,
        name: str = "f1_score",
        **kwargs: Any,
    ) -> None:
        super().__init__(threshold, from_logits, name=name, **kwargs)

    def result(self) -> Tensor:
        both, called, positive, _ = ops.unstack(self.sums())
        return ratio(2 * both, called + positive)
