"""Average precision, exact, over batches."""

from typing import Any

from recsys.metrics.average_precision import (
    Interpolation,
    average_precision,
    check_interpolation,
)
from recsys.metrics.streaming.exact import RowMetric
from recsys.saving import saved


@saved
class AveragePrecision(RowMetric):
    """Exact area under precision and recall: `recsys.metrics.average_precision`.

    Args:
        interpolation: `"step"` or `"trapezoid"`.
        capacity: Most rows that fit, 12 bytes each: 96 MiB for the default 2**23. With
            more rows `result()` is an error.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Raises:
        ValueError: If `interpolation` or `capacity` is outside the values above.

    Example:
    >>> metric = AveragePrecision(capacity=100)
    >>> metric.update_state([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    >>> round(metric.result(), 3)
    0.833
    """

    def __init__(
        self,
        interpolation: Interpolation = "step",
        capacity: int = 2**23,
        name: str = "average_precision",
        **kwargs: Any,
    ) -> None:
        check_interpolation(interpolation)
        super().__init__(capacity, name=name, **kwargs)
        self.interpolation = interpolation

    def value(self, **rows: Any) -> float:
        return average_precision(**rows, interpolation=self.interpolation)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "interpolation": self.interpolation}
