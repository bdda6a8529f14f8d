"""Mean average precision at k."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Ints, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def mean_average_precision(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
    capped: bool = True,
) -> float:
    r"""Mean over queries of the average precision of a list.

        AP = 1 / min(k, |relevant|) \sum_{j <= k} hit_j (hits among the first j) / j

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.
        capped: Whether the divisor is at most k, so that a perfect list has 1. Without,
            it is |relevant|, as in trec_eval (map_cut).

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> four = [0, 4], [1, 2, 3, 4]
    >>> mean_average_precision(four, [[1, 8, 2]], k=2)
    0.5
    >>> mean_average_precision(four, [[1, 8, 2]], k=2, capped=False)
    0.25
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_average_precision(queries, capped), empty)


def query_average_precision(queries: Queries, capped: bool = True) -> Floats:
    """Average precision of each query."""
    above, tied, inside = queries.above, queries.tied, queries.inside()
    # With an item at place j of its block go (j - 1) (relevant_tied - 1) / (tied - 1)
    # relevant ones of the block before it, on average.
    others = (queries.relevant_tied - 1) / np.maximum(tied - 1, 1)
    inverse = sum_of_inverse(above, inside)
    top = (queries.relevant_above + 1) * inverse
    top += others * (inside - (above + 1) * inverse)
    wanted = queries.num_relevant
    if capped and queries.k is not None:
        wanted = np.minimum(wanted, queries.k)
    return queries.ratio(queries.total(top / tied), wanted)


def sum_of_inverse(above: Ints, places: Ints) -> Floats:
    """Returns the sum of 1 / j over j from above + 1 to above + places."""
    harmonic = np.cumsum(1 / np.arange(1, (above + places).max(initial=0) + 1))
    harmonic = np.concatenate([[0], harmonic])
    # A difference of sums loses digits, and most places are one.
    several = harmonic[above + places] - harmonic[np.where(places > 0, above, 0)]
    return np.where(places > 1, several, places / (above + 1))
