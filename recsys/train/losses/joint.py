"""The base of losses that hold the rows of a batch against each other."""

from typing import Any, NamedTuple

import keras
from keras import ops

from recsys.layers.kept import Kept
from recsys.layers.matching.match_loss import IMPOSSIBLE
from recsys.layers.row_means import weights_of_rows
from recsys.types import Tensor, TensorLike


class Terms(NamedTuple):
    """What the rows of a batch contribute to a loss, `(batch,)` each."""

    losses: Tensor  # weighted
    weights: Tensor  # what the losses were multiplied with
    counts: Tensor  # how many losses there are, fractions allowed


class JointLoss(keras.losses.Loss):
    """A loss in which a row means something only beside others.

    The mean is over what is compared (pairs, lists), not over the batch; nothing to
    compare is a loss of 0. A row of weight 0, as one without label, is not there.

    Args:
        group: Column of `x` whose rows of equal values are compared with each other,
            integers. Default: the whole batch. `recsys.train.Model` passes it.
        reduction: `"sum_over_batch_size"` (or `"mean"`), the mean of weight times loss;
            `"sum"`; `"mean_with_sample_weight"`, divided by the weights; `"none"`, what
            each row adds to the sum.
        name, **kwargs: Arguments of `keras.losses.Loss`.
    Attributes:
        from_logits: True: `recsys.train.Model` passes logits. It passes the weights of
            rows as they are, and 0 where the label is missing.
    """

    from_logits = True
    width = 1

    def __init__(
        self,
        group: str | None = None,
        reduction: str = "sum_over_batch_size",
        *,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.group = group
        self.kept = Kept()  # the groups of the step

    def __call__(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
        groups: TensorLike | None = None,
    ) -> Tensor:
        """Returns the loss of a batch.

        Args:
            y_true: Labels, `(batch,)` or `(batch, 1)`, of any numeric dtype.
            y_pred: Logits, alike; `(batch, width)` where the loss takes several.
            sample_weight: Weights of at least 0, `(batch,)` or `(batch, 1)`, or one for
                all rows.
            groups: Integers, `(batch,)` or `(batch, 1)`, where the loss has a `group`.

        Raises:
            ValueError: If an argument has another shape, or groups are missing.
        """
        z = ops.convert_to_tensor(y_pred)
        z = ops.cast(z, self.dtype)
        if len(z.shape) == 1:
            z = ops.expand_dims(z, -1)
        if len(z.shape) != 2 or z.shape[-1] != self.width:
            raise ValueError(
                f"Loss {self.name!r} takes logits of shape (batch, {self.width}). "
                f"Received: shape {tuple(z.shape)}"
            )
        y = ops.cast(ops.reshape(ops.convert_to_tensor(y_true), (-1,)), self.dtype)
        if sample_weight is None:
            weight = ops.ones_like(y)
        else:
            weight = weights_of_rows(sample_weight, ops.shape(y)[0], self.dtype)
        segment = self._segments(groups, ops.shape(y)[0])
        z = z[:, 0] if self.width == 1 else z
        return self.reduced(self.terms(y, z, weight, segment))

    def terms(self, y: Tensor, z: Tensor, weight: Tensor, segment: Tensor) -> Terms:
        """Returns the losses of rows.

        Args:
            y: Labels, `(batch,)`.
            z: Logits, `(batch,)`, or `(batch, width)` if they are several.
            weight: `(batch,)`.
            segment: Number of each row's group, in [0, batch), `(batch,)`.
        """
        raise NotImplementedError

    def reduced(self, terms: Terms) -> Tensor:
        """Returns the loss of a batch."""
        if self.reduction in (None, "none"):
            return terms.losses
        total = ops.sum(terms.losses)
        if self.reduction == "sum":
            return total
        weighted = self.reduction == "mean_with_sample_weight"
        count = ops.sum(terms.weights if weighted else terms.counts)
        mean: Tensor = per_replica(total / ops.where(count > 0, count, 1.0))
        return mean

    def _segments(self, groups: TensorLike | None, rows: int) -> Tensor:
        kept = self.kept.take()
        if self.group is None and groups is None:
            return ops.zeros((rows,), "int32")
        if groups is None and not kept:
            raise ValueError(
                f"Loss {self.name!r} needs the group of each row, groups=x"
                f"[{self.group!r}]. recsys.train.Model passes it, a plain keras.Model "
                "does not."
            )
        groups = ops.reshape(kept[-1] if groups is None else groups, (-1,))
        order = ops.argsort(groups)
        ordered = ops.take(groups, order)
        new = ops.cast(ordered[1:] != ordered[:-1], "int32")
        number = ops.cumsum(ops.concatenate([ops.zeros((1,), "int32"), new]))
        return ops.take(number, ops.argsort(order))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "group": self.group}


def log_sum_exp(z: Tensor, valid: Tensor, segment: Tensor) -> Tensor:
    """Returns, for each row, `log sum exp z` over the valid rows of its segment.

    Where there is none it is very low, so that `logaddexp` with anything is that.

    Args:
        z: `(batch,)`, as the others.
        valid: Which rows count, bool.
        segment: Numbers in [0, batch).
    """
    rows = ops.shape(z)[0]
    low = ops.cast(IMPOSSIBLE, z.dtype)
    z = ops.where(valid, z, low)
    top = ops.stop_gradient(ops.segment_max(z, segment, rows))
    top = ops.maximum(ops.take(top, segment), low)
    terms = ops.where(valid, ops.exp(z - top), 0.0)
    total = ops.take(ops.segment_sum(terms, segment, rows), segment)
    return ops.where(total > 0, top + ops.log(ops.where(total > 0, total, 1.0)), low)


def per_replica(loss: Any) -> Any:
    """Replicas add up their losses; Keras' own are scaled the same way."""
    if keras.backend.backend() != "tensorflow":
        return loss
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return loss / replicas if replicas > 1 else loss
