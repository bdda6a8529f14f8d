"""Cross networks: every layer multiplies what it has by the input once more."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.mlp import FeedForwardLayer, Tower, as_shapes
from recsys.types import Activation, Shape, Tensor

Structure = Literal["parallel", "stacked"]


class Cross(Layer):
    """One layer of a cross network; its subclasses say what multiplies `x0`.

    Args:
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `[x0, x]`, each `(batch, width)`: the input of the network and the
            output of the layer before.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l2_reg = l2_reg

    def add_kernel(self, name: str, *shape: int) -> Tensor:
        """Returns a new penalised weight."""
        return self.add_weight(
            shape=shape,
            initializer="glorot_uniform",
            regularizer=keras.regularizers.L2(self.l2_reg) if self.l2_reg else None,
            name=name,
        )

    def add_bias(self, width: int) -> Tensor:
        """Returns a new bias, zero at the start."""
        return self.add_weight(shape=(width,), initializer="zeros", name="bias")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return as_shapes(input_shape)[-1]


class VectorCross(Cross):
    r"""The cross layer of DCN (Wang et al. 2017, eq. 3).

        x' = x_0 (x^T w) + b + x

    Example:
    >>> cross = VectorCross()
    >>> cross.build([(None, 2), (None, 2)])
    >>> cross.set_weights([np.ones((2, 1)), np.zeros(2)])
    >>> cross([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[10., 18.]], dtype=float32)

    Reference:
        Deep & Cross Network for Ad Click Predictions, ADKDD 2017.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[-1][-1]
        self.kernel = self.add_kernel("kernel", width, 1)
        self.bias = self.add_bias(width)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x0, x = inputs
        return x0 * ops.matmul(x, self.kernel) + self.bias + x


class MatrixCross(Cross):
    r"""The cross layer of DCN-V2 (Wang et al. 2021, eq. 1 and 2).

        x' = x_0 * (W x + b) + x

    The bias is inside the product. With `low_rank_dim` W is a product U V^T.

    Args:
        low_rank_dim: Rank of W; `None` for a full matrix.
        l2_reg: See `Cross`.
    Raises:
        ValueError: If the rank is less than 1.
    Example:
    >>> cross = MatrixCross()
    >>> cross.build([(None, 2), (None, 2)])
    >>> cross.set_weights([np.eye(2)[::-1], np.zeros(2)])
    >>> cross([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[ 7., 10.]], dtype=float32)

    Reference:
        DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale
        Learning to Rank Systems, WWW 2021.
    """

    def __init__(
        self, low_rank_dim: int | None = None, l2_reg: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(l2_reg, **kwargs)
        if low_rank_dim is not None and low_rank_dim < 1:
            raise ValueError(
                f"Layer {self.name!r}: low_rank_dim must be at least 1. "
                f"Received: low_rank_dim={low_rank_dim}"
            )
        self.low_rank_dim = low_rank_dim

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[-1][-1]
        if self.low_rank_dim is None:
            self.kernel = self.add_kernel("kernel", width, width)
        else:
            self.v = self.add_kernel("v", width, self.low_rank_dim)
            self.u = self.add_kernel("u", self.low_rank_dim, width)
        self.bias = self.add_bias(width)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x0, x = inputs
        if self.low_rank_dim is None:
            product = ops.matmul(x, self.kernel)
        else:
            product = ops.matmul(ops.matmul(x, self.v), self.u)
        return x0 * (product + self.bias) + x


class CrossStack(Layer):
    """Cross layers on each other; its subclasses say which.

    Its output holds products of up to `num_layers + 1` of its inputs. Without layers
    it returns them.

    Args:
        num_layers: Number of layers.
        l2_reg: Penalty on the kernels.
    Call arguments:
        inputs: `(batch, width)`, or a list to be put side by side.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, num_layers: int, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.l2_reg = l2_reg

    def new_layer(self, **kwargs: Any) -> Cross:
        """Returns a new cross layer with the given name and dtype."""
        raise NotImplementedError

    def build(self, input_shape: Shape) -> None:
        self.layers = [
            self.new_layer(name=f"cross_{i}", dtype=self.dtype_policy)
            for i in range(self.num_layers)
        ]
        shape = self.compute_output_shape(input_shape)
        for layer in self.layers:
            layer.build([shape, shape])

    def call(self, inputs: Tensor) -> Tensor:
        if isinstance(inputs, (list, tuple)):
            inputs = ops.concatenate(inputs, axis=-1)
        x = inputs
        for layer in self.layers:
            x = layer([inputs, x])
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shapes = as_shapes(input_shape)
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))


class CrossNet(CrossStack):
    """The cross network of DCN (`VectorCross`) or DCN-V2 (`MatrixCross`).

    Args:
        num_layers: Number of layers; none returns the input.
        cross_type: `"matrix"` or `"vector"`.
        low_rank_dim: Rank of the matrices; `None` for full ones.
        l2_reg: Penalty on the kernels.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, width)`.
    Raises:
        ValueError: If `cross_type` is unknown, or vectors are given a rank.
    """

    def __init__(
        self,
        num_layers: int = 2,
        cross_type: str = "matrix",
        low_rank_dim: int | None = None,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_layers, l2_reg, **kwargs)
        if cross_type not in ("matrix", "vector") or (
            cross_type == "vector" and low_rank_dim is not None
        ):
            raise ValueError(
                f"Layer {self.name!r}: cross_type must be 'matrix' or 'vector', and "
                "low_rank_dim is for matrices. Received: "
                f"cross_type={cross_type!r}, low_rank_dim={low_rank_dim}"
            )
        self.cross_type = cross_type
        self.low_rank_dim = low_rank_dim

    def new_layer(self, **kwargs: Any) -> Cross:
        if self.cross_type == "vector":
            return VectorCross(self.l2_reg, **kwargs)
        return MatrixCross(self.low_rank_dim, self.l2_reg, **kwargs)


def cross_and_deep(
    x: Tensor,
    cross: keras.layers.Layer,
    structure: Structure,
    num_logits: int,
    hidden_units: Sequence[int],
    activation: Activation,
    l2_reg: float,
    dropout: float,
    use_bn: bool,
) -> Tensor:
    """Returns the logits of a cross network and an MLP.

    Args:
        x: `(batch, width)`.
        cross: The cross network.
        structure: `"parallel"`: both read `x`, and their outputs go side by side to
            the logits; `"stacked"`: the MLP reads the cross network.
        num_logits: See `Tower`.
        hidden_units: Sizes of the MLP's layers; none leaves it out.
        activation, l2_reg, dropout, use_bn: Of the MLP, see `FeedForwardLayer`.
    """
    crossed = cross(x)
    if structure == "stacked" or not hidden_units:
        return Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits,
            name="dnn_mlp",
        )(crossed)
    deep = FeedForwardLayer(
        hidden_units, activation, l2_reg, dropout, use_bn, name="dnn_mlp"
    )(x)
    both = keras.layers.Concatenate()([crossed, deep])
    return Tower((), num_logits=num_logits, name="dnn_joint")(both)
