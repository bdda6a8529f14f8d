"""Transformers over a history that a target asks."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.masking import zero_if_empty
from recsys.layers.positions import PositionalEmbedding, positions_from_end
from recsys.layers.transformer import Encoder
from recsys.types import Shape, Tensor


class TransformerLayer(Layer):
    """The target attends to the history through a stack of transformer layers.

    Positions count back from the most recent behaviour.

    Args:
        num_layers: Layers of the stack.
        d_model: Width inside; a target of another width is projected to it.
            Default: width of the target.
        num_heads: Heads.
        dff: Width of the feed-forward part; `None` leaves it out.
        dropout: Fraction dropped in training.
        max_len: Number of positions; default: length of the history.
        position_merge: `"sum"` or `"concat"` of behaviour and position.
    Call arguments:
        inputs: `[query, history]`.
        valid: Which positions hold a behaviour; `None` means all.
    Returns:
        `(batch, d_model)`; zero for an empty history.
    """

    def __init__(
        self,
        num_layers: int = 1,
        d_model: int | None = None,
        num_heads: int = 2,
        dff: int | None = None,
        dropout: float = 0.1,
        max_len: int | None = None,
        position_merge: str = "sum",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.max_len = max_len
        self.position_merge = position_merge
        same = {"dtype": self.dtype_policy}
        self.position = PositionalEmbedding(
            position_merge, max_length=max_len, name="pos", **same
        )
        self.encoder = Encoder(
            d_model, num_layers, num_heads, dff, dropout, name="encoder", **same
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, width), history = input_shape
        d_model = self.d_model or width
        if d_model != width:
            self.project = keras.layers.Dense(
                d_model, name="project", dtype=self.dtype_policy
            )
            self.project.build((batch, width))
        self.position.build(history)
        merged = self.position.compute_output_shape(history)
        self.encoder.build([(batch, 1, d_model), merged])

    def call(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        query, history = inputs
        if hasattr(self, "project"):
            query = self.project(query)
        history = self.position(history, valid=valid)
        x = self.encoder(
            [ops.expand_dims(query, 1), history], valid=valid, training=training
        )[:, 0]
        return zero_if_empty(x, valid)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        batch, width = input_shape[0]
        return batch, self.d_model or width


class TIM(Layer):
    r"""Temporal interest module of TIN (Zhou et al. 2024, eq. 3-6).

        \tilde e_t = e_t + P[f_t],   \tilde q = q + P[0]
        a = softmax_t(<\tilde e_t, \tilde q> / \sqrt{width})
        u = \sum_t a_t (\tilde e_t * \tilde q)

    f_t counts back from the target: the most recent behaviour is 1; or it is a bucket
    of the time between them. That is all with the default arguments; any of the first
    four puts projections, residuals and normalisation around it, as in a transformer.

    Args:
        num_layers: Layers of the stack.
        d_model: Width of the feed-forward part, that of the query.
        num_heads: Heads.
        dff: Width inside the feed-forward part; `None` leaves it out.
        dropout: Fraction of weights dropped in training.
        max_len: Largest position; default: length of the history.
    Call arguments:
        inputs: `[query, history]`, of one width.
        valid: Which positions hold a behaviour; `None` means all.
        times: f_t, `(batch, length)`; default: counted.
    Returns:
        `(batch, width)`; zero for an empty history.
    Reference:
        Temporal Interest Network for User Response Prediction, WWW 2024.
    """

    def __init__(
        self,
        num_layers: int = 1,
        d_model: int | None = None,
        num_heads: int = 1,
        dff: int | None = None,
        dropout: float = 0.0,
        max_len: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.max_len = max_len
        projected = (num_layers, d_model, num_heads, dff) != (1, None, 1, None)
        self.encoder = Encoder(
            d_model,
            num_layers,
            num_heads,
            dff,
            dropout,
            attention_ffn=projected,
            residual=projected,
            target_aware=True,
            name="encoder",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, width), history = input_shape
        self.positions = self.add_weight(
            shape=((self.max_len or history[1]) + 1, history[-1]),
            initializer="uniform",
            name="positions",
        )
        self.encoder.build([(batch, 1, width), history])

    def call(
        self,
        inputs: Sequence[Tensor],
        valid: Tensor | None = None,
        times: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        query, history = inputs
        if times is None:
            times = positions_from_end(history, valid) + 1
        times = ops.minimum(times, self.positions.shape[0] - 1)
        history = history + ops.take(self.positions, times, axis=0)
        query = ops.expand_dims(query + self.positions[0], 1)
        u = self.encoder([query, history], valid=valid, training=training)[:, 0]
        return zero_if_empty(u, valid)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return input_shape[0]
