"""Area under the ROC curve, exact."""

from numpy.typing import ArrayLike

from recsys.metrics.pairs import count_pairs
from recsys.metrics.scored import valid_rows


def auc(
    y_true: ArrayLike, y_score: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    r"""Probability that a positive row scores above a negative one, ties being 1/2.

        AUC = \sum_{i in P} w_i (W_0(s < s_i) + W_0(s = s_i) / 2) / (W_1 W_0)

    where `W_0(.)` is the weight of the negative rows that fit and `W_1` that of the
    positives P. Only the order of the scores matters. Prefer logits to probabilities:
    a float32 sigmoid is exactly 1 from logit 17 on, which makes ties.

    Args:
        y_true: Labels 0 or 1, `(num_rows,)`; NaN is missing, such rows do not count.
        y_score: Scores, `(num_rows,)`; infinite ones are allowed. float32 is fastest.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        The area, in [0, 1]; NaN if one of the classes has no row or no weight.

    Raises:
        ValueError: If a label is neither 0, 1 nor NaN, a score is NaN, a weight is
            negative, or the arguments differ in length.

    Example:
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75

    Reference:
        Hanley and McNeil, Radiology 1982, https://doi.org/10.1148/radiology.143.1.7063747
    """
    area = count_pairs(valid_rows(y_true, y_score, sample_weight)).auc()
    return float(area[0]) if len(area) else float("nan")
