"""Calibration over batches: sums of rows where those do, all rows where not."""

from typing import Any

from keras import ops

from recsys.metrics.calibration import Strategy, check_bins, ece, field_ece, mce
from recsys.metrics.streaming.exact import RowMetric
from recsys.metrics.streaming.sums import RowSums, probability, ratio
from recsys.saving import saved
from recsys.types import Tensor


@saved
class BrierScore(RowSums):
    """Mean squared error of probabilities: `recsys.metrics.brier_score` of all rows.

    Example:
    >>> metric = BrierScore()
    >>> metric.update_state([1, 0], [0.5, 0.5])
    >>> float(metric.result())
    0.25
    """

    def __init__(self, name: str = "brier_score", **kwargs: Any) -> None:
        super().__init__(2, name=name, **kwargs)

    def of_rows(self, y: Tensor, score: Tensor) -> list[Tensor]:
        return [ops.square(probability(score) - y), ops.ones_like(y)]

    def result(self) -> Tensor:
        return ratio(*ops.unstack(self.sums()))


class _Clicks(RowSums):
    """Keeps the clicks that were predicted and those that were observed."""

    def __init__(self, *, name: str, **kwargs: Any) -> None:
        super().__init__(2, name=name, **kwargs)

    def of_rows(self, y: Tensor, score: Tensor) -> list[Tensor]:
        return [probability(score), y]


@saved
class PCOC(_Clicks):
    """Predicted over observed clicks: `recsys.metrics.pcoc` of all rows.

    Example:
    >>> metric = PCOC()
    >>> metric.update_state([1, 0, 0], [0.5, 0.5, 0.5])
    >>> float(metric.result())
    1.5
    """

    def __init__(self, name: str = "pcoc", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def result(self) -> Tensor:
        predicted, observed = ops.unstack(self.sums())
        return ratio(predicted, observed)


@saved
class COPC(_Clicks):
    """Observed over predicted clicks: `recsys.metrics.copc` of all rows."""

    def __init__(self, name: str = "copc", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def result(self) -> Tensor:
        predicted, observed = ops.unstack(self.sums())
        return ratio(observed, predicted)


@saved
class CalibrationBias(_Clicks):
    """Predicted minus observed clicks: `recsys.metrics.calibration_bias`."""

    def __init__(self, name: str = "calibration_bias", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def result(self) -> Tensor:
        predicted, observed = ops.unstack(self.sums())
        return predicted - observed


@saved
class ECE(RowMetric):
    """Expected calibration error: `recsys.metrics.ece` of all rows.

    Args:
        bins, strategy: Arguments of `recsys.metrics.ece`.
        capacity: Most rows that fit, 12 bytes each: 96 MiB for the default 2**23. With
            more rows `result()` is an error.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Raises:
        ValueError: If an argument is outside the values above.

    Example:
    >>> metric = ECE(bins=2, capacity=100)
    >>> metric.update_state([0, 1, 1, 1], [0.1, 0.3, 0.8, 1.0])
    >>> round(metric.result(), 3)
    0.2
    """

    from_logits = False

    def __init__(
        self,
        bins: int = 20,
        strategy: Strategy = "quantile",
        capacity: int = 2**23,
        name: str = "ece",
        **kwargs: Any,
    ) -> None:
        check_bins(bins, strategy)
        super().__init__(capacity, name=name, **kwargs)
        self.bins = bins
        self.strategy = strategy

    def value(self, **rows: Any) -> float:
        return ece(rows.pop("y_true"), rows.pop("y_score"), **rows, **self._options())

    def _options(self) -> dict[str, Any]:
        return {"bins": self.bins, "strategy": self.strategy}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._options()}


@saved
class MCE(ECE):
    """Maximum calibration error: `recsys.metrics.mce` of all rows; see `ECE`."""

    def __init__(
        self,
        bins: int = 20,
        strategy: Strategy = "quantile",
        capacity: int = 2**23,
        name: str = "mce",
        **kwargs: Any,
    ) -> None:
        super().__init__(bins, strategy, capacity, name, **kwargs)

    def value(self, **rows: Any) -> float:
        return mce(rows.pop("y_true"), rows.pop("y_score"), **rows, **self._options())


@saved
class FieldECE(RowMetric):
    """Calibration error by the values of a field: `recsys.metrics.field_ece`.

    Args:
        group: Key of the model's input that holds the field, an integer column.
        capacity: Most rows that fit, 20 bytes each (16 on JAX): 160 MiB for the default
            2**23. With more rows `result()` is an error.
        name, **kwargs: Arguments of `keras.metrics.Metric`.
    """

    from_logits = False

    def __init__(
        self,
        group: str,
        capacity: int = 2**23,
        name: str = "field_ece",
        **kwargs: Any,
    ) -> None:
        super().__init__(capacity, group, name=name, **kwargs)

    def value(self, **rows: Any) -> float:
        return field_ece(rows.pop("y_true"), rows.pop("y_score"), **rows)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group": self.group}
