"""How the places in recommended lists are shared out among the catalogue."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.lists import cut_lists


def exposure(
    ranked: ArrayLike, *, catalogue: ArrayLike, k: int | None = None
) -> NDArray[np.int64]:
    """How often each item is among the first k of a list, `(len(catalogue),)`.

    Args:
        ranked: Ids, best first, `(num_lists, length)`; -1 fills lists that are shorter.
        catalogue: All ids that could have been recommended, distinct.
        k: Where to cut the lists; `None` is nowhere.

    Raises:
        ValueError: If a list holds an id that is not in the catalogue, the catalogue
            holds one twice, or `ranked` is no array of lists.

    Example:
    >>> exposure([[5, 7], [5, -1]], catalogue=[5, 6, 7])
    array([2, 0, 1])
    """
    ids, items = cut_lists(ranked, k), np.asarray(catalogue)
    order = np.argsort(items)
    ordered = items[order]
    if (ordered[1:] == ordered[:-1]).any():
        raise ValueError("catalogue must not have an id twice.")
    shown = ids[ids >= 0]
    place = np.minimum(np.searchsorted(ordered, shown), len(items) - 1)
    if len(shown) and (not len(items) or (ordered[place] != shown).any()):
        raise ValueError("catalogue must have every id of ranked.")
    counts = np.zeros(len(items), np.int64)
    counts[order] = np.bincount(place, minlength=len(items))
    return counts


def coverage(ranked: ArrayLike, *, catalogue: ArrayLike, k: int | None = None) -> float:
    """Share of the catalogue that is recommended to anybody; see `exposure`.

    Example:
    >>> coverage([[5, 7], [5, -1]], catalogue=[5, 6, 7, 8])
    0.5
    """
    return coverage_of(exposure(ranked, catalogue=catalogue, k=k))


def coverage_of(counts: NDArray[np.int64]) -> float:
    """Share of counts above 0."""
    return float((counts > 0).mean()) if len(counts) else float("nan")


def gini(ranked: ArrayLike, *, catalogue: ArrayLike, k: int | None = None) -> float:
    r"""Inequality of exposure: 0 if all items get the same, near 1 if one gets all.

        \sum_r (2 r - n - 1) x_r / (n \sum x)

    over all n items in ascending order of exposure x, those never shown included; NaN
    if nothing is shown. See `exposure`.

    Example:
    >>> gini([[5, 7], [5, -1]], catalogue=[5, 6, 7])
    0.444...
    """
    return gini_of(exposure(ranked, catalogue=catalogue, k=k))


def gini_of(counts: NDArray[np.int64]) -> float:
    """Inequality of counts."""
    total, n = counts.sum(), len(counts)
    if not total:
        return float("nan")
    rank = 2.0 * np.arange(1, n + 1) - n - 1
    return float(rank @ np.sort(counts) / (n * total))


def exposure_entropy(
    ranked: ArrayLike, *, catalogue: ArrayLike, k: int | None = None
) -> float:
    r"""Entropy of exposure in bits, `-\sum q \log_2 q`; see `exposure`.

    NaN if nothing is shown.

    Example:
    >>> exposure_entropy([[5, 7], [7, 5]], catalogue=[5, 6, 7])
    1.0
    """
    return entropy_of(exposure(ranked, catalogue=catalogue, k=k))


def entropy_of(counts: NDArray[np.int64]) -> float:
    """Entropy of counts in bits."""
    if not counts.sum():
        return float("nan")
    share = counts[counts > 0] / counts.sum()
    return float(-(share @ np.log2(share))) + 0.0  # no -0.0
