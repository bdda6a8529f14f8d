"""Area under the ROC curve from histograms, with a bound on its error."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.codes import sum_by
from recsys.metrics.pairs import check_binary
from recsys.metrics.scored import valid_rows

LIMIT = 20.0
"""Logits beyond it on either side are in the outermost bins."""

BINS = 16384
"""Number of bins of equal width between."""


class BinnedArea(NamedTuple):
    """An area, and how far from it the exact one may be."""

    auc: float
    error: float


def binned_auc(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    bins: int = BINS,
) -> BinnedArea:
    r"""Area under the ROC curve, with logits in the same bin taken as ties.

        AUC   = \sum_b P_b (N_{<b} + N_b / 2) / (\sum P \sum N)
        error = \sum_b P_b N_b / 2 / (\sum P \sum N)

    where P_b and N_b are the weights of positives and negatives in bin b. Bins are of
    equal width in [-20, 20]; what is beyond is in the outermost ones.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        logits: Logits, `(num_rows,)`.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.
        bins: Number of bins.

    Returns:
        The area, and the bound on its error; NaN if a class has no weight.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a logit is NaN, a weight is
            negative, or the arguments differ in length.

    Example:
    >>> binned_auc([0, 0, 1, 1], [-2.0, 0.5, 0.4, 1.5])
    BinnedArea(auc=0.75, error=0.0)
    >>> binned_auc([0, 0, 1, 1], [-2.0, 0.5, 0.4, 1.5], bins=40)
    BinnedArea(auc=0.875, error=0.125)
    """
    rows = valid_rows(y_true, logits, sample_weight)
    positive = check_binary(rows.label)
    # float32, as on the other side of the streaming metric, lest edges differ
    scaled = (rows.score.astype(np.float32) + np.float32(LIMIT)) * np.float32(
        bins / (2 * LIMIT)
    )
    place = np.clip(scaled, 0, bins - 1).astype(np.intp)
    return area_of_bins(
        sum_by(place, rows.weight * positive, bins),
        sum_by(place, rows.weight * ~positive, bins),
    )


def area_of_bins(
    positives: NDArray[np.float64], negatives: NDArray[np.float64]
) -> BinnedArea:
    """Returns the area of two histograms, `(bins,)` each, in ascending order."""
    pairs = positives.sum() * negatives.sum()
    if not pairs:
        return BinnedArea(float("nan"), float("nan"))
    below = np.cumsum(negatives) - negatives / 2
    error = (positives @ negatives) / 2
    return BinnedArea(float(positives @ below / pairs), float(error / pairs))
