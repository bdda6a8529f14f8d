"""Normalized entropy: log loss relative to that of a constant."""

import math

import numpy as np
from numpy.typing import ArrayLike

from recsys.metrics.log_loss import log_loss
from recsys.metrics.probability import check_unit_interval
from recsys.metrics.scored import valid_rows


def normalized_entropy(
    y_true: ArrayLike,
    y_prob: ArrayLike | None = None,
    *,
    logits: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    prior: float | None = None,
) -> float:
    r"""Log loss over that of the best constant prediction.

        NE = LogLoss / H(b),    H(b) = -b \ln b - (1 - b) \ln(1 - b)

    where b is the weighted mean of the labels. Below 1 a model knows more than the base
    rate, which has 1 exactly. The relative information gain is 1 - NE.

    Args:
        y_true, y_prob, logits, sample_weight: See `recsys.metrics.log_loss`.
        prior: Base rate b, e.g. that of the training data, in (0, 1). The default is
            that of the rows. With a prior the denominator is still the entropy H(b).

    Returns:
        The ratio; NaN if no row counts or the base rate is 0 or 1.

    Raises:
        ValueError: As `recsys.metrics.log_loss`, and if `prior` is outside (0, 1).

    Example:
    >>> normalized_entropy([1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25])
    1.0
    >>> normalized_entropy([1, 0, 0, 0], [0.7, 0.1, 0.1, 0.1])
    0.299...

    Reference:
        He et al., ADKDD 2014, https://doi.org/10.1145/2648584.2648589
    """
    loss = log_loss(y_true, y_prob, logits=logits, sample_weight=sample_weight)
    if prior is None:
        label, _, weight, _ = valid_rows(y_true, y_true, sample_weight)
        if not len(label):
            return float("nan")
        prior = float(np.average(label, weights=weight))
    elif not 0 < prior < 1:
        raise ValueError(f"prior must be in (0, 1). Received: prior={prior!r}")
    return relative_to_entropy(loss, prior)


def relative_to_entropy(loss: float, prior: float) -> float:
    """Divides a log loss by the entropy of a base rate; NaN if that is 0."""
    check_unit_interval("the base rate", np.array([prior]))
    if prior in (0, 1):
        return float("nan")
    entropy = -(prior * math.log(prior) + (1 - prior) * math.log1p(-prior))
    return loss / entropy
