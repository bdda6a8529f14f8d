"""DSIN: Deep Session Interest Network for Click-Through Rate Prediction.

Feng et al., IJCAI 2019, https://arxiv.org/abs/1905.06482 (figure 2, eq. 1-12)

    user, context, item ──────────────────────────────────────────┐
                 └──────────────────────────┬──────────┐          v
    history ─> sessions ─> self-attention ─>│─ I_k ──> attention ─> MLP ─> sigmoid
                                 └─> Bi-LSTM over k ──> attention ─^
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import EmbeddedHistory, FieldEmbedder, concat
from recsys.inputs.ending import mlp_model
from recsys.layers.attention import BilinearAttention
from recsys.layers.base import Layer
from recsys.layers.positions import positions_from_end
from recsys.layers.transformer import EncoderLayer
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "dsin"]


class SessionInterests(Layer):
    r"""One vector for each of the most recent sessions (eq. 2-6).

        Q_ktc = e_ktc + w^K_k + w^T_t + w^C_c
        I_k = mean_t FFN(MultiHead(Q_k))

    with residuals and layer normalisation around both. Heads are those of Vaswani et
    al. 2017: each projects the whole vector to its width, by whose root the scores are
    divided. Eq. 4 cuts the vector into slices, one for each head, projects each by
    itself and divides by the root of the model's width. Behaviours see those of their
    own session only; k and t count back from the most recent session and behaviour.

    Memory: the attention of a sequence is `(batch, heads, length, length)`.

    Masking: behaviours that are not `valid`, or in older sessions, have no influence.

    Args:
        num_sessions: Most recent sessions that count, K.
        session_length: Positions in a session, T; older behaviours of a long session
            share the last. Where sessions are not given, they are of this length.
        num_heads: Heads of the attention.
        dff: Width inside the feed-forward part; default: four times that of a
            behaviour.
        dropout: Fraction dropped in training.
    Call arguments:
        inputs: `(batch, length, d)`.
        valid: `(batch, length)`, bool.
        sessions: `(batch, length)`: 1 is the most recent session; default: cut every
            `session_length` behaviours.
    Returns:
        `(batch, num_sessions, d)`, the most recent session last, and which of them
        there are, `(batch, num_sessions)`, bool.
    Raises:
        ValueError: If a size is less than 1.
    """

    of_session: keras.Variable
    of_position: keras.Variable
    of_unit: keras.Variable

    def __init__(
        self,
        num_sessions: int = 5,
        session_length: int = 10,
        num_heads: int = 2,
        dff: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(num_sessions, session_length, num_heads) < 1:
            raise ValueError(
                f"Layer {self.name!r}: sizes must be at least 1. Received: "
                f"num_sessions={num_sessions}, session_length={session_length}, "
                f"num_heads={num_heads}"
            )
        self.num_sessions = num_sessions
        self.session_length = session_length
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout

    def build(self, inputs_shape: Shape, *_: Any) -> None:
        width = inputs_shape[-1]
        for name, size in (
            ("of_session", self.num_sessions),
            ("of_position", self.session_length),
            ("of_unit", width),
        ):
            bias = self.add_weight(shape=(size,), initializer="uniform", name=name)
            setattr(self, name, bias)
        self.encoder = EncoderLayer(
            d_model=width,
            num_heads=self.num_heads,
            dff=self.dff or 4 * width,
            dropout=self.dropout,
            attention_ffn=True,
            name="encoder",
            dtype=self.dtype_policy,
        )
        self.encoder.build(inputs_shape)

    def call(
        self,
        inputs: Tensor,
        valid: Tensor,
        sessions: Tensor | None = None,
        training: bool = False,
    ) -> tuple[Tensor, Tensor]:
        if sessions is None:
            sessions = 1 + positions_from_end(inputs, valid) // self.session_length
        sessions = ops.where(valid, sessions, 0)
        slots = ops.arange(self.num_sessions, 0, -1, dtype=sessions.dtype)
        member = ops.cast(
            ops.expand_dims(sessions, 2) == slots, inputs.dtype
        )  # (batch, length, session)
        later = ops.sum(member, axis=1, keepdims=True) - ops.cumsum(member, axis=1)
        place = ops.cast(ops.sum(member * later, axis=2), "int32")

        of_session = ops.matmul(member, ops.expand_dims(ops.flip(self.of_session), 1))
        of_position = ops.take(
            self.of_position, ops.minimum(place, self.session_length - 1), axis=0
        )
        x = inputs + of_session + ops.expand_dims(of_position, -1) + self.of_unit
        together = ops.matmul(member, ops.transpose(member, (0, 2, 1))) > 0
        x = self.encoder(x, valid=together, training=training)

        count = ops.expand_dims(ops.sum(member, axis=1), -1)
        total = ops.matmul(ops.transpose(member, (0, 2, 1)), x)
        return total / ops.maximum(count, 1), count[..., 0] > 0

    def compute_output_spec(
        self, inputs: Tensor, *_: Any, **__: Any
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        batch, length, width = inputs.shape
        k = self.num_sessions
        return (
            keras.KerasTensor((batch, k, width), self.compute_dtype),
            keras.KerasTensor((batch, k), "bool"),
        )


class SessionInteraction(Layer):
    """A bidirectional LSTM over sessions (eq. 7-8), skipping those that are not.

    Args:
        merge: `"ave"`, `"sum"` or `"concat"` of the two directions.
    Call arguments:
        inputs: `(batch, num_sessions, d)`.
        valid: `(batch, num_sessions)`, bool.
    Returns:
        `(batch, num_sessions, d)`, twice as wide with `"concat"`; what belongs to
        sessions that are not is irrelevant.
    """

    def __init__(self, merge: str = "ave", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.merge = merge

    def build(self, inputs_shape: Shape, *_: Any) -> None:
        lstm = keras.layers.LSTM(
            inputs_shape[-1],
            return_sequences=True,
            name="lstm",
            dtype=self.dtype_policy,
        )
        self.lstm = keras.layers.Bidirectional(
            lstm, merge_mode=self.merge, name="both", dtype=self.dtype_policy
        )
        self.lstm.build(inputs_shape)

    def call(self, inputs: Tensor, valid: Tensor) -> Tensor:
        # `where` also drops the mask that Keras hangs on the output.
        states = self.lstm(inputs, mask=valid)
        return ops.where(ops.expand_dims(valid, -1), states, 0)

    def compute_output_shape(self, inputs_shape: Shape, *_: Any) -> Shape:
        width = inputs_shape[-1] * (2 if self.merge == "concat" else 1)
        return (*inputs_shape[:-1], width)


@factory("history")
def dsin(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (200, 80),
    activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    num_sessions: int = 5,
    session_length: int = 10,
    num_heads: int = 2,
    dff: int | None = None,
    merge: str = "ave",
) -> Model:
    """Builds DSIN: behaviours are alike within a session and differ between them.

    Sessions are a history field of the group with `role="session"` (a
    `FeaturePipeline` cuts them by time); without one, runs of `session_length`
    behaviours are. Each group has networks of its own.

    Args:
        fields: At least one history and the item fields that share its tables.
        task: The task.
        hidden_units: Sizes of the MLP.
        activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP and in the
            self-attention, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        num_sessions, session_length, num_heads, dff: Arguments of `SessionInterests`.
        merge: How the directions of the LSTM become one, `"ave"`, `"sum"` or
            `"concat"`; the paper leaves it open.

    Raises:
        ValueError: If there is no history or no target of its width.
    """
    embed = FieldEmbedder(fields)
    histories = embed.histories(fields, apart=["session"], needed_by="dsin")
    parts = [embed([f for f in fields if f.belong != "history"]).concat()]
    for history in histories:
        name = history.group
        interests, there = SessionInterests(
            num_sessions,
            session_length,
            num_heads,
            dff,
            dropout,
            name=layer_name(f"dnn_sessions_{name}"),
        )(history.sequence, valid=history.valid, sessions=history.sessions)
        mixed = SessionInteraction(merge, name=layer_name(f"dnn_lstm_{name}"))(
            interests, valid=there
        )
        for kind, vectors in (("sessions", interests), ("interaction", mixed)):
            parts.append(_activated(history, vectors, there, f"{kind}_{name}"))
    mlp = hidden_units, activation, l2_reg, dropout, use_bn
    return mlp_model("dsin", embed, concat(parts), task, mlp)


def _activated(
    history: EmbeddedHistory, vectors: Tensor, there: Tensor, name: str
) -> Tensor:
    """The vectors of sessions by how much they have to do with the target."""
    attend = BilinearAttention(name=layer_name(f"dnn_activation_{name}"))
    attention = attend([history.target, vectors], valid=there)
    return keras.layers.Dot(axes=1, name=layer_name(f"dnn_interest_{name}"))(
        [attention, vectors]
    )
