"""Lists of several interests, diverse in category."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_array, as_numbers
from recsys.feature._constraints import Integer, Number


def diversify(
    ids: ArrayLike, scores: ArrayLike, categories: ArrayLike, k: int, weight: float
) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Chooses items of several categories among the best (ComiRec, algorithm 1).

    One after the other, the item with the largest `score - weight * (chosen items of
    its category)`; of equal ones that with the larger score.

    Args:
        ids: Candidates of each user as `top_k` returns them, `(num_users, pool)`; -1
            is none.
        scores: Their scores, alike.
        categories: Category of each item id, `(num_items,)`.
        k: Items to choose, at most `pool`.
        weight: What each chosen item of its category costs an item, at least 0.

    Returns:
        Ids and scores, `(num_users, k)`, in the order of choice; id -1 and score -inf
        where a user has less than k candidates.

    Raises:
        ValueError: If shapes do not fit, a score is NaN, or a number is out of range.

    Example:
    >>> diversify([[5, 3, 4]], [[0.9, 0.8, 0.7]], [0, 0, 0, 1, 2, 1], 2, 0.15)
    (array([[5, 4]], dtype=int32), array([[0.9, 0.7]]))
    """
    scores = as_numbers("scores", scores)
    ids = as_numbers("ids", ids).astype(np.int32)
    categories = as_array("categories", categories)
    fits = ids.shape == scores.shape and ids.ndim == 2
    if not fits or not Integer(1, most=ids.shape[1]).accepts(k):
        raise ValueError(
            "ids and scores must have one shape (num_users, pool), pool at least k, an "
            "integer of at least 1. "
            f"Received: shapes {ids.shape} and {scores.shape}, k={k!r}"
        )
    if np.isnan(scores[ids >= 0]).any():
        raise ValueError(
            "scores must not be NaN. Received: NaN for ids "
            f"{np.unique(ids[(ids >= 0) & np.isnan(scores)])}"
        )
    if categories.shape[:1] <= (ids.max(initial=0),) or categories.ndim != 1:
        raise ValueError(
            f"categories must be one for each item id, up to {ids.max(initial=0)}. "
            f"Received: shape {categories.shape}"
        )
    if not Number(0).accepts(weight):
        raise ValueError(
            f"weight must be finite and at least 0. Received: weight={weight!r}"
        )
    of = categories[ids]
    value = np.where(ids < 0, -np.inf, scores).astype(np.float64)
    rows, chosen = np.arange(len(ids)), np.empty((len(ids), k), np.intp)
    left = np.empty(chosen.shape, bool)
    for place in range(k):
        best = value.argmax(axis=1)
        chosen[:, place] = best
        left[:, place] = value[rows, best] > -np.inf
        value -= weight * (of == of[rows, best][:, None])
        value[rows, best] = -np.inf
    return (
        np.where(left, np.take_along_axis(ids, chosen, axis=1), -1),
        np.where(left, np.take_along_axis(scores, chosen, axis=1), -np.inf),
    )
