"""How different from each other the items of a list are."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.codes import sum_by
from recsys.metrics.lists import cut_lists, look_up, mean_of_defined


def intra_list_distance(
    ranked: ArrayLike, *, vectors: ArrayLike, k: int | None = None
) -> float:
    r"""Mean over lists of the mean cosine distance of two of its items.

        2 / (m (m - 1)) \sum_{i<j} (1 - cos(v_i, v_j))

    Args:
        ranked: Ids, best first, `(num_lists, length)`; -1 fills lists that are shorter.
        vectors: Vector of each id, `(num_ids, dim)`. Items whose vector is zero have no
            direction: pairs with them are skipped.
        k: Where to cut the lists; `None` is nowhere.

    Returns:
        The mean, in [0, 2], over lists with a pair; NaN if there is none.

    Raises:
        ValueError: If an id has no vector, or `ranked` is no array of lists.

    Example:
    >>> intra_list_distance([[0, 1]], vectors=[[1.0, 0.0], [0.0, 2.0]])
    1.0
    """
    return mean_of_defined(cosine_distances(ranked, vectors, k))


def cosine_distances(
    ranked: ArrayLike, vectors: ArrayLike, k: int | None
) -> NDArray[np.float64]:
    """Mean distance in each list, `(num_lists,)`; NaN where there is no pair."""
    ids = cut_lists(ranked, k)
    unit = unit_vectors(look_up("vectors", vectors, ids), ids)
    # |sum of unit vectors|^2 holds each pair twice, and each vector with itself.
    known = np.square(unit).sum(axis=(1, 2)).round()
    together = np.square(unit.sum(axis=1)).sum(axis=1) - known
    return 1 - _per_pair(together, known * (known - 1))


def unit_vectors(
    vectors: NDArray[np.floating], ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Scales to length 1; zero where there is no id or no direction."""
    vectors = vectors.astype(np.float64) * (ids >= 0)[..., None]
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length == 0, 1, length)


def category_distance(
    ranked: ArrayLike, *, categories: ArrayLike, k: int | None = None
) -> float:
    r"""Mean over lists of the share of its pairs that are of different categories.

    Args:
        ranked: Ids, best first, `(num_lists, length)`; -1 fills lists that are shorter.
        categories: Category of each id, `(num_ids,)`.
        k: Where to cut the lists; `None` is nowhere.

    Returns:
        The mean, in [0, 1], over lists with two items or more; NaN if there is none.

    Raises:
        ValueError: If an id has no category, or `ranked` is no array of lists.

    Example:
    >>> category_distance([[0, 1, 2]], categories=[7, 7, 8])
    0.666...
    """
    return mean_of_defined(category_distances(ranked, categories, k))


def category_distances(
    ranked: ArrayLike, categories: ArrayLike, k: int | None
) -> NDArray[np.float64]:
    """Share of different pairs in each list, `(num_lists,)`; NaN if it has none."""
    ids = cut_lists(ranked, k)
    code = np.unique(np.asarray(categories), return_inverse=True)[1]
    mine = look_up("categories", code, ids)
    row, column = np.nonzero(ids >= 0)
    width = code.max(initial=0) + 1
    key, count = np.unique(row * width + mine[row, column], return_counts=True)
    same = sum_by(key // width, count * (count - 1), len(ids))
    length = (ids >= 0).sum(axis=1)
    return 1 - _per_pair(same, length * (length - 1))


def _per_pair(total: NDArray[Any], pairs: NDArray[Any]) -> NDArray[np.float64]:
    mean = np.full(len(pairs), np.nan)
    np.divide(total, pairs, out=mean, where=pairs > 0)
    return mean
