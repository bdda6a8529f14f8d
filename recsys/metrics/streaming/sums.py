"""Metrics that are a function of sums over rows."""

from typing import Any

import keras
from keras import ops


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

    def add(self, *terms: Any) -> None:
        """Adds to the sums, one scalar to each."""
        term = ops.stack(terms) - self._excess
        total = self._total + term
        self._excess.assign((total - self._total) - term)
        self._total.assign(total)

    def sums(self) -> Any:
        """Returns the sums, `(num_sums,)`."""
        return self._total - self._excess
