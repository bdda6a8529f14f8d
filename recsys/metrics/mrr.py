"""Mean reciprocal rank of the first relevant item."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.codes import sum_by
from recsys.metrics.hit_rate import log_factorials
from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def mrr(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
) -> float:
    """Mean over queries of 1 / (rank of the first relevant item).

    A query whose first relevant item is not among the first k has 0. (The MIND news
    data set calls the mean of 1 / rank over all relevant items by the same name.)

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> mrr([0, 1, 1, 1, 0], [3, 2, 1, 9, 8], groups=[7, 7, 7, 8, 8])
    0.75
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_mrr(queries), empty)


def query_mrr(queries: Queries) -> Floats:
    """Reciprocal rank of each query."""
    first = queries.first()
    above, tied = queries.above[first], queries.tied[first]
    relevant = queries.relevant_tied[first]
    # The first relevant of `tied` items, `relevant` of which are, stands at place j
    # among them with probability C(tied - j, relevant - 1) / C(tied, relevant).
    places = np.minimum(queries.inside()[first], tied - relevant + 1)
    at = np.repeat(np.arange(len(first)), places)
    j = np.arange(len(at)) - np.repeat(np.cumsum(places) - places, places) + 1
    log_factorial = log_factorials(tied.max(initial=0))
    log_chance = (
        log_factorial[tied[at] - j]
        - log_factorial[tied[at] - j - relevant[at] + 1]
        + np.log(relevant[at])
        + log_factorial[(tied - relevant)[at]]
        - log_factorial[tied[at]]
    )
    terms = np.exp(log_chance) / (above[at] + j)
    found = sum_by(queries.query[first][at], terms, len(queries.num_relevant))
    return queries.ratio(found, np.ones_like(found))
