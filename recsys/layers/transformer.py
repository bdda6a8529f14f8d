"""Transformers over histories, with explicit masks."""

from collections.abc import Sequence
from typing import Any

import keras

from recsys.layers import mlp, normalization
from recsys.layers.activation import gelu
from recsys.layers.attention import BaseAttention, CrossAttention, MultiHeadAttention
from recsys.layers.base import Layer
from recsys.types import Shape, Tensor, Tensors

__all__ = [
    "BaseAttention",
    "CrossAttention",
    "Encoder",
    "EncoderLayer",
    "FeedForward",
    "MultiHeadAttention",
]


class FeedForward(Layer):
    """Position-wise MLP: LN(x + dropout(f(x W_1 + b_1) W_2 + b_2)).

    Args:
        d_model: Width of the input and output.
        dff: Width between them.
        dropout: Fraction dropped in training.
        activation: f, a Keras name; `"gelu"` is its form with tanh.
    Call arguments:
        x: `(batch, length, d_model)`.
    Returns:
        `(batch, length, d_model)`.
    Reference:
        Attention Is All You Need, NeurIPS 2017, eq. 2.
    """

    held = {"dropout": "rate"}  # files know the layer as `dropout`

    def __init__(
        self,
        d_model: int,
        dff: int,
        dropout: float = 0.1,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.d_model = d_model
        self.dff = dff
        self.rate = dropout
        self.activation = activation
        same = {"dtype": self.dtype_policy}
        inner = gelu if activation == "gelu" else activation
        self.expand = keras.layers.Dense(dff, inner, name="expand", **same)
        self.contract = keras.layers.Dense(d_model, name="contract", **same)
        self.dropout = normalization.make_dropout(dropout, name="dropout", **same)
        self.norm = normalization.layer_norm(name="norm", **same)

    def build(self, x_shape: Shape) -> None:
        self.expand.build(x_shape)
        self.contract.build((*x_shape[:-1], self.dff))
        self.norm.build(x_shape)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        change = self.dropout(self.contract(self.expand(x)), training=training)
        return self.norm(x + change)


class EncoderLayer(Layer):
    """One transformer layer: attention and, with `dff`, a feed-forward part.

    Args:
        d_model: Width.
        num_heads: Heads.
        dff: Width inside the feed-forward part; `None` leaves it out.
        dropout: Fraction dropped in training, of weights and of outputs.
        attention_ffn, residual, target_aware: Arguments of `CrossAttention`.
        activation: Inside the feed-forward part, a Keras name.
    Call arguments, masking and returns: as `MultiHeadAttention`.
    """

    def __init__(
        self,
        *,
        d_model: int,
        num_heads: int,
        dff: int | None = None,
        dropout: float = 0.1,
        attention_ffn: bool = False,
        residual: bool = True,
        target_aware: bool = False,
        activation: str = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.d_model = d_model
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.attention_ffn = attention_ffn
        self.residual = residual
        self.target_aware = target_aware
        self.activation = activation
        same = {"dtype": self.dtype_policy}
        self.attention = CrossAttention(
            attention_ffn,
            residual,
            target_aware,
            num_heads,
            dropout=dropout,
            name="cross_attention",
            **same,
        )
        self.ffn = None
        if dff:
            self.ffn = FeedForward(
                d_model, dff, dropout, activation, name="ffn", **same
            )

    def build(self, x_shape: Shape, context_shape: Shape | None = None) -> None:
        self.attention.build(x_shape, context_shape)
        if self.ffn is not None:
            self.ffn.build(x_shape)

    def call(
        self,
        x: Tensor,
        context: Tensor | None = None,
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        x = self.attention(x, context, valid=valid, training=training)
        return x if self.ffn is None else self.ffn(x, training=training)

    def compute_output_shape(
        self, x_shape: Shape, context_shape: Shape | None = None
    ) -> Shape:
        return x_shape


class Encoder(Layer):
    """A stack of `EncoderLayer`, all on the same context.

    Args:
        d_model: Width; `None` takes that of the input.
        num_layers: Layers.
        others: As in `EncoderLayer`.
    Call arguments:
        x: `(batch, queries, d_model)`, or a list of it and a context.
        valid: `(batch, length)` of the context, or of `x` if there is none.
    Returns:
        `(batch, queries, d_model)`.
    """

    def __init__(
        self,
        d_model: int | None,
        num_layers: int,
        num_heads: int,
        dff: int | None,
        dropout: float = 0.1,
        attention_ffn: bool = True,
        residual: bool = True,
        target_aware: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.d_model = d_model
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.dff = dff
        self.dropout = dropout
        self.attention_ffn = attention_ffn
        self.residual = residual
        self.target_aware = target_aware

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        shapes = mlp.as_shapes(input_shape)
        self.layers = [
            EncoderLayer(
                d_model=self.d_model or shapes[0][-1],
                num_heads=self.num_heads,
                dff=self.dff,
                dropout=self.dropout,
                attention_ffn=self.attention_ffn,
                residual=self.residual,
                target_aware=self.target_aware,
                name=f"layer_{i}",
                dtype=self.dtype_policy,
            )
            for i in range(self.num_layers)
        ]
        for layer in self.layers:
            layer.build(*shapes)

    def call(
        self,
        x: Tensors,
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        x, context = x if isinstance(x, (list, tuple)) else (x, None)
        for layer in self.layers:
            x = layer(x, context, valid=valid, training=training)
        return x

    def compute_output_shape(self, input_shape: Shape | Sequence[Shape]) -> Shape:
        return mlp.as_shapes(input_shape)[0]
