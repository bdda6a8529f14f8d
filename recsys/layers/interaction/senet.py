"""Weights of embeddings, squeezed from all of them."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.normalization import layer_norm
from recsys.types import Shape, Tensor


class FieldSENet(Layer):
    """Squeeze-and-excitation of FiBiNET: one weight a field (Huang et al. 2019, 3.2).

        z_f = mean of e_f,  A = ReLU(W_2 ReLU(W_1 z)),  v_f = A_f e_f

    Parameters: `2 F max(1, F // reduction_ratio)`.

    Args:
        reduction_ratio: Fields over inner units.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        List like `inputs`.
    """

    def __init__(self, reduction_ratio: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio

    def build(self, input_shape: Sequence[Shape]) -> None:
        fields = len(input_shape)
        inner = max(1, fields // self.reduction_ratio)
        same = {"use_bias": False, "dtype": self.dtype_policy}
        self.squeeze = keras.layers.Dense(inner, "relu", name="squeeze", **same)
        self.excite = keras.layers.Dense(fields, "relu", name="excite", **same)
        self.squeeze.build((None, fields))
        self.excite.build((None, inner))

    def call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        means = [ops.mean(e, axis=-1, keepdims=True) for e in inputs]
        weights = self.excite(self.squeeze(ops.concatenate(means, axis=-1)))
        each = ops.split(weights, len(inputs), axis=-1)
        return [a * e for a, e in zip(each, inputs, strict=True)]


class SENet(Layer):
    """SENet+ of FiBiNet++: one weight for each number (Zhang and Zhang 2023, 3.4).

        Z = means and maxima of the groups of every e_f
        A = W_2 ReLU(W_1 Z)
        u_f = LN(e_f * A_f + e_f)

    LN has one scale and one shift for all fields; the weights may take both signs.

    Parameters: `2 g F s + s F d + 2 d` for s inner units, s = 2 g F / ratio.

    Args:
        reduction_ratio: Squeezed numbers over inner units.
        num_groups: Parts of an embedding that are squeezed apart, g.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_fields * dim)`.
    Raises:
        ValueError: If `dim` is not divisible by the groups, or differs.
    """

    def __init__(
        self, reduction_ratio: int = 3, num_groups: int = 2, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.reduction_ratio = reduction_ratio
        self.num_groups = num_groups

    def build(self, input_shape: Sequence[Shape]) -> None:
        dims = {shape[-1] for shape in input_shape}
        if len(dims) > 1 or max(dims) % self.num_groups:
            raise ValueError(
                f"Layer {self.name!r}: the embeddings must have one dim, divisible by "
                f"num_groups={self.num_groups}. Received: dims {sorted(dims)}"
            )
        self.fields, self.dim = len(input_shape), max(dims)
        squeezed = 2 * self.num_groups * self.fields
        inner = max(1, squeezed // self.reduction_ratio)
        width = self.fields * self.dim
        same = {"use_bias": False, "dtype": self.dtype_policy}
        self.squeeze = keras.layers.Dense(inner, "relu", name="squeeze", **same)
        self.excite = keras.layers.Dense(width, name="excite", **same)
        self.norm = layer_norm(epsilon=1e-6, dtype=self.dtype_policy, name="norm")
        self.squeeze.build((None, squeezed))
        self.excite.build((None, inner))
        self.norm.build((None, self.fields, self.dim))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        e = ops.concatenate(inputs, axis=-1)
        size = self.dim // self.num_groups
        groups = ops.reshape(e, (-1, self.fields * self.num_groups, size))
        z = [ops.mean(groups, axis=-1), ops.max(groups, axis=-1)]
        weights = self.excite(self.squeeze(ops.concatenate(z, axis=-1)))
        u = ops.reshape(e * weights + e, (-1, self.fields, self.dim))
        return ops.reshape(self.norm(u), (-1, self.fields * self.dim))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], sum(shape[-1] for shape in input_shape))
