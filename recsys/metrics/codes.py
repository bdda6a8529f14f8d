"""Integers that sort as scores and groups do, so that one sort orders rows by both."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def score_codes(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Integers in `[0, 2**32)` of the same order."""
    if scores.dtype != np.float32:
        return _ranks(scores)
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
    bits ^= (bits >> 31) & 0x7FFFFFFF  # negative floats are ordered by magnitude
    return bits.astype(np.int64) + 2**31


def group_codes(groups: NDArray[Any]) -> NDArray[np.int64]:
    """Integers in `[0, 2**31)` of the same order."""
    if groups.dtype.kind not in "iu" or int(groups.max()) - int(groups.min()) >= 2**31:
        return _ranks(groups)
    # Unsigned, because a difference of int8 or of large uint64 may not be one itself.
    codes: NDArray[np.uint64] = groups.astype(np.uint64)
    codes -= groups.min().astype(np.uint64)
    return codes.view(np.int64)


def _ranks(values: NDArray[Any]) -> NDArray[np.int64]:
    ranks: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return ranks


def first_of_each(ordered: NDArray[Any]) -> NDArray[np.intp]:
    """Index of the first of each run of equal values."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return np.flatnonzero(first)


def sum_by(
    place: NDArray[np.intp], values: NDArray[Any], size: int
) -> NDArray[np.float64]:
    """Sums the values of each place, `(size,)`."""
    sums: NDArray[np.float64] = np.bincount(place, values, size).astype(np.float64)
    return sums
