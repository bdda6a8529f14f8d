"""How popular what is recommended was in training."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.codes import sum_by
from recsys.metrics.lists import (
    check_integers,
    cut_lists,
    look_up,
    mean_of_defined,
    means_of_lists,
)

HEAD = 0.8
"""Share of all interactions that the head of the catalogue holds."""


def novelty(
    ranked: ArrayLike, *, counts: ArrayLike, k: int | None = None, reserved: int = 0
) -> float:
    r"""Mean over lists of the mean surprise of an item, in bits.

        -\log_2 p(i),    p(i) = (c_i + 1) / (\sum c + |I|)

    Args:
        ranked: Ids, best first, `(num_lists, length)`; -1 fills lists that are shorter.
        counts: How often each id was in training, `(num_ids,)`.
        k: Where to cut the lists; `None` is nowhere.
        reserved: Ids below it are no items: they are not among the |I|.

    Returns:
        The mean over lists that are not empty; NaN if all are.

    Raises:
        ValueError: If an id has no count, or `ranked` is no array of lists.

    Example:
    >>> novelty([[0, 1]], counts=[3, 3])
    1.0

    Reference:
        Castells et al., Recommender Systems Handbook 2015, chapter 26
    """
    return mean_of_defined(means_of(surprise(counts, reserved), ranked, k))


def means_of(
    values: ArrayLike, ranked: ArrayLike, k: int | None
) -> NDArray[np.float64]:
    """Mean of each list of what the counts say of its ids; NaN of an empty one."""
    ids = cut_lists(ranked, k)
    return means_of_lists(look_up("counts", values, ids), ids)


def surprise(counts: ArrayLike, reserved: int) -> NDArray[np.float64]:
    """Bits that each id is worth, `(num_ids,)`."""
    count = np.asarray(counts, np.float64)
    items = count[reserved:]
    bits: NDArray[np.float64] = np.log2(items.sum() + len(items)) - np.log2(count + 1)
    return bits


def average_popularity(
    ranked: ArrayLike, *, counts: ArrayLike, k: int | None = None
) -> float:
    """Mean over lists of the mean training count of an item (ARP).

    Arguments, errors and NaN as in `novelty`.

    Example:
    >>> average_popularity([[0, 1], [1, -1]], counts=[3, 5])
    4.5
    """
    return mean_of_defined(means_of(counts, ranked, k))


def long_tail_share(
    ranked: ArrayLike, *, counts: ArrayLike, k: int | None = None
) -> float:
    """Mean over lists of the share of items from the long tail (APLT).

    The head is the fewest items that hold 80 % of all interactions, of equals the
    smaller ids; the tail is the rest. Arguments, errors and NaN as in `novelty`.

    Example:
    >>> long_tail_share([[0, 1], [1, 2]], counts=[8, 1, 1])
    0.75

    Reference:
        Abdollahpouri et al., RMSE workshop 2019, https://arxiv.org/abs/1901.07555
    """
    return mean_of_defined(means_of(in_tail(counts), ranked, k))


def in_tail(counts: ArrayLike) -> NDArray[np.bool_]:
    """Which ids are outside the head, `(num_ids,)`."""
    count = np.asarray(counts, np.float64)
    order = np.argsort(-count, kind="stable")
    before = np.cumsum(count[order]) - count[order]
    tail = np.empty(len(count), bool)
    tail[order] = before >= HEAD * count.sum()
    return tail


def popularity_lift(
    ranked: ArrayLike,
    history: tuple[ArrayLike, ArrayLike],
    *,
    counts: ArrayLike,
    k: int | None = None,
) -> float:
    """How much more popular a list is than what its user chose: mean of the ratio - 1.

    Args:
        ranked: Ids, best first, `(num_users, length)`; -1 fills lists that are shorter.
        history: `(offsets, ids)`, the rows of a CSR matrix: what each user chose.
        counts: How often each id was in training, `(num_ids,)`.
        k: Where to cut the lists; `None` is nowhere.

    Returns:
        The mean over users with a list and a history of some popularity; NaN if there
        is none. 0 is a list as popular as the user's choices.

    Raises:
        ValueError: If an id has no count, or there are not as many histories as lists.

    Example:
    >>> popularity_lift([[0], [1]], ([0, 1, 2], [1, 1]), counts=[6, 3])
    0.5

    Reference:
        Abdollahpouri et al., RecSys 2020, https://arxiv.org/abs/2007.12230 (section 3)
    """
    return mean_of_defined(popularity_lifts(ranked, history, counts, k))


def popularity_lifts(
    ranked: ArrayLike,
    history: tuple[ArrayLike, ArrayLike],
    counts: ArrayLike,
    k: int | None,
) -> NDArray[np.float64]:
    """Lift of each list, `(num_users,)`; NaN where it is undefined."""
    ids = cut_lists(ranked, k)
    check_integers("ids of history", history[1])
    offsets, past = (np.asarray(each, np.int64) for each in history)
    if len(offsets) != len(ids) + 1 or offsets[-1] != len(past):
        raise ValueError(
            "history must be (offsets, ids), one history for each list. "
            f"Received: {len(offsets) - 1} histories of {len(past)} ids, "
            f"{len(ids)} lists"
        )
    user = np.repeat(np.arange(len(ids)), np.diff(offsets))
    chosen = sum_by(user, look_up("counts", counts, past), len(ids))
    chosen /= np.maximum(np.diff(offsets), 1)
    shown = means_of_lists(look_up("counts", counts, ids), ids)
    lift: NDArray[np.float64] = np.full(len(ids), np.nan)
    np.divide(shown, chosen, out=lift, where=chosen > 0)
    return lift - 1
