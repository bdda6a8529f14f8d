"""Attention of several heads."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers import normalization
from recsys.layers.base import Layer
from recsys.layers.masking import masked_softmax
from recsys.types import Shape, Tensor


class MultiHeadAttention(Layer):
    r"""Scaled dot-product attention of several heads (Vaswani et al. 2017, eq. 1).

        head = softmax(Q K^T / sqrt(key_dim)) V,    output = concat(heads) W^O

    Masking: positions of the context that are not `valid` get weight 0; a row
    without any valid position gets the zero vector (before the output bias).

    Args:
        num_heads: Heads; must divide the width if there are no projections.
        key_dim: Width of one head. Default: width of the query over `num_heads`,
            rounded up.
        dropout: Fraction of attention weights dropped in training.
        target_aware: Multiply what is gathered by the query, element by element:
            the target-aware representation of TIN (Zhou et al. 2024, eq. 6).
        attention_ffn: Whether queries, keys, values and output are projected.
    Call arguments:
        query: `(batch, queries, width)`.
        context: `(batch, length, any width)`, keys and values; default: the query.
        valid: `(batch, length)`, or `(batch, queries, length)` if not all queries see
            the same; bool; `None` means all.
    Returns:
        `(batch, queries, width)`.
    Raises:
        ValueError: If the widths do not fit attention without projections.
    Reference:
        Attention Is All You Need, NeurIPS 2017.
    """

    query_dense: keras.layers.Dense
    key_dense: keras.layers.Dense
    value_dense: keras.layers.Dense
    output_dense: keras.layers.Dense

    def __init__(
        self,
        target_aware: bool = False,
        attention_ffn: bool = True,
        num_heads: int = 1,
        key_dim: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.target_aware = target_aware
        self.attention_ffn = attention_ffn
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.dropout_layer = normalization.make_dropout(dropout, name="dropout")

    def build(self, query_shape: Shape, context_shape: Shape | None = None) -> None:
        width = query_shape[-1]
        context = (context_shape or query_shape)[-1]
        self._head_dim = self.key_dim or -(-width // self.num_heads)
        if self.attention_ffn:
            inner = self._head_dim * self.num_heads
            for name, size, into in (
                ("query", width, inner),
                ("key", context, inner),
                ("value", context, inner),
                ("output", inner, width),
            ):
                dense = keras.layers.Dense(into, name=name, dtype=self.dtype_policy)
                dense.build((None, None, size))
                setattr(self, f"{name}_dense", dense)
        elif width != context or width != self._head_dim * self.num_heads:
            raise ValueError(
                f"Layer {self.name!r}: without projections, query and context must "
                f"have one width, a multiple of num_heads. Received: query {width}, "
                f"context {context}, num_heads={self.num_heads}"
            )

    def call(
        self,
        query: Tensor,
        context: Tensor | None = None,
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        context = query if context is None else context
        q, k, v = query, context, context
        if self.attention_ffn:
            q, k, v = self.query_dense(q), self.key_dense(k), self.value_dense(v)
        q, k, v = self._heads(q), self._heads(k), self._heads(v)
        scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2)))
        if valid is not None and len(valid.shape) == 2:
            valid = valid[:, None, :]
        if valid is not None:
            valid = valid[:, None]  # (batch, head, query, length)
        weights = masked_softmax(scores / self._head_dim**0.5, valid)
        weights = self.dropout_layer(weights, training=training)
        gathered = ops.matmul(weights, v)
        if self.target_aware:
            gathered = gathered * q
        gathered = ops.transpose(gathered, (0, 2, 1, 3))
        inner = self.num_heads * self._head_dim
        gathered = ops.reshape(gathered, (*_lead(query), inner))
        return self.output_dense(gathered) if self.attention_ffn else gathered

    def _heads(self, x: Tensor) -> Tensor:
        """(batch, length, heads * head_dim) -> (batch, heads, length, head_dim)."""
        x = ops.reshape(x, (*_lead(x), self.num_heads, self._head_dim))
        return ops.transpose(x, (0, 2, 1, 3))

    def compute_output_shape(
        self, query_shape: Shape, context_shape: Shape | None = None
    ) -> Shape:
        return query_shape


def _lead(x: Tensor) -> Shape:
    """Batch and length of `x`, with -1 for the batch."""
    return -1, x.shape[1] if x.shape[1] is not None else ops.shape(x)[1]


class BilinearAttention(Layer):
    r"""Weights of behaviours by a bilinear form: a = softmax_t(h_t^T W q).

    Masking: positions that are not `valid` get weight 0, all of them if none is.

    Call arguments:
        inputs: `[query, history]`, `(batch, any width)` and `(batch, length, width)`.
        valid: `(batch, length)`, bool; `None` means all.
    Returns:
        `(batch, length)`.
    Reference:
        Deep Interest Evolution Network, AAAI 2019, eq. 8; Deep Session Interest
        Network, IJCAI 2019, eq. 9.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        query, history = input_shape
        self.kernel = self.add_weight(shape=(query[-1], history[-1]), name="kernel")

    def call(self, inputs: Sequence[Tensor], valid: Tensor | None = None) -> Tensor:
        query, history = inputs
        asked = ops.expand_dims(ops.matmul(query, self.kernel), -1)
        return masked_softmax(ops.matmul(history, asked)[..., 0], valid)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[1][:2])


class CrossAttention(Layer):
    """Attention, then residual and layer normalisation: LN(x + attention(x)).

    Args:
        attention_ffn, target_aware, num_heads, key_dim, dropout: Of
            `MultiHeadAttention`.
        residual: Whether there is a residual and a normalisation.
    Call arguments, masking and returns: as `MultiHeadAttention`.
    """

    def __init__(
        self,
        attention_ffn: bool = True,
        residual: bool = True,
        target_aware: bool = False,
        num_heads: int = 1,
        key_dim: int | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.attention_ffn = attention_ffn
        self.residual = residual
        self.target_aware = target_aware
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        same = {"dtype": self.dtype_policy}
        self.attention = MultiHeadAttention(
            target_aware,
            attention_ffn,
            num_heads,
            key_dim,
            dropout,
            name="attention",
            **same,
        )
        if residual:
            self.norm = normalization.layer_norm(name="norm", **same)

    def build(self, x_shape: Shape, context_shape: Shape | None = None) -> None:
        self.attention.build(x_shape, context_shape)
        if self.residual:
            self.norm.build(x_shape)

    def call(
        self,
        x: Tensor,
        context: Tensor | None = None,
        valid: Tensor | None = None,
        training: bool = False,
    ) -> Tensor:
        attended = self.attention(x, context, valid=valid, training=training)
        return self.norm(x + attended) if self.residual else attended

    def compute_output_shape(
        self, x_shape: Shape, context_shape: Shape | None = None
    ) -> Shape:
        return x_shape


BaseAttention = CrossAttention
