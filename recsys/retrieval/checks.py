"""What must hold of scores, vectors and exclusions."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.feature._arrays import as_numbers
from recsys.feature._constraints import Integer


def check_excluded(
    exclude: tuple[ArrayLike, ArrayLike] | None, num_users: int, num_items: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns `exclude` of `top_k` as arrays; `None` is nothing for anybody.

    Raises:
        ValueError: If it is no CSR matrix of as many users, or an id is no item.
    """
    if exclude is None:
        return np.zeros(num_users + 1, np.intp), np.empty(0, np.intp)
    if not isinstance(exclude, (tuple, list)) or len(exclude) != 2:
        raise ValueError(
            f"exclude must be (offsets, ids), two arrays. Received: {exclude!r}"
        )
    parts = [as_numbers("offsets and ids of exclude", part) for part in exclude]
    if any(part.ndim != 1 for part in parts):
        raise ValueError(
            "exclude must be (offsets, ids), arrays of one axis. "
            f"Received: shapes {[part.shape for part in parts]}"
        )
    if any(part.size and part.dtype.kind not in "iu" for part in parts):
        raise ValueError(
            "exclude must be (offsets, ids), both integers. "
            f"Received: dtypes {[str(part.dtype) for part in parts]}"
        )
    offsets, ids = (part.astype(np.intp) for part in parts)
    if (
        offsets.shape != (num_users + 1,)
        or offsets[0] != 0
        or offsets[-1] != len(ids)
        or (np.diff(offsets) < 0).any()
    ):
        raise ValueError(
            f"exclude must be (offsets, ids), where {num_users + 1} offsets rise from "
            f"0 to the number of ids. Received: offsets {offsets}, {len(ids)} ids"
        )
    if len(ids) and (ids.min() < 0 or ids.max() >= num_items):
        raise ValueError(
            f"Excluded ids must be in [0, {num_items}), rows of items. "
            f"Received: {ids.min()} to {ids.max()}"
        )
    return offsets, ids


def check_numbers(k: int, reserved: int) -> None:
    if not Integer(1).accepts(k) or not Integer(0).accepts(reserved):
        raise ValueError(
            "k must be an integer of at least 1 and reserved one of at least 0. "
            f"Received: k={k!r}, reserved={reserved!r}"
        )


def check_finite(name: str, vectors: NDArray[Any]) -> None:
    # Unlike isfinite(vectors).all(), this allocates nothing; NaN is the least of all.
    if vectors.size and not np.isfinite((vectors.min(), vectors.max())).all():
        raise ValueError(f"{name} must be finite. Received: NaN or infinite values")
