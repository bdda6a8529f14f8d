"""M2M's layers: networks whose weights another network generates from the scenario."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.masking import masked_softmax
from recsys.layers.normalization import make_dropout
from recsys.types import Activation, Shape, Tensor


class MetaUnit(Layer):
    r"""An MLP of constant width with weights generated from a scenario (M2M, 3.3).

        h <- f(h W_i(s) + b_i(s)),   i = 1..num_layers
        W_i(s) = v_i + V_i s / \sqrt n,   b_i(s) = u_i + s U_i

    The factor 1 / \sqrt n, which keeps the size of h whatever its width, and the start
    are ours, where the paper's W is the output of a Dense layer: v starts as the kernel
    of such a layer, so that the unit is near one at first, and the scenario bends it.
    Several vectors of a row share what is generated for it.

    Cost of a layer and row, with c vectors of width n and a scenario of width k: n^2
    (k + c) multiplications and n^2 numbers if W is formed; n^2 k c and c n k if it is
    not, but h is multiplied by V, and what comes by s. The second is taken for a single
    vector, where it is as fast and n / k times smaller.

    Parameters: `num_layers * (k + 1) * (n^2 + n)`.

    Args:
        num_layers: Number of layers.
        activation: f, see `get_activation`.
        dropout: Fraction of units dropped behind each layer in training, in [0, 1).
        l2_reg: Penalty `l2_reg * sum of squares` on V and v.
    Call arguments:
        inputs: `[h, scenario (batch, k)]`, h `(batch, n)` or `(batch, c, n)`.
    Returns:
        As h.
    Reference:
        Leaving No One Behind, WSDM 2022, https://arxiv.org/abs/2201.06814.
    """

    def __init__(
        self,
        num_layers: int,
        activation: Activation | dict[str, Any] | None = "leaky_relu",
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        h, (_, k) = input_shape
        n = h[-1]
        same = {"dtype": self.dtype_policy}
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        # k numbers of V generate one weight: the sum over k keeps the size of s.
        unit = keras.initializers.RandomNormal
        self.layers, self.activations, self.dropouts = [], [], []
        for i in range(self.num_layers):
            self.layers.append(
                [
                    self.add_weight(
                        # k last: forming W and both gradients need no transpose.
                        shape=(n, n, k),
                        initializer=unit(stddev=1 / math.sqrt(k)),
                        regularizer=regularizer,
                        name=f"kernel_of_scenario_{i}",
                    ),
                    self.add_weight(
                        shape=(n, n),
                        initializer="glorot_uniform",
                        regularizer=regularizer,
                        name=f"kernel_{i}",
                    ),
                    self.add_weight(
                        shape=(k, n),
                        initializer=unit(stddev=1 / math.sqrt(k * n)),
                        name=f"bias_of_scenario_{i}",
                    ),
                    self.add_weight(shape=(n,), initializer="zeros", name=f"bias_{i}"),
                ]
            )
            activation = get_activation(self.activation, name=f"activation_{i}", **same)
            activation.build(h)
            self.activations.append(activation)
            if self.dropout:
                self.dropouts.append(
                    make_dropout(self.dropout, name=f"dropout_{i}", **same)
                )

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        h, scenario = inputs
        several = len(h.shape) == 3
        for i, (generator, kernel, bias_generator, bias) in enumerate(self.layers):
            n, _, k = generator.shape
            shift = ops.matmul(scenario, bias_generator) + bias
            if several and h.shape[1] > 1:
                formed = ops.einsum("bk,ijk->bij", scenario, generator)
                bent = ops.matmul(h, formed)
            else:
                bent = ops.matmul(
                    ops.reshape(h, (-1, n)), ops.reshape(generator, (n, n * k))
                )
                bent = ops.matmul(
                    ops.reshape(bent, (-1, n, k)), ops.expand_dims(scenario, -1)
                )
                bent = ops.reshape(bent, (-1, n))
            if several:
                bent = ops.reshape(bent, (-1, h.shape[1], n))
                shift = ops.expand_dims(shift, 1)
            h = self.activations[i](bent / math.sqrt(n) + ops.matmul(h, kernel) + shift)
            if self.dropout:
                h = self.dropouts[i](h, training=training)
        return h

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class MetaAttention(Layer):
    r"""Mixes experts for each task, by weights that depend on the scenario.

        a_{t,i} = w_t^T MetaUnit([E_i; T_t]; s),   R_t = \sum_i softmax_i(a_t)_i E_i

    One meta unit serves all experts and tasks given to the layer.

    Args:
        num_layers, activation, dropout, l2_reg: Arguments of the meta unit.
    Call arguments:
        inputs: `[experts (batch, num_experts, v), tasks (batch, num_tasks, v),
            scenario (batch, k)]`.
    Returns:
        `(batch, num_tasks, v)`.
    Reference:
        Leaving No One Behind, WSDM 2022, https://arxiv.org/abs/2201.06814.
    """

    def __init__(
        self,
        num_layers: int = 3,
        activation: Activation | dict[str, Any] | None = "leaky_relu",
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg
        self.unit = MetaUnit(
            num_layers,
            activation,
            dropout,
            l2_reg,
            name="unit",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Sequence[Shape]) -> None:
        (batch, num_experts, v), (_, num_tasks, of_task), scenario = input_shape
        width = v + of_task
        self.unit.build([(batch, num_experts * num_tasks, width), scenario])
        self.score = self.add_weight(
            shape=(num_tasks, width), initializer="glorot_uniform", name="score"
        )

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        experts, _, _ = inputs
        return ops.matmul(self.shares(inputs, training), experts)

    def shares(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        """Returns the softmax over experts, `(batch, num_tasks, num_experts)`."""
        experts, tasks, scenario = inputs
        num_tasks, num_experts = tasks.shape[1], experts.shape[1]
        pairs = ops.concatenate(
            [
                ops.tile(experts, (1, num_tasks, 1)),
                ops.repeat(tasks, num_experts, axis=1),
            ],
            axis=-1,
        )
        h = self.unit([pairs, scenario], training=training)
        h = ops.reshape(h, (-1, num_tasks, num_experts, h.shape[-1]))
        return masked_softmax(ops.einsum("btkn,tn->btk", h, self.score), None)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (*input_shape[1][:2], input_shape[0][-1])


class MetaTower(Layer):
    r"""A residual stack of meta units, one for all tasks given to the layer.

        L^j = f(MetaUnit^j(L^{j-1}; s) + L^{j-1}),   L^0 = R

    Args:
        num_layers: Number of meta units.
        meta_unit_depth: Layers of each.
        activation: f, also of the units.
        dropout: Fraction dropped behind each layer of a unit, in [0, 1).
        l2_reg: L2 penalty on the units.
    Call arguments:
        inputs: `[R (batch, num_tasks, v), scenario (batch, k)]`.
    Returns:
        `(batch, num_tasks, v)`.
    Reference:
        Leaving No One Behind, WSDM 2022, https://arxiv.org/abs/2201.06814.
    """

    def __init__(
        self,
        num_layers: int = 3,
        meta_unit_depth: int = 3,
        activation: Activation | dict[str, Any] | None = "leaky_relu",
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_layers = num_layers
        self.meta_unit_depth = meta_unit_depth
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg
        same = {"dtype": self.dtype_policy}
        self.units = [
            MetaUnit(
                meta_unit_depth, activation, dropout, l2_reg, name=f"unit_{j}", **same
            )
            for j in range(num_layers)
        ]
        self.activations = [
            get_activation(activation, name=f"activation_{j}", **same)
            for j in range(num_layers)
        ]

    def build(self, input_shape: Sequence[Shape]) -> None:
        for unit, activation in zip(self.units, self.activations, strict=True):
            unit.build(input_shape)
            activation.build(input_shape[0])

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, scenario = inputs
        for unit, activation in zip(self.units, self.activations, strict=True):
            x = activation(unit([x, scenario], training=training) + x)
        return x

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])
