"""Precision at k: the share of a list that is relevant."""

from recsys.metrics.per_query import mean_over_queries
from recsys.metrics.queries import Floats, Queries


@mean_over_queries
def precision(queries: Queries) -> Floats:
    """Mean over queries of (relevant items among the first k) / k.

    The divisor is k for shorter lists too, as in trec_eval; without k it is the length
    of the list.

    Example:
    >>> precision([1, 1, 0], [3, 1, 2], groups=[7, 7, 7], k=2)
    0.5
    """
    return queries.ratio(queries.hits(), queries.cut())
