"""How many (positive, negative) pairs the scores put in the right order."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.codes import first_of_each, group_codes, score_codes
from recsys.metrics.scored import Scored


class Pairs(NamedTuple):
    """Pairs of one positive and one negative row; each array `(num_groups,)`.

    Groups are in ascending order. The weight of a pair is the product of the weights
    of its rows.
    """

    ordered: NDArray[
        np.float64
    ]  # weight of the pairs with the positive above; ties 1/2
    positives: NDArray[np.float64]  # weight of the positive rows
    negatives: NDArray[np.float64]  # weight of the negative rows

    def auc(self) -> NDArray[np.float64]:
        """Share of the pairs in the right order; NaN where there is no pair."""
        pairs = self.positives * self.negatives
        return np.divide(
            self.ordered, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0
        )


def check_binary(label: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns which labels are 1.

    Raises:
        ValueError: If one is neither 0 nor 1.
    """
    positive: NDArray[np.bool_] = label == 1
    if not (positive | (label == 0)).all():
        raise ValueError(
            "y_true must be 0 or 1, or NaN where it is missing. "
            f"Received: labels {np.unique(label)[:5]}"
        )
    return positive


def count_pairs(rows: Scored) -> Pairs:
    """Counts ordered pairs inside each group, with one sort of all rows.

    Group, score and label make one 64-bit key. Sorting keys is several times faster
    than `numpy.lexsort`, and rows of equal weight need no permutation at all.

    Args:
        rows: Labels 0 or 1; no group means one group.

    Raises:
        ValueError: If a label is neither 0 nor 1.
    """
    positive = check_binary(rows.label)
    if not len(positive):
        return Pairs(np.empty(0), np.empty(0), np.empty(0))

    key = score_codes(rows.score)
    key <<= 1
    key |= positive
    if rows.group is not None:
        key |= group_codes(rows.group) << 33
    key = key.view(np.uint64)  # the group fills the sign bit, too
    weight = rows.weight
    if weight.min() == weight.max():
        key.sort()
    else:
        order = np.argsort(key)
        key, weight = key[order], weight[order]

    of_positives = weight * (key & 1)
    of_negatives = weight - of_positives
    key >>= 1
    tie = first_of_each(key)  # rows of one group with one score
    p = np.add.reduceat(of_positives, tie)
    n = np.add.reduceat(of_negatives, tie)
    group = first_of_each(key[tie] >> 32)
    positives = np.add.reduceat(p, group)
    negatives = np.add.reduceat(n, group)

    # Negatives below each tie, half of the tie included. The sum starts at zero in each
    # group: differences of one long sum would cost small groups their precision.
    restart = n.copy()
    restart[group[1:]] -= negatives[:-1]
    below = np.cumsum(restart) - n / 2
    return Pairs(np.add.reduceat(p * below, group), positives, negatives)
