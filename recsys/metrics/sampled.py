"""What a top-k metric becomes if only a sample of the items is ranked.

Metrics on a sample of negatives are biased and may put two models in the wrong order
(Krichene and Rendle, KDD 2020). Rank the whole catalogue; where that cannot be, name
what was done, as in NDCG@10(m=100), and compare only equal samples.
"""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.hit_rate import log_factorials
from recsys.metrics.lists import check_k

OfRank = Literal["hit_rate", "ndcg", "mrr"]


def expected_sampled(
    metric: OfRank,
    rank: ArrayLike,
    *,
    num_items: int,
    num_negatives: int,
    k: int,
) -> NDArray[np.float64]:
    r"""Expected value of a metric of one relevant item against sampled negatives.

    With rank r among n items, its rank among m negatives that are drawn uniformly with
    replacement is 1 + Binomial(m, (r - 1) / (n - 1)).

    Args:
        metric: `"hit_rate"`, `"ndcg"` or `"mrr"`.
        rank: Rank of the item in the whole catalogue, from 1, `(num_queries,)`.
        num_items: Items in the catalogue, n.
        num_negatives: Negatives drawn for each query, m.
        k: Where the sampled list is cut.

    Returns:
        The expectation of each query, `(num_queries,)`.

    Raises:
        ValueError: If a rank is not in [1, num_items], `metric` is unknown, or k is no
            integer of at least 1.

    Example:
    >>> expected_sampled("hit_rate", [1, 51], num_items=101, num_negatives=1, k=1)
    array([1. , 0.5])
    """
    check_k(k)
    r = np.asarray(rank, np.float64)
    if metric not in get_args(OfRank) or not ((1 <= r) & (r <= num_items)).all():
        raise ValueError(
            f"metric must be one of {get_args(OfRank)} and ranks in [1, {num_items}]. "
            f"Received: metric={metric!r}, ranks {r}"
        )
    above = np.arange(min(k, num_negatives + 1))
    factorial = log_factorials(num_negatives)
    ways = factorial[-1] - factorial[above] - factorial[num_negatives - above]
    share = ((r - 1) / max(num_items - 1, 1))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        log_chance = ways + _times(above, np.log(share))
        log_chance += _times(num_negatives - above, np.log1p(-share))
    value = {
        "hit_rate": np.ones(len(above)),
        "ndcg": math.log(2) / np.log(above + 2.0),
        "mrr": 1 / (above + 1.0),
    }[metric]
    expected: NDArray[np.float64] = np.exp(log_chance) @ value
    return expected


def estimated_rank(
    sampled_rank: ArrayLike, *, num_items: ArrayLike, num_negatives: int
) -> NDArray[np.float64]:
    """Unbiased estimate of a rank in the catalogue from one among sampled negatives.

    Args:
        sampled_rank: Rank of an item among `num_negatives` negatives that were drawn
            uniformly, from 1. Where they were drawn by popularity it means nothing.
        num_items: Items in the catalogue, one number or one for each query.
        num_negatives: Negatives drawn for each query.

    Example:
    >>> estimated_rank([1, 11], num_items=1001, num_negatives=100)
    array([  1., 101.])
    """
    above = np.asarray(sampled_rank, np.float64) - 1
    return 1 + (np.asarray(num_items) - 1) * above / num_negatives


def _times(count: NDArray[np.intp], log: NDArray[np.float64]) -> NDArray[np.float64]:
    """Count times a logarithm; 0 log 0 is 0."""
    return np.where(count == 0, 0.0, count * log)
