"""Lists of recommended ids, and what is known of the ids."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_array
from recsys.feature._constraints import Integer, Maybe


def check_k(k: int | None, who: str = "") -> None:
    """Raises `ValueError` if lists cannot be cut at k; `None` is nowhere."""
    allowed = Maybe(Integer(1))
    if not allowed.accepts(k):
        raise ValueError(f"{who}k must be {allowed.wanted}. Received: k={k!r}")


def check_integers(name: str, ids: ArrayLike) -> None:
    """Raises `ValueError` if ids are anything but integers."""
    array = as_array(name, ids)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers. Received: dtype {array.dtype}")


def cut_lists(ranked: ArrayLike, k: int | None) -> NDArray[np.int64]:
    """Returns the first k ids of each list, `(num_lists, k)`; -1 is no id.

    Raises:
        ValueError: If `ranked` is no array of lists of integers, a list has an id
            twice, an id is less than -1, or k is no integer of at least 1.
    """
    ids = as_array("ranked", ranked)
    if ids.ndim != 2 or (ids.size and ids.dtype.kind not in "iu"):
        raise ValueError(
            "ranked must have shape (num_lists, length) and hold integers. "
            f"Received: shape {ids.shape}, dtype {ids.dtype}"
        )
    check_k(k)
    if ids.min(initial=0) < -1:
        raise ValueError(
            "ranked must hold ids of at least 0, and -1 for none. "
            f"Received: {ids.min()}"
        )
    ids = ids.astype(np.int64)
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        row, place = np.argwhere(twice)[0]
        raise ValueError(
            "ranked must not have an id twice in one list. "
            f"Received: id {ordered[row, place]} in list {row}"
        )
    return ids[:, :k]


def look_up(name: str, table: ArrayLike, ids: NDArray[np.int64]) -> NDArray[Any]:
    """Returns the rows of a table that ids name; those of negative ids mean nothing.

    Raises:
        ValueError: If an id is beyond the table.
    """
    values = np.asarray(table)
    if ids.max(initial=-1) >= len(values):
        raise ValueError(
            f"{name} must have a row for each id. "
            f"Received: {len(values)} rows and id {ids.max()}"
        )
    if not len(values):
        values = np.zeros((1, *values.shape[1:]), values.dtype)
    rows: NDArray[Any] = values[np.maximum(ids, 0)]
    return rows


def means_of_lists(values: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[Any]:
    """Mean over the ids of each list, `(num_lists,)`; NaN of an empty one."""
    present = ids >= 0
    length = present.sum(axis=1)
    means: NDArray[Any] = np.full(len(ids), np.nan)
    total = np.where(present, values, 0).sum(axis=1)
    np.divide(total, length, out=means, where=length > 0)
    return means


def mean_of_defined(values: NDArray[Any]) -> float:
    """Mean over lists; NaN ones are skipped."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")
