"""SimpleX: A Simple and Strong Baseline for Collaborative Filtering.

Mao et al., CIKM 2021, https://arxiv.org/abs/2109.12613 (figure 2, eq. 2-5)

    user ─────> p_u ───────────────────────> g p_u ──────┐
    history ──> e_1 ... e_N ─> pool ─> W_v ─> (1 - g) ──(+)─> u / |u| ──┐
    item ─────> e_i ──────────────────────────────────────> e_i / |e_i| ┴─> cosine
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field
from recsys.layers.base import Layer
from recsys.layers.elementary import AppendOne, Stack
from recsys.layers.masking import masked_softmax, masked_sum
from recsys.layers.matching.cosine_contrastive import CosineContrastive
from recsys.layers.normalization import make_dropout
from recsys.match._towers import Towers, unit, user_id
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Shape, Tensor

__all__ = ["Field", "simplex"]

POOLINGS = ("mean", "user_attention", "self_attention")


class BehaviourAggregation(Layer):
    r"""A user's own vector and that of the behaviours (eq. 3-5).

        u = g p + (1 - g) W_v \sum_t a_t e_t

    where a is 1/N (`"mean"`), softmax_t p^T tanh(W_k e_t + b_k) (`"user_attention"`)
    or softmax_t q^T tanh(W_k e_t + b_k) (`"self_attention"`).

    Masking: behaviours that are not `valid`, and, if a target is given, those that are
    it, do not count; of none the sum is zero.

    Args:
        gamma: g, in [0, 1].
        pooling: One of the three.
    Call arguments:
        inputs: `[p, e]`, `(batch, d)` and `(batch, length, d)`; or `[p, e, ids,
            target]`, with `(batch, length)` and `(batch,)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, d)`.
    Raises:
        ValueError: If the pooling is unknown or g out of range.
    """

    def __init__(self, gamma: float = 0.5, pooling: str = "mean", **kwargs: Any):
        super().__init__(**kwargs)
        if pooling not in POOLINGS or not 0 <= gamma <= 1:
            raise ValueError(
                f"Layer {self.name!r}: pooling must be one of {POOLINGS} and gamma in "
                f"[0, 1]. Received: pooling={pooling!r}, gamma={gamma}"
            )
        self.gamma = gamma
        self.pooling = pooling

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = input_shape[1][-1]
        self.w_v = self.add_weight(shape=(width, width), name="w_v")
        if self.pooling != "mean":
            self.w_k = self.add_weight(shape=(width, width), name="w_k")
            self.b_k = self.add_weight(shape=(width,), initializer="zeros", name="b_k")
        if self.pooling == "self_attention":
            self.q = self.add_weight(shape=(width,), initializer="uniform", name="q")

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        p, e, *target = inputs
        if target:
            ids, own = target
            valid = valid & (ids != ops.expand_dims(own, 1))
        if self.pooling == "mean":
            count = ops.sum(ops.cast(valid, e.dtype), axis=1, keepdims=True)
            pooled = masked_sum(e, valid) / ops.maximum(count, 1)
        else:
            keys = ops.tanh(ops.matmul(e, self.w_k) + self.b_k)
            query = p if self.pooling == "user_attention" else self.q
            scores = ops.sum(keys * ops.expand_dims(query, -2), axis=-1)
            weights = masked_softmax(scores, valid)
            pooled = masked_sum(ops.expand_dims(weights, -1) * e, valid)
        return self.gamma * p + (1 - self.gamma) * ops.matmul(pooled, self.w_v)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[0])


@factory("item", "user", "item_history", "one_dim")
def simplex(
    fields: Sequence[Field],
    gamma: float = 0.5,
    pooling: str = "mean",
    dropout: float = 0.0,
    *,
    margin: float = 0.5,
    negative_weight: float | None = 250.0,
    num_negatives: int | None = 1000,
    exclude_target: bool = True,
    unseen: str | None = None,
    use_bias: bool = False,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds SimpleX: cosines of a user and an item, and a loss with a margin.

    The user's own vector is of the first user field of ids, the behaviours of the
    history that shares the item's table; other fields are not used. Both have the
    item's `dim`. Negatives are drawn once for all rows of a batch.

    Args:
        fields: The item, its history, and the user.
        gamma: Share of the user's own vector; 1 leaves the history out.
        pooling: `"mean"`, `"user_attention"` or `"self_attention"`, see
            `BehaviourAggregation`.
        dropout: Fraction of the user's vector dropped in training, in [0, 1); of the
            unit vector, as in the authors' code: dropped before, it could not come
            nearer to an item than a cosine of about sqrt(1 - dropout), and no
            negative would reach a larger margin.
        margin, negative_weight, num_negatives, unseen: Of `CosineContrastive`.
        exclude_target: Whether, in training, the history of a row is without its
            positive item, so that a history of all of a user's items may be used.
        use_bias: Whether items, users and all together have biases beside the cosine,
            as in the authors' settings for MovieLens: large margins need them. Those
            of users and all do not change an order. Vectors get two more elements.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item, no history of its table or no user of ids of
            the item's dim.
    """
    towers = Towers(fields, "simplex")
    embed, item = towers.embed, towers.item
    watched = [f for f in towers.users if f.belong == "history" and f.emb == item.emb]
    (history,) = embed.histories(watched[:1])
    user = user_id(towers, "simplex", item.dim)
    own = embed([user]).concat()
    vector = unit(embed([item]).concat(), "unit_item")
    aggregate = BehaviourAggregation(gamma, pooling, name="dnn_user")
    served = aggregate([own, history.sequence], valid=history.valid)
    trained = served
    if exclude_target:
        ids = embed.column(history.fields[0].name)
        trained = aggregate(
            [own, history.sequence, ids, towers.item_ids], valid=history.valid
        )
    served, trained = unit(served, "unit_user"), unit(trained, "unit_trained")
    dropped = make_dropout(dropout, name="drop")
    if use_bias:
        one, beside = AppendOne(name="and_one"), keras.layers.Concatenate(name="biases")
        of_item = embed.lookup(item, "embedding_bias__", 1, "zeros")
        of_user = embed.linear([user])
        vector = one(beside([vector, of_item]))
        served = beside([one(served), of_user])
        trained = beside([dropped(one(trained)), of_user])
    else:
        trained = dropped(trained)
    loss = CosineContrastive(
        item.vocabulary_size,
        num_negatives,
        item.reserved,
        margin,
        negative_weight,
        unseen=unseen,
        sample_weight=sample_weight,
        name="score",
    )
    following = keras.layers.Reshape((1,), dtype="int32", name="own_item")
    return towers.model(
        "simplex",
        served,
        vector,
        loss,
        Stack(name="of_row")([trained]),
        following(towers.item_ids),
    )
