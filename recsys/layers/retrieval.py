"""Losses that pick the right item out of a catalogue."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.core import LossLayer
from recsys.layers.sampling import SAMPLERS

IMPOSSIBLE = -1e30
"""Logit of what cannot be; `exp` of it is 0 in float32 and bfloat16 alike."""


@keras.saving.register_keras_serializable(package="recsys")
class SampledSoftmax(LossLayer):
    r"""Softmax over the items, with a sample in the denominator.

        l_i = <u, v_i> / temperature - log Q_i
        loss = -l_pos + log(exp l_pos + \sum_{j drawn, j != pos} exp l_j)

    Q_i is how often i is expected among the draws; subtracting its logarithm makes
    the sum an unbiased estimate of that over all items (Jean et al. 2015, section
    3.2). The draw is shared by the batch. If it would not be smaller than the
    catalogue, the sum is over all items, exactly.

    Called on a user's and an item's vector it returns their score, which is all that
    prediction computes. Rows whose item is no item (padding, unseen) do not count.

    Args:
        vocabulary_size: Number of item ids, reserved ones included.
        num_negatives: Items drawn for each batch.
        sampler: `"uniform"` or `"log_uniform"`, see `recsys.layers.sampling`.
        temperature: Divides the scores, above 0.
        reserved: Ids below it are no items.
        weight, sample_weight: Of `LossLayer`.
    Call arguments:
        inputs: `[user (batch, dim), item (batch, dim), item ids (batch,)]`.
    Returns:
        Scores `<u, v>`, `(batch, 1)`, float32.
    Raises:
        ValueError: If the sampler is unknown or there is nothing to draw from.
    Reference:
        On Using Very Large Target Vocabulary for Neural Machine Translation, ACL
        2015; Deep Neural Networks for YouTube Recommendations, RecSys 2016, 3.3.
    """

    def __init__(
        self,
        vocabulary_size: int,
        num_negatives: int,
        sampler: str = "uniform",
        temperature: float = 1.0,
        reserved: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        num_items = vocabulary_size - reserved
        if sampler not in SAMPLERS or num_items < 1 or num_negatives < 1:
            raise ValueError(
                f"Layer {self.name!r}: sampler must be one of {tuple(SAMPLERS)}, and "
                "there must be items and negatives. Received: "
                f"sampler={sampler!r}, vocabulary_size={vocabulary_size}, "
                f"reserved={reserved}, num_negatives={num_negatives}"
            )
        self.vocabulary_size = vocabulary_size
        self.num_negatives = num_negatives
        self.sampler = sampler
        self.temperature = temperature
        self.reserved = reserved
        self.seed_generator = keras.random.SeedGenerator()
        self._draws = SAMPLERS[sampler](reserved, num_items)
        self._all = num_negatives >= num_items

    def bind(self, model: Any) -> None:
        """Finds the item tower, which is a part of the model, not of this layer."""

        def vectors(ids: Any, training: bool) -> Any:
            (item_id,) = model.item_model.input
            return model.item_model({item_id: ids}, training=training)

        self._vectors = vectors

    def call(self, inputs: Sequence[Any]) -> Any:
        user, item, ids = inputs
        self.kept.put((user, item, ids))
        return ops.sum(user * item, axis=-1, keepdims=True)

    def loss(
        self,
        labels: Mapping[str, Any],
        weights: Mapping[str, Any],
        x: Mapping[str, Any],
        training: bool,
    ) -> Any:
        user, item, ids = self.kept.take()[-1]
        ids = ops.cast(ops.reshape(ids, (-1,)), "int32")
        if self._all:
            drawn = ops.arange(self.reserved, self.vocabulary_size, dtype="int32")
        else:
            drawn = self._draws.draw(self.num_negatives, self.seed_generator)
        vectors = ops.cast(self._vectors(drawn, training), "float32")
        hit = ops.expand_dims(ids, 1) == ops.expand_dims(drawn, 0)
        positive = self._logit(ops.sum(user * item, axis=-1), ids)
        negative = self._logit(ops.matmul(user, ops.transpose(vectors)), drawn)
        negative = ops.where(hit, IMPOSSIBLE, negative)
        logits = ops.concatenate([ops.expand_dims(positive, 1), negative], axis=1)
        rows = ops.logsumexp(logits, axis=1) - positive

        valid = ops.cast(ids >= self.reserved, "float32")
        count = ops.maximum(ops.sum(valid), 1.0)
        if self.sample_weight is not None:
            valid *= ops.cast(ops.reshape(x[self.sample_weight], (-1,)), "float32")
        return ops.sum(valid * rows) / count

    def _logit(self, score: Any, ids: Any) -> Any:
        score = score / self.temperature
        if self._all:
            return score
        expected = self._draws.log_probability(ids) + math.log(self.num_negatives)
        return score - expected

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "num_negatives": self.num_negatives,
            "sampler": self.sampler,
            "temperature": self.temperature,
            "reserved": self.reserved,
        }
