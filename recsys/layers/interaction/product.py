"""Products of pairs of embeddings, by inner product, outer product, or a kernel."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.interaction.pairs import (
    field_pairs,
    inner_products,
    pair_embeddings,
)
from recsys.types import Activation, Shape, Tensor

KERNELS = ("num", "vec", "mat")


class _Pairs(Layer):
    """What layers on pairs of embeddings have in common: the check of their input."""

    def build(self, input_shape: Sequence[Shape]) -> None:
        dims = [shape[-1] for shape in input_shape]
        if len(dims) < 2 or len(set(dims)) > 1:
            raise ValueError(
                f"Layer {self.name!r}: there must be two embeddings or more, of one "
                f"dim. Received: dims {dims}"
            )
        self.num_pairs = len(field_pairs(len(dims)))


class InnerProduct(_Pairs):
    """<e_i, e_j> of all pairs i < j (Qu et al. 2018, eq. 9).

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_pairs)`.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return inner_products(ops.stack(inputs, axis=1))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], len(field_pairs(len(input_shape))))


class OuterProduct(_Pairs):
    r"""Superposed outer product f f^T, f = \sum_i e_i (Qu et al. 2016, eq. 13).

    It is the sum of e_i e_j^T over all i and j.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, dim * dim)`.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        f = sum(inputs[1:], start=inputs[0])
        outer = ops.expand_dims(f, 2) * ops.expand_dims(f, 1)
        return ops.reshape(outer, (-1, f.shape[-1] ** 2))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[0][-1] ** 2)


class KernelProduct(_Pairs):
    """A trained product of each pair i < j (Qu et al. 2018, section 3.2).

        num: k_ij <e_i, e_j>,   vec: <e_i * k_ij, e_j>,   mat: e_i^T K_ij e_j

    Kernels start as the unit kernel, which is the inner product.

    Parameters: `P`, `P d` or `P d^2` for P pairs.

    Args:
        kernel_type: `"num"`, `"vec"` or `"mat"`.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_pairs)`.
    Raises:
        ValueError: If the kernel is unknown.
    """

    def __init__(self, kernel_type: str = "mat", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if kernel_type not in KERNELS:
            raise ValueError(
                f"Layer {self.name!r}: kernel_type must be one of {KERNELS}. "
                f"Received: kernel_type={kernel_type!r}"
            )
        self.kernel_type = kernel_type

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        dim = input_shape[0][-1]
        if self.kernel_type == "mat":
            shape: tuple[int, ...] = (self.num_pairs, dim, dim)
            unit: Any = identities
        else:
            shape = (self.num_pairs,) + (dim,) * (self.kernel_type == "vec")
            unit = "ones"
        self.kernel = self.add_weight(shape=shape, initializer=unit, name="kernel")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        if self.kernel_type == "num":
            return inner_products(ops.stack(inputs, axis=1)) * self.kernel
        left, right = pair_embeddings(inputs)
        kernels = self.kernels()
        if self.kernel_type == "mat":
            left = ops.matmul(left, kernels)
        else:
            left = left * ops.expand_dims(kernels, 1)
        return ops.transpose(ops.sum(left * right, axis=-1))

    def kernels(self) -> Tensor:
        """Returns what the embeddings are multiplied with, one for each pair."""
        return self.kernel

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], len(field_pairs(len(input_shape))))


class SymmetricProduct(KernelProduct):
    """e_i^T W_ij e_j of each pair i < j with symmetric W_ij (Pande 2020, eq. 7).

    W_ij = (U_ij + U_ij^T) / 2, the identity at the start.

    Parameters: `P d^2` for P pairs, of which `P d (d + 1) / 2` are effective.

    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_pairs)`.
    Reference:
        Field-Embedded Factorization Machines, https://arxiv.org/abs/2009.09931
    """

    def kernels(self) -> Tensor:
        return symmetric(self.kernel)


def symmetric(kernel: Tensor) -> Tensor:
    """Returns (U + U^T) / 2 of each pair, `(num_pairs, dim, dim)`."""
    return 0.5 * (kernel + ops.transpose(kernel, (0, 2, 1)))


def identities(shape: Shape, dtype: Any = None) -> Tensor:
    """Initializes `(num_pairs, dim, dim)` with identity matrices."""
    eye = ops.expand_dims(ops.eye(shape[-1], dtype=dtype), 0)
    return ops.tile(eye, (shape[0], 1, 1))


class NetProduct(_Pairs):
    """A network for each pair i < j: PIN (Qu et al. 2018, eq. 17-19).

        LN(W_2 activation(LN(W_1 [e_i, e_j, e_i * e_j] + b_1)) + b_2)

    LN takes its moments over the pairs and units of a row together; scale and shift
    are one of each unit.

    Parameters: `P (3 d h + h + h m + m) + 2 h + 2 m` for P pairs.

    Args:
        hidden: Inner width, h.
        units: Outputs of a pair, m.
        activation: Between the two layers.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, num_pairs * units)`.
    """

    def __init__(
        self,
        hidden: int = 20,
        units: int = 1,
        activation: Activation | dict[str, Any] = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden = hidden
        self.units = units
        self.activation = activation
        self.nonlinear = get_activation(
            activation, name="activation", dtype=self.dtype_policy
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        super().build(input_shape)
        dim = input_shape[0][-1]
        self.kernel_1, self.bias_1, self.norm_1 = self._layer(1, 3 * dim, self.hidden)
        self.kernel_2, self.bias_2, self.norm_2 = self._layer(
            2, self.hidden, self.units
        )
        self.nonlinear.build((self.num_pairs, None, self.hidden))

    def _layer(
        self, i: int, rows: int, columns: int
    ) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        limit = (6 / (rows + columns)) ** 0.5  # Glorot's, of one pair
        kernel = self.add_weight(
            shape=(self.num_pairs, rows, columns),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name=f"kernel_{i}",
        )
        bias = self.add_weight(
            shape=(self.num_pairs, 1, columns), initializer="zeros", name=f"bias_{i}"
        )
        scale = self.add_weight(shape=(columns,), initializer="ones", name=f"scale_{i}")
        shift = self.add_weight(
            shape=(columns,), initializer="zeros", name=f"shift_{i}"
        )
        return kernel, bias, (scale, shift)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        left, right = pair_embeddings(inputs)
        x = ops.concatenate([left, right, left * right], axis=-1)
        x = _norm(ops.matmul(x, self.kernel_1) + self.bias_1, *self.norm_1)
        x = self.nonlinear(x)
        x = _norm(ops.matmul(x, self.kernel_2) + self.bias_2, *self.norm_2)
        width = self.num_pairs * self.units
        return ops.reshape(ops.transpose(x, (1, 0, 2)), (-1, width))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], len(field_pairs(len(input_shape))) * self.units)


def _norm(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalises each row of `(pairs, batch, units)` over its pairs and units."""
    z = ops.cast(x, "float32")
    mean, variance = ops.moments(z, axes=(0, 2), keepdims=True)
    z = ops.cast((z - mean) * ops.rsqrt(variance + 1e-5), x.dtype)
    return z * scale + shift


class ProductLayer(Layer):
    """The embeddings and their products side by side: the product layer of PNN.

    Args:
        inner: Whether to add the inner products (`InnerProduct`).
        outer: Whether to add the outer product (`OuterProduct`), or what `kernel_type`
            names instead.
        kernel_type: `None` for the outer product; `"num"`, `"vec"`, `"mat"` for
            `KernelProduct`, `"net"` for `NetProduct`.
        activation: Activation of the networks with `"net"`.
        net_size: Their inner width.
    Call arguments:
        inputs: List of `(batch, dim)`.
    Returns:
        `(batch, width)`.
    Raises:
        ValueError: If there is no product.
    """

    def __init__(
        self,
        inner: bool = True,
        outer: bool = False,
        kernel_type: str | None = "mat",
        activation: Activation | dict[str, Any] | None = None,
        net_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not inner and not outer:
            raise ValueError(
                f"Layer {self.name!r}: needs a product. Received: inner=False, "
                "outer=False"
            )
        self.inner = inner
        self.outer = outer
        self.kernel_type = kernel_type
        self.activation = activation
        self.net_size = net_size
        same = {"dtype": self.dtype_policy}
        self.products: list[Any] = []
        if inner:
            self.products.append(InnerProduct(name="inner", **same))
        if outer and kernel_type is None:
            self.products.append(OuterProduct(name="outer", **same))
        elif outer and kernel_type == "net":
            net = NetProduct(
                net_size or 20, activation=activation or "relu", name="outer", **same
            )
            self.products.append(net)
        elif outer:
            self.products.append(KernelProduct(str(kernel_type), name="outer", **same))

    def build(self, input_shape: Sequence[Shape]) -> None:
        for product in self.products:
            product.build(input_shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        products = [product(inputs) for product in self.products]
        return ops.concatenate([*inputs, *products], axis=-1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        shapes = [
            product.compute_output_shape(input_shape) for product in self.products
        ]
        width = sum(shape[-1] for shape in [*input_shape, *shapes])
        return (input_shape[0][0], width)
