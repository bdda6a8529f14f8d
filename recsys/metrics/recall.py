"""Recall at k: the share of the relevant items that a list contains."""

from numpy.typing import ArrayLike

from recsys.metrics.relevance import Relevance, Relevant


def recall(relevant: Relevant, ranked: ArrayLike, *, k: int) -> float:
    """Mean over queries of (relevant items among the first k) / (relevant items).

    Args:
        relevant: `(offsets, ids)`, the rows of a CSR matrix: the relevant items of
            query q are `ids[offsets[q]:offsets[q + 1]]`, distinct ids of at least 0. A
            third array may hold grades; items of grade 0 are not relevant.
        ranked: Distinct ids, best first, `(num_queries, length)`, as from
            `recsys.retrieval.top_k`; -1 fills lists that are shorter.
        k: Where to cut the lists.

    Returns:
        The mean, in [0, 1], over the queries with a relevant item. The others are
        skipped: `(np.diff(offsets) == 0).sum()` of them if there are no grades. NaN if
        all are.

    Raises:
        ValueError: If the arguments do not fit together, or an id occurs twice.

    Example:
    >>> relevant = [0, 2, 2, 3], [10, 11, 30]  # of queries 0, 1 and 2; 1 has none
    >>> recall(relevant, [[11, 12], [20, 21], [30, -1]], k=2)
    0.75
    """
    judged = Relevance(relevant)
    hits = (judged.of(ranked, k) > 0).sum(axis=1)
    asked = judged.num_relevant > 0
    if not asked.any():
        return float("nan")
    return float((hits[asked] / judged.num_relevant[asked]).mean())
