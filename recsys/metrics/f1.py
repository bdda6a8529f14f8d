"""F1 at k: precision and recall of a list in one number."""

from numpy.typing import ArrayLike

from recsys.metrics.queries import Empty, Floats, Queries, Ties, judge
from recsys.metrics.relevance import Relevant


def f1(
    y_true: ArrayLike | Relevant,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    k: int | None = None,
    sample_weight: ArrayLike | None = None,
    ties: Ties = "expected",
    empty: Empty = "skip",
) -> float:
    r"""Mean over queries of the harmonic mean of precision and recall at k.

        F1 = 2 P R / (P + R) = 2 hits / (k + |relevant|)

    `recsys.metrics.f1_score` is that of a threshold on the score.

    Args:
        y_true, y_score, groups, k, sample_weight, ties: See `recsys.metrics.judge`.
        empty: Queries without a relevant item: `"skip"` them, or count them `"zero"`.

    Returns:
        The mean, in [0, 1]; NaN if all queries are skipped.

    Raises:
        ValueError: As `recsys.metrics.judge`, and if `empty` is unknown.

    Example:
    >>> f1([1, 1, 0, 1], [3, 1, 2, 0], groups=[7, 7, 7, 7], k=2)
    0.4
    """
    queries = judge(
        y_true, y_score, groups=groups, k=k, sample_weight=sample_weight, ties=ties
    )
    return queries.mean(query_f1(queries), empty)


def query_f1(queries: Queries) -> Floats:
    """F1 of each query."""
    return queries.ratio(2 * queries.hits(), queries.cut() + queries.num_relevant)
