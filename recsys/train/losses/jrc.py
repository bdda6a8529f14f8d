"""Joint optimisation of ranking and calibration."""

from typing import Any

from keras import ops

from recsys.feature._constraints import Flag, Number, check
from recsys.saving import saved
from recsys.train.losses.joint import JointLoss, Terms, log_sum_exp
from recsys.types import Tensor


@saved
class JRCLoss(JointLoss):
    r"""Two logits: their difference calibrates, each of them ranks its class (JRC).

        a CE(y, \sigma(f_1 - f_0))  -  (1 - a) \log( e^{f_y(x)} / \sum_j e^{f_y(x_j)} )

    The sum is over the rows j of the context, of both labels: a click competes in f_1
    with all that was shown, and what was not clicked in f_0. A row alone in its context
    has only the first part. Prediction is `\sigma(f_1 - f_0)`, the second of the two
    outputs of a softmax: `Task("ctr", "multiclass", num_classes=2)`.

    Args:
        alpha: a, in [0, 1]. At 1 it is cross-entropy.
        group: Column of `x` that tells the context of a row, such as the session.
            Default: the batch is one context.
        exclude_same_label: Whether other rows with the row's own label leave the sum.
        reduction, name, **kwargs: Arguments of `JointLoss`.
    Call arguments:
        y_true: Labels 0 or 1, `(batch, 1)`.
        y_pred: Logits f_0, f_1, `(batch, 2)`.
    Raises:
        ValueError: If `alpha` is outside [0, 1].
    Example:
    >>> loss = JRCLoss()
    >>> round(float(loss([1, 0], np.zeros((2, 2)))), 4)
    0.6931

    Reference:
        Sheng et al., KDD 2023, https://arxiv.org/abs/2208.06164, eq. 9-12
    """

    width = 2

    _constraints = {"alpha": Number(0, most=1), "exclude_same_label": Flag()}

    def __init__(
        self,
        alpha: float = 0.5,
        group: str | None = None,
        exclude_same_label: bool = False,
        reduction: str = "sum_over_batch_size",
        name: str = "jrc_loss",
        **kwargs: Any,
    ) -> None:
        super().__init__(group, reduction, name=name, **kwargs)
        self.alpha = alpha
        self.exclude_same_label = exclude_same_label
        check(self)

    def terms(self, y: Tensor, z: Tensor, weight: Tensor, segment: Tensor) -> Terms:
        valid, clicked = weight > 0, y > 0.5
        no_click, click = z[:, 0], z[:, 1]
        own = ops.where(clicked, click, no_click)
        calibration = ops.softplus(ops.where(clicked, no_click, click) - own)
        if self.exclude_same_label:
            others = ops.where(
                clicked,
                log_sum_exp(click, valid & ~clicked, segment),
                log_sum_exp(no_click, valid & clicked, segment),
            )
            context = ops.logaddexp(own, others)
        else:
            context = ops.where(
                clicked,
                log_sum_exp(click, valid, segment),
                log_sum_exp(no_click, valid, segment),
            )
        ranking = ops.where(valid, context - own, 0.0)
        losses = weight * (self.alpha * calibration + (1 - self.alpha) * ranking)
        return Terms(losses, weight, ops.cast(valid, z.dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "exclude_same_label": self.exclude_same_label,
        }
