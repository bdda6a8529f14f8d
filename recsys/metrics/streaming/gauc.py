"""AUC inside groups, averaged, over batches."""

from typing import Any

from recsys.metrics.gauc import WeightBy, check_weight_by, gauc
from recsys.metrics.streaming.exact import RowMetric
from recsys.saving import saved


@saved
class GAUC(RowMetric):
    """Exact mean of the AUC of each group: `recsys.metrics.gauc` of all rows.

    The rows of a group may be spread over batches, in any order. Which groups count is
    told by `recsys.metrics.group_auc(**metric.rows()).coverage()`.

    Args:
        group: Key of the model's input that holds the group of each row, an integer
            column such as the user id.
        weight_by: Weight of a group: `"impressions"`, `"clicks"` or `"uniform"`.
        capacity: Most rows that fit, 20 bytes each (16 on JAX): 160 MiB for the default
            2**23. With more rows `result()` is an error.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.

    Raises:
        ValueError: If `capacity` or `weight_by` is outside the values above.

    Example:
    >>> metric = GAUC("user_id", capacity=100)
    >>> metric.update_state([0, 1, 1], [1.0, 2.0, 0.0], groups=[7, 7, 8])
    >>> metric.update_state([1, 0], [3.0, 5.0], groups=[9, 9])
    >>> metric.result()
    0.5
    """

    def __init__(
        self,
        group: str,
        weight_by: WeightBy = "impressions",
        capacity: int = 2**23,
        name: str = "gauc",
        **kwargs: Any,
    ) -> None:
        check_weight_by(weight_by)
        super().__init__(capacity, group, name=name, **kwargs)
        self.weight_by = weight_by

    def value(self, **rows: Any) -> float:
        return gauc(**rows, weight_by=self.weight_by)

    def get_config(self) -> dict[str, Any]:
        config = {"group": self.group, "weight_by": self.weight_by}
        return {**super().get_config(), **config}
