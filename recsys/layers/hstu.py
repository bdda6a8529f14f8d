"""Hierarchical Sequential Transduction Units."""

from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers import normalization
from recsys.layers.base import Layer
from recsys.types import Shape, Tensor


class HSTULayer(Layer):
    r"""Attention without softmax, gated by the token itself (eq. 1-3).

        U, V, Q, K = silu(LN(X) W_1)
        A = silu(Q K^T / \sqrt{qk_dim} + rab) / N
        Y = X + (LN(A V) * U) W_2

    N is the number of tokens, padding included. (The paper's scores are not divided by
    \sqrt{qk_dim}, as is usual elsewhere; undivided, they did not learn the planted
    order of `tests/rank/test_order.py`.) The bias rab is learned for each distance of
    two tokens and, with `num_times`, each difference of their times.

    Tokens are newest first, and see themselves and older ones. A is 0 for what is not
    seen, after the activation.

    Parameters of width D: `2 D` and `D h (2 qk_dim + 2 v_dim)`, `2 h v_dim` and `h
    v_dim D`, `N + num_times`.

    Masking: tokens that are not `valid` are seen by nobody.

    Args:
        num_heads: Heads, h.
        qk_dim: Width of a query or key of one head.
        v_dim: Width of a value of one head.
        num_times: Number of time ids; 0 leaves times out.
        dropout: Fraction of what is added to X dropped in training.
    Call arguments:
        x: `(batch, N, D)`.
        valid: `(batch, N)`, bool.
        times: `(batch, N)`, time ids, if there are.
    Returns:
        `(batch, N, D)`.
    Reference:
        Actions Speak Louder than Words, ICML 2024, https://arxiv.org/abs/2402.17152
    """

    def __init__(
        self,
        num_heads: int,
        qk_dim: int,
        v_dim: int,
        num_times: int = 0,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.qk_dim = qk_dim
        self.v_dim = v_dim
        self.num_times = num_times
        self.dropout = dropout

    def build(self, x_shape: Shape, *_: Any) -> None:
        n, width = x_shape[1:]
        same = {"dtype": self.dtype_policy}
        self.norm = normalization.layer_norm(name="norm", **same)
        self.norm.build(x_shape)
        inner = self.num_heads * self.v_dim
        into = 2 * inner + 2 * self.num_heads * self.qk_dim
        self.w1 = keras.layers.Dense(into, "silu", use_bias=False, name="w1", **same)
        self.w1.build(x_shape)
        self.norm_av = normalization.layer_norm(name="norm_av", **same)
        self.norm_av.build((None, None, inner))
        self.w2 = keras.layers.Dense(width, use_bias=False, name="w2", **same)
        self.w2.build((None, None, inner))
        self.drop = normalization.make_dropout(self.dropout, name="dropout", **same)
        self.by_distance = self.add_weight(
            shape=(n,), initializer="uniform", name="by_distance"
        )
        if self.num_times:
            self.by_time = self.add_weight(
                shape=(self.num_times,), initializer="uniform", name="by_time"
            )

    def call(
        self,
        x: Tensor,
        valid: Tensor,
        times: Any = None,  # a tensor where there are `num_times`
        training: bool = False,
    ) -> Tensor:
        n, h = x.shape[1], self.num_heads
        inner, keys = h * self.v_dim, h * self.qk_dim
        parts = ops.split(
            self.w1(self.norm(x)), [inner, 2 * inner, 2 * inner + keys], axis=-1
        )
        u = parts[0]
        v, q, k = (
            ops.transpose(ops.reshape(part, (-1, n, h, part.shape[-1] // h)), axes)
            for part, axes in zip(
                parts[1:], ((0, 2, 1, 3), (0, 2, 1, 3), (0, 2, 3, 1)), strict=True
            )
        )
        distance = np.arange(n) - np.arange(n)[:, None]  # at least 0 for older tokens
        scores = ops.matmul(q, k) / self.qk_dim**0.5
        scores += ops.take(self.by_distance, np.maximum(distance, 0), axis=0)
        if self.num_times:
            since = ops.expand_dims(times, 1) - ops.expand_dims(times, 2)
            since = ops.clip(since, 0, self.num_times - 1)
            scores += ops.expand_dims(ops.take(self.by_time, since, axis=0), 1)
        seen = ops.expand_dims(valid, 1) & ops.convert_to_tensor(distance >= 0)
        a = ops.where(ops.expand_dims(seen, 1), ops.silu(scores) / n, 0)
        av = ops.reshape(ops.transpose(ops.matmul(a, v), (0, 2, 1, 3)), (-1, n, inner))
        change = self.w2(self.norm_av(av) * u)
        return x + self.drop(change, training=training)

    def compute_output_shape(self, x_shape: Shape, *_: Any) -> Shape:
        return x_shape
