"""Factorization machines whose pairs of fields have weights of their own."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.interaction.pairs import field_pairs
from recsys.layers.interaction.product import identities, symmetric
from recsys.types import Shape, Tensor


class _PairSum(Layer):
    """A sum over pairs of embeddings in float32, and the check of their number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Sequence[Shape]) -> None:
        if len(input_shape) < 2:
            raise ValueError(
                f"Layer {self.name!r}: there must be two fields with embeddings to "
                f"form a pair. Received: {len(input_shape)}"
            )
        self.widths = [shape[-1] for shape in input_shape]

    def one_dim(self) -> int:
        """Returns the width of all embeddings."""
        if len(set(self.widths)) > 1:
            raise ValueError(
                f"Layer {self.name!r}: the embeddings must have one dim. "
                f"Received: dims {self.widths}"
            )
        return int(self.widths[0])

    def upper(self, of_pairs: Tensor) -> Tensor:
        """Returns `(num_fields, num_fields, ...)`: row i, column j of i < j, or 0."""
        n = len(self.widths)
        stored = [0] * (n * n)
        for p, (i, j) in enumerate(field_pairs(n)):
            stored[i * n + j] = p + 1
        padding = ((1, 0), *((0, 0) for _ in of_pairs.shape[1:]))
        square = ops.take(ops.pad(of_pairs, padding), stored, axis=0)
        return ops.reshape(square, (n, n, *of_pairs.shape[1:]))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], 1)


class FwFM(_PairSum):
    r"""y = \sum_{i<j} r_ij <e_i, e_j>, r of ones at the start (Pan et al. 2018, eq. 3).

    Parameters: one for each pair of fields.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no two embeddings of one dim.
    Reference:
        Field-weighted Factorization Machines, WWW 2018.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        self.one_dim()
        pairs = len(field_pairs(len(self.widths)))
        self.r = self.add_weight(shape=(pairs, 1), initializer="ones", name="r")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x = ops.stack(inputs, axis=-1)  # (batch, dim, fields)
        r = ops.squeeze(self.upper(self.r), axis=-1)
        return ops.expand_dims(ops.sum(ops.matmul(x, r) * x, axis=(1, 2)), -1)


class FmFM(_PairSum):
    r"""y = \sum_{i<j} e_i M_ij e_j^T, of any widths (Sun et al. 2021, eq. 6).

    All of it is one matrix product, by the M_ij as blocks above the diagonal.

    Parameters: `sum over i < j of d_i d_j`.

    Call arguments:
        inputs: List of `(batch, dim_i)`.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no two embeddings.
    Reference:
        FM2: Field-matrixed Factorization Machines, WWW 2021.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        mean = sum(self.widths) / len(self.widths)
        limit = (3 / mean) ** 0.5  # Glorot's, of one block
        self.kernels = [
            self.add_weight(
                shape=(width, sum(self.widths[i + 1 :])),
                initializer=keras.initializers.RandomUniform(-limit, limit),
                name=f"kernel_{i}",
            )
            for i, width in enumerate(self.widths[:-1])
        ]

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x = ops.concatenate(inputs, axis=-1)
        total = sum(self.widths)
        rows = [
            ops.pad(kernel, ((0, 0), (total - kernel.shape[1], 0)))
            for kernel in self.kernels
        ]
        left = x[:, : total - self.widths[-1]]
        right = ops.matmul(left, ops.concatenate(rows, axis=0))
        return ops.sum(right * x, axis=-1, keepdims=True)


class FvFM(_PairSum):
    r"""y = \sum_{i<j} <e_i * m_ij, e_j>: `FmFM` with diagonal matrices.

    The vectors are ones at the start.

    Parameters: d for each pair of fields.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no two embeddings of one dim.
    Reference:
        FM2: Field-matrixed Factorization Machines, WWW 2021.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        pairs = field_pairs(len(self.widths))
        self.m = self.add_weight(
            shape=(len(pairs), self.one_dim()), initializer="ones", name="m"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x = ops.stack(inputs, axis=-1)  # (batch, dim, fields)
        x = ops.transpose(x, (1, 0, 2))  # one quadratic form for each dimension
        m = ops.transpose(self.upper(self.m), (2, 0, 1))
        y = ops.sum(ops.matmul(x, m) * x, axis=(0, 2))
        return ops.expand_dims(y, -1)


class FEFM(_PairSum):
    r"""y = \sum_{i<j} e_i^T W_ij e_j, W_ij symmetric: the sum of `SymmetricProduct`.

    All of it is one matrix product, by the W_ij as blocks above the diagonal.

    Parameters: `d^2` for each pair of fields, of which `d (d + 1) / 2` are effective.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no two embeddings of one dim.
    Reference:
        Field-Embedded Factorization Machines, https://arxiv.org/abs/2009.09931
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        pairs, dim = len(field_pairs(len(self.widths))), self.one_dim()
        self.kernel = self.add_weight(
            shape=(pairs, dim, dim), initializer=identities, name="kernel"
        )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x = ops.concatenate(inputs, axis=-1)
        blocks = ops.transpose(self.upper(symmetric(self.kernel)), (0, 2, 1, 3))
        matrix = ops.reshape(blocks, (x.shape[-1], x.shape[-1]))
        return ops.sum(ops.matmul(x, matrix) * x, axis=-1, keepdims=True)


class FFM(_PairSum):
    r"""y = \sum_{i<j} <v_i^{(j)}, v_j^{(i)}>, v_i^{(j)} being i's vector for field j.

    Memory and time grow with the number of pairs (Juan et al. 2016, eq. 4).

    Call arguments:
        inputs: List of `(batch, num_fields * dim)`: for each field its vectors side by
            side, in order of the fields. That for the field itself is not read.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If there are no two inputs of one width, divisible by their number.
    Reference:
        Field-aware Factorization Machines for CTR Prediction, RecSys 2016.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        if self.one_dim() % len(self.widths):
            raise ValueError(
                f"Layer {self.name!r}: a field must have one vector for each of the "
                f"{len(self.widths)} fields. Received: widths {self.widths}"
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        n = len(inputs)
        v = [ops.split(x, n, axis=-1) for x in inputs]
        pairs = field_pairs(n)
        left = ops.concatenate([v[i][j] for i, j in pairs], axis=-1)
        right = ops.concatenate([v[j][i] for i, j in pairs], axis=-1)
        return ops.sum(left * right, axis=-1, keepdims=True)
