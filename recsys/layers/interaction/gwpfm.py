"""Interactions of fields in groups, each value with a vector for every group."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from recsys.layers.base import Layer
from recsys.types import Shape, Tensor


class GwPFM(Layer):
    r"""Group-weighted part-aware factorization machine (Pan et al. 2024).

        u = \sum_{i<j} r_{g(i) g(j)} v_i^{(g(j))} * v_j^{(g(i))}

    g(i) is the group of field i, v_i^{(k)} its vector for group k, * elementwise, r
    symmetric. With S_{a k} the sum of v_i^{(k)} over the fields of group a, this is
    half of `sum of r_ab S_ab * S_ba` less `sum of r_g(i)g(i) (v_i^{(g(i))})^2`: the
    cost grows with the fields and the squared number of groups, not with the pairs of
    fields. Computed in float32: the difference cancels in half precision.

    Parameters: `num_groups (num_groups + 1) / 2`.

    Args:
        num_groups: Number of groups.
        field_group_idx: Group of each field, from 0. Default: each field is a group.
    Call arguments:
        inputs: List of `(batch, num_groups * dim)`: for each field its vectors side by
            side, in order of the groups.
    Returns:
        `(batch, dim)`, float32.
    Raises:
        ValueError: If groups and inputs do not fit.
    Reference:
        Ads Recommendation in a Collapsed and Entangled World, KDD 2024.
    """

    def __init__(
        self,
        num_groups: int,
        field_group_idx: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        groups = range(num_groups) if field_group_idx is None else field_group_idx
        if set(groups) != set(range(num_groups)):
            raise ValueError(
                f"Layer {self.name!r}: field_group_idx must use every group from 0 to "
                f"{num_groups - 1}. Received: {list(groups)}"
            )
        self.num_groups = num_groups
        self.field_group_idx = list(groups)

    def build(self, input_shape: Sequence[Shape]) -> None:
        n = self.num_groups
        widths = {shape[-1] for shape in input_shape}
        if len(input_shape) != len(self.field_group_idx):
            raise ValueError(
                f"Layer {self.name!r}: needs one embedding for each of the "
                f"{len(self.field_group_idx)} fields. Received: {len(input_shape)}"
            )
        if len(widths) > 1 or max(widths) % n:
            raise ValueError(
                f"Layer {self.name!r}: the embeddings must have one width, "
                f"{n} groups times dim. Received: widths {sorted(widths)}"
            )
        self.r = self.add_weight(
            shape=(n * (n + 1) // 2,), initializer="ones", name="r"
        )
        # Where r of groups a and b is stored: the upper triangle, row by row.
        a, b = np.triu_indices(n)
        self._stored = np.zeros((n, n), "int32")
        self._stored[a, b] = self._stored[b, a] = np.arange(len(a))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        n = self.num_groups
        dim = inputs[0].shape[-1] // n
        v = [ops.reshape(x, (-1, n, dim)) for x in inputs]
        members: list[list[Any]] = [[] for _ in range(n)]
        squares: list[list[Any]] = [[] for _ in range(n)]
        for x, group in zip(v, self.field_group_idx, strict=True):
            members[group].append(x)
            squares[group].append(ops.square(x[:, group]))
        s = ops.stack([_sum(each) for each in members], axis=1)
        products = s * ops.transpose(s, (0, 2, 1, 3))  # (batch, n, n, dim)
        r = ops.reshape(ops.take(self.r, self._stored), (1, -1))
        products = ops.reshape(products, (-1, n * n, dim))
        own = ops.stack([_sum(each) for each in squares], axis=1)
        r_own = ops.expand_dims(ops.take(self.r, np.diag(self._stored)), 0)
        u = ops.matmul(r, products) - ops.matmul(r_own, own)
        return 0.5 * ops.squeeze(u, axis=1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[0][-1] // self.num_groups)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])
