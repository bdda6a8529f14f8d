"""BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations.

Sun et al., CIKM 2019, https://arxiv.org/abs/1904.06690 (figure 1, eq. 1-8)

    history, [mask] ─> e_t + p_t ─> transformer, both ways ─> gelu(h W + b) ──┐
    (in training, some of history and item are [mask])                    <., e> + b
    item ────────────> e, b ──────────────────────────────────────────────────┘
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field
from recsys.layers.activation import gelu
from recsys.layers.base import Layer
from recsys.layers.causal import Positioned
from recsys.layers.elementary import AppendOne
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.layers.transformer import EncoderLayer
from recsys.match._towers import Towers, sequence
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Shape, Tensor

__all__ = ["Field", "bert4rec"]


class Cloze(Layer):
    """Puts a learned [mask] in place of items that are to be guessed.

    For serving it stands before a history, where the next item would be. In training
    the row's item is there, and each valid item is masked with a probability; where
    none is, and when a model is evaluated, it is the row's item alone.

    Args:
        probability: That an item is masked, in (0, 1].
    Call arguments:
        inputs: `[history]`, or to train `[history, item]`, `(batch, length, dim)`,
            newest first, and `(batch, dim)`.
        valid: `(batch, length)`, bool.
        ids: To train, `[history, item]`, `(batch, length)` and `(batch,)`.
    Returns:
        `(batch, length + 1, dim)`; and which places are valid, bool, or to train the
        ids to be guessed, 0 where none is, `(batch, length + 1)`.
    Raises:
        ValueError: If the probability is out of range.
    """

    def __init__(self, probability: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < probability <= 1:
            raise ValueError(
                f"Layer {self.name!r}: probability must be in (0, 1]. "
                f"Received: probability={probability}"
            )
        self.probability = probability
        self.seed_generator = keras.random.SeedGenerator()

    def build(self, input_shape: Sequence[Shape], *_: Any) -> None:
        self.mask = self.add_weight(
            shape=(input_shape[0][-1],), initializer="uniform", name="mask"
        )

    def call(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor,
        ids: Sequence[Any] | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        history = inputs[0]
        mask = ops.convert_to_tensor(self.mask)
        there = ops.concatenate([ops.ones_like(valid[:, :1]), valid], axis=1)
        if ids is None:
            first = ops.zeros_like(history[:, :1]) + ops.cast(mask, history.dtype)
            return ops.concatenate([first, history], axis=1), there
        tokens, items = (
            ops.concatenate([ops.expand_dims(own, 1), past], axis=1)
            for past, own in (inputs, ids)
        )
        masked = there & (ops.arange(items.shape[1]) == 0)
        if training:
            u = keras.random.uniform(
                ops.shape(items), dtype="float32", seed=self.seed_generator
            )
            drawn = (u < self.probability) & there
            masked = drawn | (masked & ~ops.any(drawn, axis=1, keepdims=True))
        mask = ops.cast(mask, tokens.dtype)
        tokens = ops.where(ops.expand_dims(masked, -1), mask, tokens)
        return tokens, ops.where(masked, items, 0)

    def compute_output_spec(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor,
        ids: Tensor | None = None,
        **_: Any,
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, length, width = inputs[0].shape
        return (
            keras.KerasTensor((batch, length + 1, width), self.compute_dtype),
            keras.KerasTensor((batch, length + 1), "int32" if ids else "bool"),
        )


class FirstPlace(Layer):
    """The first vector of a sequence: `(batch, length, dim)` to `(batch, dim)`."""

    def call(self, inputs: Tensor) -> Tensor:
        return inputs[:, 0]


@factory("item", "item_history", may_be_zero=("num_layers",))
def bert4rec(
    fields: Sequence[Field],
    num_layers: int = 2,
    num_heads: int = 2,
    dropout: float = 0.1,
    *,
    mask_probability: float = 0.2,
    num_negatives: int | None = None,
    sampler: str = "uniform",
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds BERT4Rec: a transformer that sees both ways guesses masked items.

    One row with all of a user's items is enough. Places count back from the next item.
    gelu is its form with tanh, as in the authors' code.
    The table of items is shared with the output, which has a bias for each item.

    Args:
        fields: The item and the history that shares its table; others are not used.
        num_layers: Transformer layers, may be 0; their feed-forward parts are four
            times as wide as an item.
        num_heads: Heads of the attention.
        dropout: Fraction dropped of embeddings and in the layers, in [0, 1).
        mask_probability: That an item of the history is masked in training.
        num_negatives, sampler: Of `SampledSoftmax`; the paper's is over all items.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is not one history that shares the item's table.
    """
    towers = Towers(fields, "bert4rec")
    embed = towers.embed
    history, ids, _ = sequence(towers, "bert4rec")
    item = embed([towers.item]).concat()
    cloze = Cloze(mask_probability, name="dnn_cloze")
    served, valid = cloze([history.sequence], valid=history.valid)
    trained, guessed = cloze(
        [history.sequence, item], valid=history.valid, ids=[ids, towers.item_ids]
    )
    layers: list[Any] = [Positioned(dropout, scaled=False, name="dnn_positioned")]
    width = item.shape[-1]
    for i in range(num_layers):
        layers.append(
            EncoderLayer(
                d_model=width,
                num_heads=num_heads,
                dff=4 * width,
                dropout=dropout,
                attention_ffn=True,
                activation="gelu",
                name=f"dnn_layer_{i}",
            )
        )
    project = keras.layers.Dense(width, gelu, name="dnn_project")
    add_one = AppendOne(name="states_and_one")

    def states(tokens: Tensor) -> Tensor:
        for layer in layers:
            tokens = layer(tokens, valid=valid)
        return add_one(project(tokens))

    bias = embed.lookup(towers.item, "embedding_bias__", 1, "zeros")
    vector = keras.layers.Concatenate(name="item_and_bias")([item, bias])
    loss = SampledSoftmax(
        towers.item.vocabulary_size,
        num_negatives,
        sampler,
        reserved=towers.item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    user = FirstPlace(name="next_item")(states(served))
    return towers.model("bert4rec", user, vector, loss, states(trained), guessed)
