"""F1 at k: precision and recall of a list in one number."""

from recsys.metrics.per_query import mean_over_queries
from recsys.metrics.queries import Floats, Queries


@mean_over_queries
def f1(queries: Queries) -> Floats:
    r"""Mean over queries of the harmonic mean of precision and recall at k.

        F1 = 2 P R / (P + R) = 2 hits / (k + |relevant|)

    `recsys.metrics.f1_score` is that of a threshold on the score.

    Example:
    >>> f1([1, 1, 0, 1], [3, 1, 2, 0], groups=[7, 7, 7, 7], k=2)
    0.4
    """
    return queries.ratio(2 * queries.hits(), queries.cut() + queries.num_relevant)
