"""Feed-forward blocks."""

from collections.abc import Sequence
from typing import Any

import keras

from recsys.layers.activation import Dice, get_activation
from recsys.layers.base import Layer
from recsys.layers.normalization import batch_norm, make_dropout
from recsys.types import Activation, Shape, Tensor


def as_shapes(input_shape: Shape | Sequence[Shape]) -> list[Shape]:
    """Returns the shapes of a layer's inputs, whether it has one or a list.

    A file has lists where a live model has tuples.
    """
    several = isinstance(input_shape[-1], (list, tuple))
    shapes: Any = input_shape if several else [input_shape]
    return [tuple(shape) for shape in shapes]


class FeedForwardLayer(Layer):
    """An MLP: for each size Dense, batch normalisation, activation, dropout.

    The last layer has all of them too; a logit comes from `Tower`.

    Masking: positions that are not `valid` do not count in the statistics of Dice.
    Batch normalisation counts them: keep `use_bn` for inputs without padding.

    Args:
        hidden_units: Size of each layer, one number for a single layer.
        activation: See `get_activation`; a fresh one for each layer.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
        dropout: Fraction of units dropped in training, in [0, 1).
        use_bn: Whether to normalise before the activation.
    Call arguments:
        inputs: `(batch, ..., width)`.
        valid: `inputs.shape[:-1]`, bool; `None` means all.
    Returns:
        `(batch, ..., hidden_units[-1])`; `inputs` if there are no hidden units.
    Raises:
        ValueError: If a size is less than 1.
    """

    def __init__(
        self,
        hidden_units: int | Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(hidden_units, int):
            hidden_units = (hidden_units,)
        if any(units < 1 for units in hidden_units):
            raise ValueError(
                f"Layer {self.name!r}: hidden_units must be sizes of at least 1. "
                f"Received: hidden_units={hidden_units}"
            )
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        same = {"dtype": self.dtype_policy}
        regularizer = keras.regularizers.L2(l2_reg) if l2_reg else None
        self.dense = [
            keras.layers.Dense(
                units, kernel_regularizer=regularizer, name=f"dense_{i}", **same
            )
            for i, units in enumerate(self.hidden_units)
        ]
        self.norms = [
            batch_norm(name=f"bn_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
            if use_bn
        ]
        self.activations = [
            get_activation(activation, name=f"activation_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
        ]
        self.dropouts = [
            make_dropout(dropout, name=f"dropout_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
            if dropout
        ]

    def build(self, input_shape: Shape) -> None:
        shape = tuple(input_shape)
        for i, units in enumerate(self.hidden_units):
            self.dense[i].build(shape)
            shape = (*shape[:-1], units)
            for layer in (*self.norms[i : i + 1], self.activations[i]):
                layer.build(shape)

    def call(
        self, inputs: Tensor, valid: Tensor | None = None, training: bool = False
    ) -> Tensor:
        if not self.hidden_units:
            return inputs
        return self.behind_first(self.dense[0](inputs), valid, training)

    def behind_first(self, x: Tensor, valid: Tensor | None, training: bool) -> Tensor:
        """Returns the output, given that of the first Dense layer."""
        for i in range(len(self.hidden_units)):
            x = self.dense[i](x) if i else x
            if self.use_bn:
                x = self.norms[i](x, training=training)
            if isinstance(self.activations[i], Dice):
                x = self.activations[i](x, valid=valid, training=training)
            else:
                x = self.activations[i](x)
            if self.dropout:
                x = self.dropouts[i](x, training=training)
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        width = self.hidden_units[-1] if self.hidden_units else input_shape[-1]
        return (*input_shape[:-1], width)


class Tower(FeedForwardLayer):
    """An MLP that ends in logits: Dense without activation, norm or dropout.

    Logits are float32 under every dtype policy.

    Args:
        num_logits: Logits per row; the classes of a multiclass task.
        use_bias: Whether the logits have a bias. A model has one global bias: off
            where another part of the model has it.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, num_logits)`, float32.
    """

    def __init__(
        self,
        hidden_units: int | Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        num_logits: int = 1,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(hidden_units, activation, l2_reg, dropout, use_bn, **kwargs)
        self.num_logits = num_logits
        self.use_bias = use_bias
        self.logit = keras.layers.Dense(
            num_logits, use_bias=use_bias, dtype="float32", name="logit"
        )

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        self.logit.build(super().compute_output_shape(input_shape))

    def call(
        self, inputs: Tensor, valid: Tensor | None = None, training: bool = False
    ) -> Tensor:
        return self.logit(super().call(inputs, valid=valid, training=training))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.num_logits)
