"""Normalized discounted cumulative gain at k."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.codes import sum_by
from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant

Gain = Literal["exp2", "linear"]
_MOST = 1000  # 2^1024 is infinite, and gains are summed


def check_gain(gain: str) -> None:
    """Raises `ValueError` if there is no such gain."""
    if gain not in get_args(Gain):
        raise ValueError(
            f"gain must be one of {get_args(Gain)}. Received: gain={gain!r}"
        )


def ndcg(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
    gain: Gain = "exp2",
) -> float:
    r"""Mean over queries of the gain of a list, relative to the best list there is.

        NDCG = DCG / IDCG,    DCG = \sum_{j=1}^k gain(grade_j) / \log_2(j + 1)

    IDCG is the DCG of the best k of all relevant items, retrieved or not.

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.
        gain: `"exp2"`, `2^grade - 1`, for grades of at most 1000, or `"linear"`, the
            grade. Equal for grades 0, 1.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, if `empty` or `gain` is unknown, or a
            grade is too large for `"exp2"`.

    Example:
    >>> relevant = [0, 2], [1, 2], [2, 1]  # grade 2 for item 1, grade 1 for item 2
    >>> ndcg(relevant, [[3, 1, 2]], k=3)
    0.659...
    >>> ndcg([0, 2, 1], [9, 8, 7], groups=[0, 0, 0], k=3)
    0.659...

    Reference:
        Järvelin and Kekäläinen, TOIS 2002, https://doi.org/10.1145/582415.582418;
        Burges et al., ICML 2005, https://doi.org/10.1145/1102351.1102363 (`"exp2"`);
        McSherry and Najork, ECIR 2008 (ties)
    """
    check_gain(gain)
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_ndcg(queries, gain), empty)


def query_ndcg(queries: Queries, gain: Gain = "exp2") -> Floats:
    """NDCG of each query."""
    above, inside = queries.above, queries.inside()
    longest = max(
        int((above + inside).max(initial=0)), int(queries.best_rank.max(initial=0)) + 1
    )
    discount = 1 / np.log2(np.arange(longest) + 2)
    up_to = np.concatenate([[0], np.cumsum(discount)])
    last = np.minimum(above, longest - 1)  # past k nothing is inside
    several = up_to[last + inside] - up_to[last]
    discounts = np.where(inside > 1, several, inside * discount[last])
    reached = queries.total(_gains(queries.grade, gain) * discounts / queries.tied)

    kept = slice(None) if queries.k is None else queries.best_rank < queries.k
    best = sum_by(
        queries.best_query[kept],
        _gains(queries.best_grade[kept], gain) * discount[queries.best_rank[kept]],
        len(queries.num_relevant),
    )
    return queries.ratio(reached, best)


def _gains(grades: Floats, gain: Gain) -> Floats:
    if gain == "linear":
        return grades
    largest = grades.max(initial=0)
    if largest > _MOST:
        raise ValueError(
            f'ndcg: 2^grade needs grades of at most {_MOST}; pass gain="linear" for '
            f"others, such as watch times. Received: a grade of {largest:g}"
        )
    return np.exp2(grades) - 1
