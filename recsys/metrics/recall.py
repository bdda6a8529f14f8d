"""Recall at k: the share of the relevant items that a list contains."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def recall(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
    capped: bool = False,
) -> float:
    """Mean over queries of (relevant items among the first k) / (relevant items).

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.
        capped: Divide by k where a query has more relevant items than that.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> relevant = [0, 2, 2, 3], [10, 11, 30]  # of queries 0, 1 and 2; 1 has none
    >>> recall(relevant, [[11, 12], [20, 21], [30, -1]], k=2)
    0.75
    >>> recall([1, 1, 0], [3, 1, 2], groups=[7, 7, 7], k=2)
    0.5
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_recall(queries, capped), empty)


def query_recall(queries: Queries, capped: bool = False) -> Floats:
    """Recall of each query."""
    wanted = queries.num_relevant
    if capped:
        wanted = np.minimum(wanted, queries.cut())
    return queries.ratio(queries.hits(), wanted)
