"""Logarithmic loss: binary cross-entropy as a metric."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.metrics.probability import check_unit_interval
from recsys.metrics.scored import valid_rows


def log_loss(
    y_true: ArrayLike,
    y_prob: ArrayLike | None = None,
    *,
    logits: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Mean negative log-likelihood of the labels.

        - \sum w (y \ln p + (1 - y) \ln(1 - p)) / \sum w    with p = sigmoid(z)

    From logits z it is exact: `softplus(z) - y z`. Probabilities are first clipped to
    `[e, 1 - e]`, e being the machine epsilon of their dtype (1.2e-7 for float32,
    2.2e-16 for float64), as scikit-learn does.

    Args:
        y_true: Labels in [0, 1], `(num_rows,)`, soft ones allowed; NaN is missing, such
            rows do not count.
        y_prob: Probabilities, `(num_rows,)`. Give these or `logits`.
        logits: Logits, `(num_rows,)`, finite.
        sample_weight: Weights of at least 0, `(num_rows,)`, or one for all.

    Returns:
        The mean in nats; NaN if no row counts.

    Raises:
        ValueError: If both or none of `y_prob` and `logits` are given, a label or a
            probability is outside [0, 1], a score is NaN, a logit is infinite, a weight
            is negative, or the arguments differ in length.

    Example:
    >>> log_loss([1, 0], [0.8, 0.5])
    0.458...
    >>> log_loss([1, 0], logits=[100.0, -100.0])
    3.7...e-44
    """
    scores = [given for given in (y_prob, logits) if given is not None]
    if len(scores) != 1:
        raise ValueError("log_loss takes either y_prob or logits.")
    label, score, weight, _ = valid_rows(y_true, scores[0], sample_weight)
    if not len(label):
        return float("nan")
    y = label.astype(np.float64)
    check_unit_interval("y_true", y)
    if y_prob is None:
        z = score.astype(np.float64)
        if np.isinf(z).any():
            raise ValueError("logits must be finite.")
        loss = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    else:
        loss = losses_of_probabilities(y, score)
    return float(np.average(loss, weights=weight))


def losses_of_probabilities(
    y: NDArray[np.float64], score: NDArray[Any]
) -> NDArray[np.float64]:
    """Returns the loss of each row; probabilities are clipped as in `log_loss`.

    Raises:
        ValueError: If a probability is outside [0, 1].
    """
    p = score if score.dtype.kind == "f" else score.astype(np.float64)
    check_unit_interval("y_prob", p, "; logits have an argument of their own")
    epsilon = float(np.finfo(p.dtype).eps)
    p = np.clip(p.astype(np.float64), epsilon, 1 - epsilon)
    loss: NDArray[np.float64] = -(y * np.log(p) + (1 - y) * np.log1p(-p))
    return loss
