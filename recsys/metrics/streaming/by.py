"""Metrics of each part of the rows, such as each domain, over batches."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from recsys.metrics.breakdown import breakdown
from recsys.metrics.named import NamedMetric
from recsys.metrics.streaming.exact import RowMetric, one_of
from recsys.saving import saved
from recsys.types import TensorLike


@saved
class By(RowMetric):
    """Several metrics by the values of a column: `recsys.metrics.breakdown`.

    The rows are held once for all metrics. The value is a dict: for each metric that of
    each value of the column (`auc_domain_3`), their mean (`auc_domain_macro`), that
    weighted by rows (`auc_domain_weighted`) and how many are undefined and left out of
    both (`auc_domain_skipped`). `recsys.train.Model` puts them into its logs.

    Args:
        by: Key of the model's input that tells the part of each row, an integer column
            such as the domain.
        metrics: Names of functions of `recsys.metrics` that take rows; `"ndcg@10"` is
            one that is cut.
        group: Key of the model's input that holds the group of each row, which some
            metrics need.
        from_logits: Whether `y_pred` are logits, as the outputs of some plain
            `keras.Model` are. A `recsys.train.Model` passes logits as such.
        capacity: Most rows that fit, 20 bytes each and 8 with a group (16 and 4 on
            JAX): 160 or 224 MiB for the default 2**23. With more rows `result()` is an
            error.
        name, **kwargs: Arguments of `keras.metrics.Metric`.

    Raises:
        ValueError: If a metric is unknown, or needs a group and there is none.

    Example:
    >>> metric = By("domain", ["auc"], capacity=100)
    >>> metric.update_state([0, 1, 1], [0.1, 0.2, 0.3], by=[5, 5, 6])
    >>> metric.result()
    {'auc_domain_5': 1.0, 'auc_domain_6': nan, 'auc_domain_macro': 1.0,
     'auc_domain_weighted': 1.0, 'auc_domain_skipped': 1}
    """

    logits_apart = True  # a Model passes them as `logits`

    def __init__(
        self,
        by: str,
        metrics: Sequence[str] = ("auc", "log_loss", "pcoc"),
        group: str | None = None,
        from_logits: bool = False,
        capacity: int = 2**23,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        for each in metrics:
            if NamedMetric(each).grouped and group is None:
                raise ValueError(
                    f"By {by!r}: the metric {each!r} needs a `group`. "
                    "Received: group=None"
                )
        super().__init__(capacity, group, by, name=name or f"by_{by}", **kwargs)
        self.names = tuple(metrics)
        self.from_logits = from_logits
        self._of_logits: bool | None = None  # what the rows are that are held

    def update_state(
        self,
        y_true: TensorLike,
        y_pred: TensorLike | None = None,
        sample_weight: TensorLike | None = None,
        groups: TensorLike | None = None,
        by: TensorLike | None = None,
        logits: TensorLike | None = None,
    ) -> None:
        """Holds the rows of a batch; see `RowMetric.update_state`.

        Args:
            y_true, sample_weight, groups, by: Arguments of `RowMetric.update_state`.
            y_pred: Probabilities, unless `from_logits` says otherwise. Give these or
                `logits`.
            logits: Logits.

        Raises:
            ValueError: If both or none of `y_pred` and `logits` are given, or not the
                same one in all batches, or as `RowMetric.update_state`.
        """
        scores, of_logits = one_of(self, y_pred, logits)
        if self._of_logits not in (None, of_logits):
            raise ValueError(
                f"By {self.name!r} must get probabilities in all batches, or logits in "
                "all. Received: both"
            )
        self._of_logits = of_logits
        super().update_state(y_true, scores, sample_weight, groups, by)

    def value(self, **rows: Any) -> dict[str, float]:
        values: dict[str, float] = {}
        for name in self.names:
            metric = partial(NamedMetric(name), from_logits=bool(self._of_logits))
            table = breakdown(metric, **rows)
            prefix = f"{name}_{self.by}"
            values |= {f"{prefix}_{key}": value for key, value in table.values.items()}
            values[f"{prefix}_macro"] = table.macro()
            values[f"{prefix}_weighted"] = table.weighted()
            values[f"{prefix}_skipped"] = len(table.skipped())
        return values

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "by": self.by,
            "metrics": self.names,
            "group": self.group,
            "from_logits": self.from_logits,
        }
