"""Mean reciprocal rank of the first relevant item."""

import numpy as np

from recsys.metrics.codes import sum_by
from recsys.metrics.hit_rate import log_factorials
from recsys.metrics.per_query import mean_over_queries
from recsys.metrics.queries import Floats, Queries


@mean_over_queries
def mrr(queries: Queries) -> Floats:
    """Mean over queries of 1 / (rank of the first relevant item).

    A query whose first relevant item is not among the first k has 0. (The MIND news
    data set calls the mean of 1 / rank over all relevant items by the same name.)

    Example:
    >>> mrr([0, 1, 1, 1, 0], [3, 2, 1, 9, 8], groups=[7, 7, 7, 8, 8])
    0.75
    """
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
