"""What all losses of match models have in common."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.losses import LossLayer
from recsys.types import Shape, Tensor, Weights

IMPOSSIBLE = -1e30
"""Logit of what cannot be; `exp` of it is 0 in float32 and bfloat16 alike."""


def softmax_loss(
    positive: Tensor, negative: Tensor, masked: Tensor, hardest: int | None = None
) -> Tensor:
    """Returns `-log softmax` of the positive among itself and negatives, `(rows,)`.

    Args:
        positive: Logits, `(rows,)`.
        negative: Logits, `(rows, any)`.
        masked: Which negatives do not count, alike, bool.
        hardest: How many of the highest negatives count. Default: all.
    """
    negative = ops.where(masked, IMPOSSIBLE, negative)
    if hardest is not None:
        negative = ops.top_k(negative, hardest)[0]
    return ops.softplus(ops.logsumexp(negative, axis=1) - positive)


def there_before(ids: Tensor) -> Tensor:
    """Which ids are in the list twice, all but one of each, `(n,)`, bool."""
    order = ops.argsort(ids)
    ordered = ops.take(ids, order)
    again = ops.cast(ordered[1:] == ordered[:-1], "int32")
    again = ops.pad(again, ((1, 0),))
    return ops.scatter(ops.expand_dims(order, 1), again, ops.shape(ids)) > 0


class MatchLoss(LossLayer):
    """The score of a user and an item, and a loss that trains it.

    Called on their vectors it returns the dot product, which is all that prediction
    computes; of several interests of a user the largest. Given a sequence of states
    and the items that follow them, the loss is that of each state and its item.

    Rows whose item is no item (padding, unseen) do not count.

    Attributes:
        is_dot_product: Whether the score is one, so that a model can be served by its
            vectors alone.

    Args:
        vocabulary_size: Number of item ids, reserved ones included.
        temperature: Divides the scores in training, above 0.
        reserved: Ids below it are no items.
        weight, sample_weight: Arguments of `LossLayer`.
    Call arguments:
        inputs: `[user, item, item ids]`: `(batch, dim)` or `(batch, interests, dim)`,
            `(batch, dim)` and `(batch,)`; or with `states` `(batch, length, dim)` and
            the ids of the items that follow them, `(batch, length)`, behind these.
        valid: Which interests a user has, `(batch, interests)`, bool.
    Returns:
        Scores, `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no items, or the temperature is not above 0.
    """

    is_dot_product = True

    def __init__(
        self,
        vocabulary_size: int,
        temperature: float = 1.0,
        reserved: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if vocabulary_size <= reserved or not temperature > 0:
            raise ValueError(
                f"Layer {self.name!r}: there must be items, and a temperature above "
                f"0. Received: vocabulary_size={vocabulary_size}, "
                f"reserved={reserved}, temperature={temperature}"
            )
        self.vocabulary_size = vocabulary_size
        self.temperature = temperature
        self.reserved = reserved
        self.seed_generator = keras.random.SeedGenerator()

    @property
    def num_items(self) -> int:
        """Ids that stand for an item."""
        return self.vocabulary_size - self.reserved

    def bind(self, model: Any) -> None:
        """Finds the item tower, which is a part of the model, not of this layer."""

        def vectors(ids: Tensor, training: bool) -> Tensor:
            (item_id,) = model.item_model.input
            found: Tensor = model.item_model({item_id: ids}, training=training)
            return found

        self._vectors = vectors

    def call(self, inputs: Sequence[Tensor], valid: Tensor | None = None) -> Tensor:
        user, item, *_ = inputs
        self.kept.put((*inputs, valid))
        if len(user.shape) == 2:
            return ops.sum(user * item, axis=-1, keepdims=True)
        scores = ops.matmul(user, ops.expand_dims(item, 2))[..., 0]
        if valid is not None:
            scores = ops.where(valid, scores, IMPOSSIBLE)
        return ops.max(scores, axis=1, keepdims=True)

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        user, item, ids, *steps, interests = self.kept.take()[-1]
        if steps:
            states, ids = steps
            user = ops.reshape(states, (-1, states.shape[-1]))
            item = self._vectors(ops.reshape(ids, (-1,)), training)
        elif len(user.shape) == 3:
            user = self.read_out(user, item, interests)
        num_steps = steps[1].shape[1] if steps else 1
        ids = ops.reshape(ops.cast(ids, "int32"), (-1, num_steps))
        user, item = (ops.cast(v, "float32") for v in (user, item))
        rows = self.row_losses(user, item, ids, x, training)
        return self.mean_of_items(rows, ids, x)

    def mean_of_items(
        self, rows: Tensor, ids: Tensor, x: Mapping[str, Tensor]
    ) -> Tensor:
        """Returns the mean of rows whose item is one, weighed, a scalar.

        Args:
            rows: `(rows,)`.
            ids: Their items, `(batch, length)`, the rows one after the other.
            x: The columns of the batch.
        """
        valid = ops.cast(ops.reshape(ids, (-1,)) >= self.reserved, "float32")
        count = ops.sum(valid)
        self.num.put(count)
        if self.sample_weight is not None:
            own = ops.cast(ops.reshape(x[self.sample_weight], (-1,)), "float32")
            valid *= ops.repeat(own, ids.shape[1])
        return ops.sum(valid * rows) / ops.maximum(count, 1.0)

    def read_out(self, interests: Tensor, item: Tensor, valid: Tensor) -> Tensor:
        """Returns of a user's interests the one next to the item, `(batch, dim)`.

        No gradient reaches the others; of equal ones it is the first.
        """
        scores = ops.matmul(interests, ops.expand_dims(item, 2))[..., 0]
        if valid is not None:
            scores = ops.where(valid, scores, IMPOSSIBLE)
        best = ops.one_hot(ops.argmax(scores, axis=1), interests.shape[1])
        return ops.sum(ops.expand_dims(best, 2) * interests, axis=1)

    def row_losses(
        self,
        user: Tensor,
        item: Tensor,
        ids: Tensor,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        """Returns the loss of each row, `(rows,)`.

        Args:
            user: `(rows, dim)`.
            item: Vectors of the positive items, `(rows, dim)`.
            ids: Their ids, int32, `(batch, length)` of states, else `(batch, 1)`: the
                rows one after the other.
            x: The columns of the batch.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return (input_shape[0][0], 1)
