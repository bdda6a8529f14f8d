"""Precision at k: the share of a list that is relevant."""

from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def precision(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
) -> float:
    """Mean over queries of (relevant items among the first k) / k.

    The divisor is k for shorter lists too, as in trec_eval; without k it is the length
    of the list.

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> precision([1, 1, 0], [3, 1, 2], groups=[7, 7, 7], k=2)
    0.5
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_precision(queries), empty)


def query_precision(queries: Queries) -> Floats:
    """Precision of each query; 0 of an empty list."""
    return queries.ratio(queries.hits(), queries.cut())
