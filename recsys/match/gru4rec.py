"""GRU4Rec: Session-based Recommendations with Recurrent Neural Networks.

Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939 (figure 1);
Hidasi and Karatzoglou, CIKM 2018, https://arxiv.org/abs/1706.03847 (losses)

    history ─> e_1 ... e_N ─> GRU ─> h_t ──┐
                                      <h_t, o> + b
    item ────> row o, b of the output ─────┘
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field
from recsys.layers import normalization
from recsys.layers.base import Layer
from recsys.layers.causal import Newest
from recsys.layers.elementary import AppendOne
from recsys.layers.matching.sampled import BPRMax, SampledBPR, Top1
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers, sequence
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Shape, Tensor

__all__ = ["Field", "gru4rec"]

LOSSES = ("softmax", "bpr_max", "top1", "bpr")


class SessionStates(Layer):
    """The states of GRUs, one above the other, after each behaviour.

    Masking: behaviours that are not `valid` leave the state as it is, and are zero in
    the output.

    Args:
        hidden_units: Width of each GRU.
        dropout: Fraction dropped behind each, in [0, 1).
    Call arguments:
        inputs: `(batch, length, d)`, newest first.
        valid: `(batch, length)`, bool.
    Returns:
        `(batch, length, hidden_units[-1])`, newest first.
    """

    def __init__(
        self, hidden_units: Sequence[int], dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.dropout = dropout
        same = {"dtype": self.dtype_policy}
        self.grus = [
            keras.layers.GRU(units, return_sequences=True, name=f"gru_{i}", **same)
            for i, units in enumerate(self.hidden_units)
        ]
        self.drops = [
            normalization.make_dropout(dropout, name=f"dropout_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
        ]

    def build(self, input_shape: Shape, *_: Any) -> None:
        for gru in self.grus:
            gru.build(input_shape)
            input_shape = (*input_shape[:2], gru.units)

    def call(self, inputs: Tensor, valid: Tensor, training: bool = False) -> Tensor:
        x, mask = ops.flip(inputs, axis=1), ops.flip(valid, axis=1)
        for gru, drop in zip(self.grus, self.drops, strict=True):
            # `where` also drops the mask that Keras hangs on the output.
            x = ops.where(ops.expand_dims(mask, -1), gru(x, mask=mask), 0)
            x = drop(x, training=training)
        return ops.flip(x, axis=1)

    def compute_output_shape(self, input_shape: Shape, *_: Any) -> Shape:
        return (*input_shape[:2], self.hidden_units[-1])


@factory("item", "item_history", not_empty=("hidden_units",))
def gru4rec(
    fields: Sequence[Field],
    hidden_units: Sequence[int] = (100,),
    dropout: float = 0.0,
    *,
    loss: str = "softmax",
    num_negatives: int | None = 1000,
    use_bias: bool = True,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds GRU4Rec: the state of a GRU behind a history picks the next item.

    Every step of a history is trained, each with the item that follows it, the last
    with the item of the row. Gradients flow through all steps of a history (the
    paper's sessions, side by side in a batch, stop them after one). Negatives are
    drawn alike from the catalogue and shared by a batch, in place of the items of the
    other sessions.

    Args:
        fields: The item and the history that shares its table; others are not used.
        hidden_units: Width of each GRU; the last is that of the vectors.
        dropout: Fraction dropped behind each, in [0, 1).
        loss: `"softmax"`, see `SampledSoftmax`; `"bpr_max"`, `"top1"` or `"bpr"`.
        num_negatives: Items drawn for each batch.
        use_bias: Whether an item has a bias; the vectors get one more element.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is not one history that shares the item's table, or the
            loss is unknown.
    """
    if loss not in LOSSES:
        raise ValueError(
            f"gru4rec: loss must be one of {LOSSES}. Received: loss={loss!r}"
        )
    towers = Towers(fields, "gru4rec")
    history, _, following = sequence(towers, "gru4rec")
    states = SessionStates(hidden_units, dropout, name="dnn_gru")(
        history.sequence, valid=history.valid
    )
    item = towers.embed.lookup(towers.item, "embedding_output__", hidden_units[-1])
    user = Newest(name="newest")(states, valid=history.valid)
    if use_bias:
        bias = towers.embed.lookup(towers.item, "embedding_bias__", 1, "zeros")
        item = keras.layers.Concatenate(name="item_and_bias")([item, bias])
        user = AppendOne(name="user_and_one")(user)
        states = AppendOne(name="states_and_one")(states)
    of_steps = {
        "softmax": SampledSoftmax,
        "bpr_max": BPRMax,
        "top1": Top1,
        "bpr": SampledBPR,
    }[loss](
        towers.item.vocabulary_size,
        num_negatives,
        reserved=towers.item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model("gru4rec", user, item, of_steps, states, following)
