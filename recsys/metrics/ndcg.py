"""Normalized discounted cumulative gain at k."""

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.relevance import Relevance, Relevant

Gain = Literal["exp2", "linear"]


def ndcg(
    relevant: Relevant, ranked: ArrayLike, *, k: int, gain: Gain = "exp2"
) -> float:
    r"""Mean over queries of the gain of a list, relative to the best list there is.

        NDCG = DCG / IDCG,    DCG = \sum_{j=1}^k gain(grade_j) / \log_2(j + 1)

    IDCG is the DCG of the best k of all relevant items, retrieved or not.

    Args:
        relevant: `(offsets, ids)` or `(offsets, ids, grades)`, as in `recall`. Grades
            default to 1.
        ranked: Distinct ids, best first, `(num_queries, length)`; -1 fills lists that
            are shorter.
        k: Where to cut the lists.
        gain: `"exp2"`, `2^grade - 1`, or `"linear"`, the grade. Equal for grades 0, 1.

    Returns:
        The mean, in [0, 1], over the queries with a relevant item; the others are
        skipped. NaN if all are.

    Raises:
        ValueError: If the arguments do not fit together, an id occurs twice, or `gain`
            is unknown.

    Example:
    >>> relevant = [0, 2], [1, 2], [2, 1]  # grade 2 for item 1, grade 1 for item 2
    >>> ndcg(relevant, [[3, 1, 2]], k=3)
    0.659...

    Reference:
        Järvelin and Kekäläinen, TOIS 2002, https://doi.org/10.1145/582415.582418;
        Burges et al., ICML 2005, https://doi.org/10.1145/1102351.1102363 (`"exp2"`)
    """
    if gain not in get_args(Gain):
        raise ValueError(
            f"gain must be one of {get_args(Gain)}. Received: gain={gain!r}"
        )
    judged = Relevance(relevant)
    reached, best = _dcg(judged.of(ranked, k), gain), _dcg(judged.ideal(k), gain)
    asked = judged.num_relevant > 0
    if not asked.any():
        return float("nan")
    return float((reached[asked] / best[asked]).mean())


def _dcg(grades: NDArray[np.float64], gain: Gain) -> NDArray[np.float64]:
    gains = np.exp2(grades) - 1 if gain == "exp2" else grades
    rank = np.arange(1, grades.shape[1] + 1)
    dcg: NDArray[np.float64] = gains @ (1 / np.log2(rank + 1))
    return dcg
