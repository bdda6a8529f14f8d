"""Pairs of embeddings, one of which passes a matrix first."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.interaction.pairs import field_pairs, inner_products
from recsys.types import Shape, Tensor

TYPES = ("all", "each", "interaction")


class BilinearInteraction(Layer):
    """p_ij = (e_i W) * e_j of all pairs i < j (Huang et al. 2019, section 3.3).

    W is one matrix (`"all"`), one of each left field (`"each"`), or one of each pair
    (`"interaction"`); no biases.

    Parameters: `d^2`, `(F - 1) d^2` or `F (F - 1) / 2 d^2`.

    Args:
        bilinear_type: `"all"`, `"each"` or `"interaction"`.
        product_1bit: Whether to sum p_ij to the inner product <e_i W, e_j>.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_pairs * dim)`, or `(batch, num_pairs)` for sums.
    Raises:
        ValueError: If the type is unknown, or there are no two embeddings of one dim.
    """

    def __init__(
        self, bilinear_type: str = "all", product_1bit: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if bilinear_type not in TYPES:
            raise ValueError(
                f"Layer {self.name!r}: bilinear_type must be one of {TYPES}. "
                f"Received: bilinear_type={bilinear_type!r}"
            )
        self.bilinear_type = bilinear_type
        self.product_1bit = product_1bit

    def build(self, input_shape: Sequence[Shape]) -> None:
        dims = [shape[-1] for shape in input_shape]
        n, dim = len(dims), dims[0]
        if n < 2 or len(set(dims)) > 1:
            raise ValueError(
                f"Layer {self.name!r}: there must be two embeddings or more, of one "
                f"dim. Received: dims {dims}"
            )
        # Side by side, the matrices that one left field is multiplied with.
        matrices = {
            "all": [1],
            "each": [1] * (n - 1),
            "interaction": range(n - 1, 0, -1),
        }[self.bilinear_type]
        limit = (6 / (2 * dim)) ** 0.5  # Glorot's, of one matrix
        self.kernels = [
            self.add_weight(
                shape=(dim, count * dim),
                initializer=keras.initializers.RandomUniform(-limit, limit),
                name=f"kernel_{i}",
            )
            for i, count in enumerate(matrices)
        ]

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        n, dim = len(inputs), inputs[0].shape[-1]
        if self.bilinear_type == "all":
            # One product of everything by one matrix.
            e = ops.stack(inputs, axis=1)
            product = ops.matmul(e, self.kernels[0])
            if self.product_1bit:
                return inner_products(product, e)
            projected = ops.unstack(product, n, axis=1)
        else:
            kernels = self.kernels
            projected = [ops.matmul(inputs[i], kernels[i]) for i in range(n - 1)]
        products = []
        for i in range(n - 1):
            left = projected[i]
            if self.bilinear_type != "interaction":
                left = ops.tile(left, (1, n - 1 - i))
            products.append(left * ops.concatenate(inputs[i + 1 :], axis=-1))
        flat = ops.concatenate(products, axis=-1)
        if not self.product_1bit:
            return flat
        return ops.sum(ops.reshape(flat, (-1, n * (n - 1) // 2, dim)), axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        pairs = len(field_pairs(len(input_shape)))
        width = 1 if self.product_1bit else input_shape[0][-1]
        return (input_shape[0][0], pairs * width)


class BiLinearLayer(Layer):
    """Bi-Linear+ of FiBiNet++: products of pairs, then a low-rank layer (3.3).

    Args:
        output_size: Width of the low-rank layer, which has a bias and no activation.
        bilinear_type: See `BilinearInteraction`.
        product_1bit: See `BilinearInteraction`; true is the paper's form.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, output_size)`.
    """

    def __init__(
        self,
        output_size: int = 50,
        bilinear_type: str = "all",
        product_1bit: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_size = output_size
        self.bilinear_type = bilinear_type
        self.product_1bit = product_1bit
        same = {"dtype": self.dtype_policy}
        self.bilinear = BilinearInteraction(
            bilinear_type, product_1bit, name="bilinear", **same
        )
        self.low_rank = keras.layers.Dense(output_size, name="low_rank", **same)

    def build(self, input_shape: Sequence[Shape]) -> None:
        self.bilinear.build(input_shape)
        self.low_rank.build(self.bilinear.compute_output_shape(input_shape))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.low_rank(self.bilinear(inputs))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], self.output_size)
