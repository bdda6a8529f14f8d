"""Hit rate at k: how many queries get anything right."""

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def hit_rate(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
) -> float:
    """Share of the queries with a relevant item among the first k.

    It is recall only where each query has one relevant item. Also called success@k.

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.

    Returns:
        The mean over queries, in [0, 1]; NaN if all are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> hit_rate([1, 1, 0, 0, 1], [3, 2, 1, 9, 8], groups=[7, 7, 7, 8, 8], k=1)
    0.5
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_hit_rate(queries), empty)


def query_hit_rate(queries: Queries) -> Floats:
    """Chance of a hit of each query; only its first block of ties can be cut by k."""
    first = queries.first()
    tied, relevant = queries.tied[first], queries.relevant_tied[first]
    inside = queries.inside()[first]
    log_factorial = log_factorials(tied.max(initial=0))
    # C(irrelevant, inside) / C(tied, inside): all that are inside are irrelevant
    free = np.maximum(tied - relevant - inside, 0)
    log_miss = (
        log_factorial[tied - relevant]
        - log_factorial[free]
        - log_factorial[tied]
        + log_factorial[tied - inside]
    )
    hit = -np.expm1(log_miss)
    hit[tied - relevant < inside] = 1
    hits = np.zeros(len(queries.num_relevant))
    hits[queries.query[first]] = hit
    return queries.ratio(hits, np.ones_like(hits))


def log_factorials(largest: int) -> Floats:
    """Logarithms of 0!, 1!, ..., largest!."""
    terms: Floats = np.log(np.maximum(np.arange(largest + 1), 1))
    return np.cumsum(terms)
