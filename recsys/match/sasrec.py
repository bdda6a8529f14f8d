"""SASRec: Self-Attentive Sequential Recommendation.

Kang and McAuley, ICDM 2018, https://arxiv.org/abs/1808.09781 (figure 1, eq. 2-8)

    history ─> sqrt(d) e_t + p_t ─> [attention ─> feed-forward] x blocks ─> x_t ──┐
                                      (sees older ones only)                 <x_t, e>
    item ────> e ─────────────────────────────────────────────────────────────────┘
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field
from recsys.layers import normalization
from recsys.layers.base import Layer
from recsys.layers.causal import LastNorm, Newest, Positioned, older
from recsys.layers.masking import masked_softmax
from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.matching.sampled import SampledCrossentropy
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers, sequence
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Shape, Tensor

__all__ = ["Field", "sasrec"]

VARIANTS = ("paper", "code")


class CausalBlock(Layer):
    r"""Self-attention and a feed-forward network (section III-B).

        x <- x + drop(attention(LN(x)))
        x <- x + drop(relu(LN(x) W_1 + b_1) W_2 + b_2)

    where the attention has queries, keys and values of its own but no projection
    behind it. In the authors' code (`"code"`) keys and values are of x itself, and
    what is added to is LN(x): `q = LN(x), x <- q + drop(attention(q, x))`, then `z =
    LN(x), x <- z + drop(FFN(z))`.

    Parameters of width d: `3 (d^2 + d)` and `2 (d^2 + d)`, and `4 d` of the norms.
    Matrices start small, as in BERT, so that a block changes little at first: from
    Glorot's start the model learns several times more slowly, since a state is then
    hardly about its own item.

    Masking: behaviours see themselves and older ones that are `valid`.

    Args:
        num_heads: Heads, which must divide the width.
        dropout: Fraction dropped in training.
        variant: `"paper"` or `"code"`.
    Call arguments:
        x: `(batch, length, d)`, newest first.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length, d)`, zeros for padding.
    Raises:
        ValueError: If the variant is unknown or the heads do not divide the width.
    """

    norm_attention: keras.layers.LayerNormalization
    norm_ffn: keras.layers.LayerNormalization

    query: keras.layers.Dense
    key: keras.layers.Dense
    value: keras.layers.Dense
    expand: keras.layers.Dense
    contract: keras.layers.Dense

    def __init__(
        self,
        num_heads: int = 1,
        dropout: float = 0.0,
        variant: str = "paper",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if variant not in VARIANTS:
            raise ValueError(
                f"Layer {self.name!r}: variant must be one of {VARIANTS}. "
                f"Received: variant={variant!r}"
            )
        self.num_heads = num_heads
        self.dropout = dropout
        self.variant = variant

    def build(self, x_shape: Shape, *_: Any) -> None:
        width = x_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"Layer {self.name!r}: num_heads must divide the width {width}. "
                f"Received: num_heads={self.num_heads}"
            )
        same = {"dtype": self.dtype_policy}
        for name in ("query", "key", "value", "expand", "contract"):
            activation = "relu" if name == "expand" else None
            near_0 = keras.initializers.RandomNormal(stddev=0.02)
            dense = keras.layers.Dense(
                width, activation, kernel_initializer=near_0, name=name, **same
            )
            dense.build(x_shape)
            setattr(self, name, dense)
        for name in ("norm_attention", "norm_ffn"):
            norm = normalization.layer_norm(name=name, **same)
            norm.build(x_shape)
            setattr(self, name, norm)
        self.drops = [
            normalization.make_dropout(self.dropout, name=f"dropout_{i}", **same)
            for i in range(3)
        ]

    def call(self, x: Tensor, valid: Tensor, training: bool = False) -> Tensor:
        drop = [lambda y, d=d: d(y, training=training) for d in self.drops]
        q = self.norm_attention(x)
        of_paper = self.variant == "paper"
        attended = self._attend(q, q if of_paper else x, valid)
        x = (x if of_paper else q) + drop[0](attended)
        z = self.norm_ffn(x)
        change = drop[2](self.contract(drop[1](self.expand(z))))
        x = (x if of_paper else z) + change
        return ops.where(ops.expand_dims(valid, -1), x, 0)

    def _attend(self, q: Tensor, context: Tensor, valid: Tensor) -> Tensor:
        length, width = q.shape[1:]
        shape = (-1, length, self.num_heads, width // self.num_heads)
        q, k, v = (
            ops.transpose(ops.reshape(part, shape), (0, 2, 1, 3))
            for part in (self.query(q), self.key(context), self.value(context))
        )
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / q.shape[-1] ** 0.5
        weights = masked_softmax(scores, ops.expand_dims(older(length, valid), 1))
        gathered = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))
        return ops.reshape(gathered, (-1, length, width))

    def compute_output_shape(self, x_shape: Shape, *_: Any) -> Shape:
        return x_shape


@factory("item", "item_history", may_be_zero=("num_blocks",))
def sasrec(
    fields: Sequence[Field],
    num_blocks: int = 2,
    num_heads: int = 1,
    dropout: float = 0.2,
    *,
    variant: str = "paper",
    loss: str = "crossentropy",
    num_negatives: int | None = 1,
    sampler: str = "uniform",
    temperature: float = 1.0,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds SASRec: attention over the items of a history, for the next one.

    Every step of a history is trained, each with the item that follows it, the last
    with the item of the row: one row with all of a user's items is enough. Places
    count back from the most recent behaviour. The table of items is shared.

    Args:
        fields: The item and the history that shares its table; others are not used.
        num_blocks: Blocks, may be 0.
        num_heads: Heads of the attention.
        dropout: Fraction dropped of embeddings and in the blocks, in [0, 1).
        variant: `"paper"` or `"code"`, see `CausalBlock`.
        loss: `"crossentropy"`, with negatives that are not in the history, see
            `SampledCrossentropy`, or `"softmax"`, see `SampledSoftmax`.
        num_negatives: Drawn for each step, or for the softmax for each batch; `None`
            is all items.
        sampler: Sampler of the softmax.
        temperature: Divides the scores in training.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item with a history of its table, or the loss or
            variant is unknown.
    """
    towers = Towers(fields, "sasrec")
    history, _, following = sequence(towers, "sasrec")
    x = Positioned(dropout, name="dnn_positioned")(
        history.sequence, valid=history.valid
    )
    for i in range(num_blocks):
        block = CausalBlock(num_heads, dropout, variant, name=f"dnn_block_{i}")
        x = block(x, valid=history.valid)
    states = LastNorm(name="dnn_norm")(x, valid=history.valid)
    user = Newest(name="newest")(states, valid=history.valid)
    item = towers.embed([towers.item]).concat()
    common: dict[str, Any] = {
        "temperature": temperature,
        "reserved": towers.item.reserved,
        "sample_weight": sample_weight,
        "name": "score",
    }
    size = towers.item.vocabulary_size
    of_steps: MatchLoss
    if loss == "crossentropy":
        unseen = history.item.name
        of_steps = SampledCrossentropy(size, num_negatives, unseen=unseen, **common)
    elif loss == "softmax":
        of_steps = SampledSoftmax(size, num_negatives, sampler, **common)
    else:
        raise ValueError(
            f"sasrec: loss must be 'crossentropy' or 'softmax'. Received: loss={loss!r}"
        )
    return towers.model("sasrec", user, item, of_steps, states, following)
