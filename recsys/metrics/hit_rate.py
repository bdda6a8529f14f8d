"""Hit rate at k: how many queries get anything right."""

import numpy as np

from recsys.metrics.per_query import mean_over_queries
from recsys.metrics.queries import Floats, Queries


@mean_over_queries
def hit_rate(queries: Queries) -> Floats:
    """Share of the queries with a relevant item among the first k.

    It is recall only where each query has one relevant item. Also called success@k.

    Example:
    >>> hit_rate([1, 1, 0, 0, 1], [3, 2, 1, 9, 8], groups=[7, 7, 7, 8, 8], k=1)
    0.5
    """
    first = queries.first()  # only this block of ties can be cut by k
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
