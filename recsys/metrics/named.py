"""Metrics by name: `"auc"`, `"log_loss"`, `"ndcg@10"`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.auc import auc
from recsys.metrics.average_precision import average_precision
from recsys.metrics.brier_score import brier_score
from recsys.metrics.calibration import ece, field_ece, mce
from recsys.metrics.f1 import f1
from recsys.metrics.gauc import gauc
from recsys.metrics.hit_rate import hit_rate
from recsys.metrics.log_loss import log_loss
from recsys.metrics.mean_average_precision import (
    mean_average_precision,
    query_average_precision,
)
from recsys.metrics.mrr import mrr
from recsys.metrics.ndcg import ndcg, query_ndcg
from recsys.metrics.normalized_entropy import normalized_entropy
from recsys.metrics.pcoc import calibration_bias, copc, pcoc
from recsys.metrics.precision import precision
from recsys.metrics.queries import Floats, Queries
from recsys.metrics.recall import query_recall, recall

OF_SCORES = {each.__name__: each for each in (auc, average_precision, gauc)}
OF_LOGITS = {each.__name__: each for each in (log_loss, normalized_entropy)}
OF_PROBABILITIES = {
    each.__name__: each
    for each in (brier_score, pcoc, copc, calibration_bias, ece, mce, field_ece)
}
TOP_K = {
    each.__name__: each
    for each in (hit_rate, recall, precision, f1, mrr, mean_average_precision, ndcg)
}
OF_QUERIES: dict[str, Callable[[Queries], Floats]] = {
    "hit_rate": hit_rate.of_each,
    "recall": query_recall,
    "precision": precision.of_each,
    "f1": f1.of_each,
    "mrr": mrr.of_each,
    "mean_average_precision": query_average_precision,
    "ndcg": query_ndcg,
}
GROUPED = {"gauc", "field_ece", *TOP_K}


@dataclass(frozen=True)
class NamedMetric:
    """A metric of rows with its default options.

    Args:
        name: Name of a function of `recsys.metrics`; `@k` behind it cuts lists.

    Raises:
        ValueError: If there is no such metric of rows.

    Example:
    >>> NamedMetric("recall@1")([1, 0], [0.2, 0.9], groups=[7, 7])
    0.0
    """

    name: str

    def __post_init__(self) -> None:
        base, at, k = self.name.partition("@")
        known = OF_SCORES | OF_LOGITS | OF_PROBABILITIES | TOP_K
        if base not in known or (at and (base not in TOP_K or not k.isdigit())):
            raise ValueError(
                f"A metric must be one of {sorted(known)}, those of lists with a cut "
                f"as in 'ndcg@10'. Received: {self.name!r}"
            )

    @property
    def base(self) -> str:
        """The name without its cut."""
        return self.name.partition("@")[0]

    @property
    def k(self) -> int | None:
        """Where lists are cut."""
        k = self.name.partition("@")[2]
        return int(k) if k else None

    @property
    def grouped(self) -> bool:
        """Whether it needs the group of each row."""
        return self.base in GROUPED

    @property
    def calibrated(self) -> bool:
        """Whether it looks at probabilities, not only at their order."""
        return self.base not in OF_SCORES and self.base not in TOP_K

    def __call__(
        self,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        from_logits: bool = False,
    ) -> float:
        """Computes the metric; `groups` is ignored by those that need none.

        Args:
            y_true: Labels, `(num_rows,)`.
            y_score: Probabilities, or logits with `from_logits`; any scores where only
                their order counts.
            sample_weight, groups: `(num_rows,)`.
            from_logits: What `y_score` is.
        """
        given: dict[str, Any] = {"sample_weight": sample_weight}
        if self.grouped:
            given["groups"] = groups
        function: Callable[..., float]
        if self.base in TOP_K:
            given["k"] = self.k
            function = TOP_K[self.base]
        elif self.base in OF_SCORES:
            function = OF_SCORES[self.base]
        elif self.base in OF_LOGITS:
            function = OF_LOGITS[self.base]
            if from_logits:
                return function(y_true, logits=y_score, **given)
        else:
            function = OF_PROBABILITIES[self.base]
            if from_logits:
                y_score = sigmoid(y_score)
        return function(y_true, y_score, **given)


def sigmoid(logits: ArrayLike) -> Any:
    """Probabilities, float64."""
    z = np.asarray(logits, np.float64)
    return np.exp(-np.logaddexp(0, -z))
