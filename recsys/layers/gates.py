"""Gates: shares of experts, and their mixture."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops
from numpy.typing import NDArray

from recsys.layers.base import Layer
from recsys.layers.mlp import FeedForwardLayer, as_shapes
from recsys.types import Activation, Shape, Tensor


class Gate(Layer):
    """How much of each expert a row gets: softmax(x W) (Ma et al. 2018, eq. 7).

    The softmax is float32 under every dtype policy. A single expert has share 1, and
    its gate no weights. Dropout and normalisation are
    those of the hidden layers, never of the scores: a dropped score would give equal
    rows different mixtures.

    Args:
        num_experts: Number of shares.
        hidden_units: Sizes of hidden layers before the scores; the paper has none.
        activation: Activation of the hidden layers.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
        dropout: Fraction of hidden units dropped in training, in [0, 1).
        use_bn: Whether the hidden layers normalise.
        use_bias: Whether the scores have a bias.
        gate_dropout: Fraction of the shares dropped in training, in [0, 1); the rest
            then sums to 1 again, and of a row that lost all nothing is dropped (Zhao
            et al. 2019, against gates that choose one expert for good).
    Call arguments:
        inputs: `(batch, d)`.
    Returns:
        `(batch, num_experts)`, float32, each at least 0 and of sum 1.
    Example:
    >>> gate = Gate(3)
    >>> gate.build((None, 2))
    >>> gate.set_weights([np.zeros((2, 3))])
    >>> gate(np.array([[1.0, 2.0]])).numpy().round(2)
    array([[0.33, 0.33, 0.33]], dtype=float32)
    """

    def __init__(
        self,
        num_experts: int,
        hidden_units: Sequence[int] = (),
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        use_bias: bool = False,
        gate_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if num_experts < 1 or not 0 <= gate_dropout < 1:
            raise ValueError(
                f"Layer {self.name!r}: needs at least one expert and gate_dropout in "
                f"[0, 1). Received: num_experts={num_experts}, "
                f"gate_dropout={gate_dropout}"
            )
        self.num_experts = num_experts
        self.hidden_units = hidden_units
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        self.hidden = FeedForwardLayer(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            name="mlp",
            dtype=self.dtype_policy,
        )
        self.use_bias = use_bias
        self.gate_dropout = gate_dropout
        self.scores = keras.layers.Dense(
            num_experts,
            use_bias=use_bias,
            kernel_regularizer=keras.regularizers.L2(l2_reg) if l2_reg else None,
            dtype="float32",
            name="scores",
        )
        if gate_dropout:
            seed = random.randrange(2**31)  # as `make_dropout` does
            self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Shape) -> None:
        if self.num_experts > 1:
            self.hidden.build(input_shape)
            self.scores.build(self.hidden.compute_output_shape(input_shape))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if self.num_experts == 1:
            return ops.ones((ops.shape(inputs)[0], 1), "float32")
        shares = ops.softmax(self.scores(self.hidden(inputs, training=training)))
        if not (training and self.gate_dropout):
            return shares
        drawn = keras.random.uniform(
            ops.shape(shares), dtype="float32", seed=self.seed_generator
        )
        kept = ops.where(drawn < self.gate_dropout, 0.0, shares)
        total = ops.sum(kept, axis=-1, keepdims=True)
        return ops.where(total > 0, kept / ops.where(total > 0, total, 1.0), shares)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.num_experts)


class Mixture(Layer):
    """The sum of experts, each times its share.

    Call arguments:
        inputs: `[shares (batch, n), experts (batch, n_1, width), ...]`, the groups of
            experts in the order of the shares, n = n_1 + ...
    Returns:
        `(batch, width)`.
    Raises:
        ValueError: If there are not as many shares as experts.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        shares, *groups = as_shapes(input_shape)
        sizes = [shape[1] for shape in groups]
        if sum(sizes) != shares[-1]:
            raise ValueError(
                f"Layer {self.name!r}: must have one share for each expert. "
                f"Received: {shares[-1]} shares for groups of {sizes} experts"
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        shares, *groups = inputs
        total: Any = 0.0
        start = 0
        for experts in groups:
            end = start + experts.shape[1]
            # Not as products of a row's thin matrices: that takes twice the time.
            share = ops.expand_dims(shares[:, start:end], 2)
            total += ops.sum(share * experts, axis=1)
            start = end
        mixed: Tensor = total
        return mixed

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[1][-1])


class GatingNetwork(Layer):
    """A mixture of experts by a gate of its own.

    Args:
        num_experts: Number of experts.
        name: Name of the layer.
        l2_reg, dropout, use_bn, hidden_units, activation, use_bias, gate_dropout: Of
            its `gate`, a `Gate`.
    Call arguments:
        inputs: `[x (batch, d), experts (batch, n_1, width), ...]`, see `Mixture`.
    Returns:
        `(batch, width)`.
    """

    def __init__(
        self,
        num_experts: int,
        name: str | None = None,
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        *,
        hidden_units: Sequence[int] = (),
        activation: Activation | dict[str, Any] | None = "relu",
        use_bias: bool = False,
        gate_dropout: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.num_experts = num_experts
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        self.hidden_units = hidden_units
        self.activation = activation
        self.use_bias = use_bias
        self.gate_dropout = gate_dropout
        same = {"dtype": self.dtype_policy}
        self.gate = Gate(
            num_experts,
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            use_bias,
            gate_dropout,
            name="gate",
            **same,
        )
        self.mixture = Mixture(name="mixture", **same)

    def build(self, input_shape: Sequence[Shape]) -> None:
        x, *groups = as_shapes(input_shape)
        self.gate.build(x)
        self.mixture.build([self.gate.compute_output_shape(x), *groups])

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, *groups = inputs
        return self.mixture([self.gate(x, training=training), *groups])

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], input_shape[1][-1])


def gate_values(model: keras.Model, x: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Returns the shares that the gates of a model give to experts.

    Args:
        model: A model with `GatingNetwork` layers, e.g. MMoE.
        x: Columns, as for `model.predict`.

    Returns:
        `{layer name: (rows, num_experts)}`, arrays; the experts in the order in which
        the factory says it mixes them.

    Raises:
        ValueError: If the model has no gates.
    """
    gates = {g.name: g for g in model.layers if isinstance(g, GatingNetwork)}
    if not gates:
        raise ValueError(f"Model {model.name!r} has no gates.")
    seen = {name: gate.input[0] for name, gate in gates.items()}
    inputs = model.__class__(model.input, seen).predict(x, verbose=0)
    return {
        name: ops.convert_to_numpy(gates[name].gate(inputs[name])) for name in gates
    }
