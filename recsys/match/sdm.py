r"""SDM: Sequential Deep Matching Model for Online Large-scale Recommender System.

Lv et al., CIKM 2019, https://arxiv.org/abs/1909.00385 (figure 2, eq. 1-13)

    session ──> LSTM ─> self-attention ─> attention of the user ─> s ──┐
    user ─────────────────────────────────────────────────────> e_u ─ gate ─> o ──┐
    past, each field ──> attention of the user ─> tanh MLP ──────> p ──┘          <., .>
    item ──> e ───────────────────────────────────────────────────────────────────┘
"""

from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.inputs import concat
from recsys.layers.attention import MultiHeadAttention
from recsys.layers.base import Layer
from recsys.layers.elementary import Split
from recsys.layers.masking import masked_softmax, masked_sum
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Shape, Tensor

__all__ = ["Field", "sdm"]


class SessionEncoder(Layer):
    """An LSTM over a session, and self-attention over its states (eq. 2-6).

    Masking: behaviours that are not `valid` leave the LSTM as it is, and nobody sees
    them; each sees itself and older ones.

    Args:
        units: Width of the LSTM.
        num_heads: Heads of the attention.
    Call arguments:
        inputs: `(batch, length, d)`, oldest first.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length, units)`.
    """

    def __init__(self, units: int, num_heads: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.num_heads = num_heads
        same = {"dtype": self.dtype_policy}
        self.lstm = keras.layers.LSTM(units, return_sequences=True, name="lstm", **same)
        self.attention = MultiHeadAttention(
            num_heads=num_heads, name="attention", **same
        )

    def build(self, inputs_shape: Shape, *_: Any) -> None:
        self.lstm.build(inputs_shape)
        self.attention.build((*inputs_shape[:2], self.units))

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        states = self.lstm(inputs, mask=valid)
        states = ops.where(ops.expand_dims(valid, -1), states, 0)  # and drops the mask
        order = np.arange(inputs.shape[1])
        older = ops.convert_to_tensor(order <= order[:, None])
        return self.attention(states, valid=ops.expand_dims(valid, 1) & older)

    def compute_output_shape(self, inputs_shape: Shape, *_: Any) -> Shape:
        return (*inputs_shape[:2], self.units)


class UserAttention(Layer):
    r"""What a user attends to: `\sum_t softmax_t(<h_t, e_u>) h_t` (eq. 7-8, 9-10).

    Masking: behaviours that are not `valid` get weight 0; of none the sum is zero.

    Call arguments:
        inputs: `[h, e_u]`, `(batch, length, d)` and `(batch, d)`.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, d)`.
    """

    def call(self, inputs: Sequence[Tensor], valid: Tensor) -> Tensor:
        h, user = inputs
        weights = masked_softmax(ops.sum(h * ops.expand_dims(user, 1), axis=-1), valid)
        return masked_sum(ops.expand_dims(weights, -1) * h, valid)

    def compute_output_shape(self, input_shape: Sequence[Shape], *_: Any) -> Shape:
        return tuple(input_shape[1])


class FusionGate(Layer):
    r"""Mixes what a user does now with what it has always done (eq. 12-13).

        G = \sigma(W [e_u, s, p] + b),   o = (1 - G) * p + G * s

    Call arguments:
        inputs: `[e_u, s, p]`, `(batch, d)` each.
    Returns:
        `(batch, d)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        widths = [shape[-1] for shape in input_shape]
        self.gate = keras.layers.Dense(
            widths[1], "sigmoid", name="gate", dtype=self.dtype_policy
        )
        self.gate.build((None, sum(widths)))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        _, s, p = inputs
        g = self.gate(ops.concatenate(inputs, axis=-1))
        return (1 - g) * p + g * s


@factory("item", "item_history")
def sdm(
    fields: Sequence[Field],
    num_heads: int = 4,
    *,
    past_groups: Collection[str] = (),
    num_negatives: int | None = 1000,
    sampler: str = "uniform",
    temperature: float = 1.0,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds SDM: a gate between the session of a user and its past.

    The session is the history of the item, its attributes side by side; the past is a
    set of ids for each history field of `past_groups`. What the user attends to is as
    wide as an item: a linear layer brings the user's fields, and each field of the
    past, to that width. Item vectors are the item's own table.

    Args:
        fields: The item, the session, the past, and the user and its context.
        num_heads: Heads of the self-attention; they divide the item's `dim`.
        past_groups: Groups of the histories that are the past. Without them it is all
            histories: the session, as a set.
        num_negatives, sampler, temperature: Arguments of `SampledSoftmax`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is not one history of the item's table outside the past, a
            group of the past does not exist, or there is no user field.
    """
    towers = Towers(fields, "sdm")
    embed, item, width = towers.embed, towers.item, towers.item.dim
    of_history = [field for field in towers.users if field.belong == "history"]
    groups = {field.group for field in of_history}
    now = {f.group for f in of_history if f.emb == item.emb} - {*past_groups}
    own = [field for field in towers.users if field.belong != "history"]
    if len(now) != 1 or {*past_groups} - groups or not own or width % num_heads:
        raise ValueError(
            "sdm needs one history that shares the item's table and is no past, user "
            "fields, groups of the past that exist, and heads that divide the item's "
            f"dim. Received: histories {[(f.name, f.group) for f in of_history]}, "
            f"past_groups={[*past_groups]}, {len(own)} user fields, dim={width}, "
            f"num_heads={num_heads}"
        )
    user = keras.layers.Dense(width, name="dnn_user")(embed(own).concat())

    (session,) = embed.histories([f for f in of_history if f.group in now])
    states = SessionEncoder(width, num_heads, name="dnn_session")(
        session.sequence, valid=session.valid
    )
    short = UserAttention(name="session_of_user")([states, user], valid=session.valid)

    past = [f for f in of_history if f.group in (past_groups or groups)]
    parts = []
    for history in embed.histories(past):
        dims = [field.dim for field in history.fields]
        sets = Split(dims)(history.sequence)
        for field, values in zip(history.fields, sets, strict=True):
            dense = keras.layers.Dense(
                width, use_bias=False, name=layer_name(f"dnn_past_{field.name}")
            )
            attend = UserAttention(name=layer_name(f"past_{field.name}_of_user"))
            parts.append(attend([dense(values), user], valid=history.valid))
    long = keras.layers.Dense(width, "tanh", name="dnn_past")(concat(parts))

    loss = SampledSoftmax(
        item.vocabulary_size,
        num_negatives,
        sampler,
        temperature,
        item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    output = FusionGate(name="dnn_gate")([user, short, long])
    return towers.model("sdm", output, embed([item]).concat(), loss)
