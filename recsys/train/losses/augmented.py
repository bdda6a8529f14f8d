"""Cross-entropy of several predictions of each row."""

from typing import Any

from keras import ops

from recsys.feature._constraints import OneOf, check
from recsys.saving import saved
from recsys.train.losses.pointwise import RowLoss, cross_entropy
from recsys.types import Tensor


@saved
class AugmentedBinaryCrossentropy(RowLoss):
    """Cross-entropy of several predictions of each row, averaged over them.

    The auxiliary loss of AdaF2M2; a model that has it applies it by itself.

    Args:
        reduction_copies: `"mean"` over the copies of a row, or `"sum"`, with which the
            loss grows with their number (version 1).
        reduction, name, **kwargs: Arguments of `keras.losses.Loss`.
    Call arguments:
        y_true: Labels, `(batch, 1)`.
        y_pred: Logits of the copies, `(batch * num_sample, 1)`; the copies of a row are
            together.
    Raises:
        ValueError: If `reduction_copies` is neither.
    Example:
    >>> loss = AugmentedBinaryCrossentropy()
    >>> round(float(loss(np.array([1, 0]), np.float32([0, 0, 9, 9]))), 3)
    4.847

    Reference:
        AdaF2M2, DASFAA 2025, https://arxiv.org/abs/2501.15816
    """

    one_logit = False

    _constraints = {"reduction_copies": OneOf(("mean", "sum"))}

    def __init__(
        self,
        reduction_copies: str = "mean",
        reduction: str = "sum_over_batch_size",
        name: str = "augmented_binary_crossentropy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.reduction_copies = reduction_copies
        check(self)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        logits = ops.reshape(y_pred, (ops.shape(y_true)[0], -1))  # (batch, num_sample)
        losses = cross_entropy(ops.reshape(y_true, (-1, 1)), logits)
        reduce = ops.mean if self.reduction_copies == "mean" else ops.sum
        return reduce(losses, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reduction_copies": self.reduction_copies}
