"""From a metric of each query to the mean over queries."""

from collections.abc import Callable
from typing import Any, Protocol

from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant

_SHARED = """    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:"""


class QueryMetric(Protocol):
    """A mean over queries; `of_each` is what it is the mean of."""

    __name__: str
    of_each: Callable[[Queries], Floats]

    def __call__(
        self,
        y_true: ArrayLike | Relevant,
        y_score: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        k: int | None = None,
        sample_weight: ArrayLike | None = None,
        ties: Ties = "expected",
        empty: Empty = "skip",
    ) -> float: ...


def mean_over_queries(of_each: Callable[[Queries], Floats]) -> QueryMetric:
    """Returns the mean of a metric over queries, given rows or lists.

    Its docstring is that of the metric, which says what the mean is, with the arguments
    that all of them take before the example.
    """

    def metric(
        y_true: ArrayLike | Relevant,
        y_score: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        k: int | None = None,
        sample_weight: ArrayLike | None = None,
        ties: Ties = "expected",
        empty: Empty = "skip",
    ) -> float:
        queries = judge(
            y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
        )
        return queries.mean(of_each(queries), empty)

    made: Any = metric
    made.of_each = of_each
    for name in ("__module__", "__name__", "__qualname__"):
        setattr(made, name, getattr(of_each, name))
    made.__doc__ = (of_each.__doc__ or "").replace("    Example:", _SHARED)
    named: QueryMetric = made
    return named
