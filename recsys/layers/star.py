"""STAR's layers: what all domains share, times or plus what each has of its own.

Rows of all domains may be mixed in a batch. A domain id outside `[0, num_domain)` is
an unknown domain and gets what is shared.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.grouped import grouped_matmul, known_or_last, members
from recsys.layers.normalization import make_dropout
from recsys.types import Activation, Shape, Tensor


class PartitionedNormalization(Layer):
    r"""Batch normalisation by the statistics of each domain (Sheng et al. 2021).

        y = (\gamma \gamma_p) (x - E_p) / \sqrt{V_p + \epsilon} + (\beta + \beta_p)

    In training E and V (biased) are those of the batch's rows of the domain, and move
    its moving averages; in inference they are these. A domain with fewer than
    `min_rows` rows in a batch is normalised by its moving averages, which stay as they
    are to the bit. An unknown domain has \gamma_p = 1, \beta_p = 0 and the averages of
    the moving statistics over the domains, weighted by their rows so far.

    Sample weights do not enter the statistics.

    Args:
        num_domain: Number of domains.
        momentum: Momentum of the moving averages, in [0, 1).
        epsilon: Added to the variance.
        min_rows: Fewest rows that have statistics; one row has no variance.
        affine: Whether there are \gamma and \beta.
    Call arguments:
        inputs: `[x (batch, width), domain ids (batch,) or (batch, 1)]`.
        training: Whether to use the statistics of the batch.
    Returns:
        `(batch, width)`.
    Reference:
        One Model to Serve All: Star Topology Adaptive Recommender, CIKM 2021.
    """

    gamma: keras.Variable
    domain_gamma: keras.Variable
    beta: keras.Variable
    domain_beta: keras.Variable
    domain_mean: keras.Variable
    domain_variance: keras.Variable
    domain_rows: keras.Variable

    def __init__(
        self,
        num_domain: int,
        name: str | None = None,
        *,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        min_rows: int = 2,
        affine: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.num_domain = num_domain
        self.momentum = momentum
        self.epsilon = epsilon
        self.min_rows = min_rows
        self.affine = affine

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = input_shape[0][-1]
        by_domain = (self.num_domain, width)
        own: dict[str, Any] = {"autocast": False}
        if self.affine:
            for name, shape, initializer in (
                ("gamma", (width,), "ones"),
                ("domain_gamma", by_domain, "ones"),
                ("beta", (width,), "zeros"),
                ("domain_beta", by_domain, "zeros"),
            ):
                weight = self.add_weight(
                    shape=shape, initializer=initializer, name=name, **own
                )
                setattr(self, name, weight)
        for name, shape, initializer in (
            ("domain_mean", by_domain, "zeros"),
            ("domain_variance", by_domain, "ones"),
            ("domain_rows", (self.num_domain, 1), "zeros"),
        ):
            weight = self.add_weight(
                shape=shape, initializer=initializer, trainable=False, name=name, **own
            )
            setattr(self, name, weight)

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, ids = inputs
        s = ops.cast(x, "float32")
        domains = known_or_last(ops.reshape(ids, (-1,)), self.num_domain)
        of = members(domains, self.num_domain + 1)
        mean = ops.convert_to_tensor(self.domain_mean)
        variance = ops.convert_to_tensor(self.domain_variance)
        unknown_mean, unknown_variance = self._averages()
        if training:
            mean, variance = self._batch_statistics(s, of[:, :-1], mean, variance)
        mean = ops.concatenate([mean, unknown_mean])
        scale = ops.rsqrt(ops.concatenate([variance, unknown_variance]) + self.epsilon)
        if not self.affine:
            y = (s - ops.matmul(of, mean)) * ops.matmul(of, scale)
            return ops.cast(y, x.dtype)
        scale = (
            scale
            * self.gamma
            * ops.pad(self.domain_gamma, ((0, 1), (0, 0)), constant_values=1)
        )
        shift = self.beta + ops.pad(self.domain_beta, ((0, 1), (0, 0)))
        # Centred first: the difference of two large products would lose digits.
        y = (s - ops.matmul(of, mean)) * ops.matmul(of, scale) + ops.matmul(of, shift)
        return ops.cast(y, x.dtype)

    def _averages(self) -> tuple[Tensor, Tensor]:
        """Returns the moving statistics of an unknown domain, `(1, width)` each."""
        total = ops.sum(self.domain_rows)
        share = ops.transpose(self.domain_rows) / ops.maximum(total, 1.0)
        variance = ops.matmul(share, self.domain_variance)
        return (
            ops.matmul(share, self.domain_mean),
            ops.where(total > 0, variance, ops.ones_like(variance)),
        )

    def _batch_statistics(
        self, s: Tensor, of: Tensor, moving_mean: Tensor, moving_variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns E and V by domain, and moves the moving averages."""
        count = ops.expand_dims(ops.sum(of, axis=0), 1)  # (num_domain, 1)
        share = ops.transpose(of) / ops.maximum(count, 1.0)
        mean = ops.matmul(share, s)
        variance = ops.matmul(share, ops.square(s - ops.matmul(of, mean)))
        enough = count >= self.min_rows
        for moving, old, batch in (
            (self.domain_mean, moving_mean, mean),
            (self.domain_variance, moving_variance, variance),
        ):
            moved = self.momentum * old
            moved += (1 - self.momentum) * ops.stop_gradient(batch)
            moving.assign(ops.where(enough, moved, old))
        self.domain_rows.assign(self.domain_rows + ops.where(enough, count, 0.0))
        return (
            ops.where(enough, mean, moving_mean),
            ops.where(enough, variance, moving_variance),
        )

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class StarDense(Layer):
    r"""A layer whose weights are those of all domains times those of the domain.

        y = x (W \odot W_p) + (b + b_p)

    W starts as that of a Dense layer, each W_p as ones, b and b_p as zeros: at first,
    and always for an unknown domain, the domains have one network.

    Args:
        units: Width of the output.
        num_domain: Number of domains.
        l2_reg: Penalty `l2_reg * sum of squares` on W and on W_p - 1.
    Call arguments:
        inputs: `[x (batch, width), domain ids (batch,) or (batch, 1)]`.
        training: See `grouped_matmul`.
    Returns:
        `(batch, units)`.
    Reference:
        One Model to Serve All: Star Topology Adaptive Recommender, CIKM 2021.
    """

    def __init__(
        self, units: int, num_domain: int, l2_reg: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.num_domain = num_domain
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = (input_shape[0][-1], self.units)
        from_zero, from_one = None, None
        if self.l2_reg:
            from_zero = keras.regularizers.L2(self.l2_reg)
            from_one = lambda w: from_zero(w - 1.0)  # noqa: E731
        self.kernel = self.add_weight(
            shape=shape,
            initializer="glorot_uniform",
            regularizer=from_zero,
            name="kernel",
        )
        self.domain_kernel = self.add_weight(
            shape=(self.num_domain, *shape),
            initializer="ones",
            regularizer=from_one,
            name="domain_kernel",
        )
        self.bias = self.add_weight(
            shape=(self.units,), initializer="zeros", name="bias"
        )
        self.domain_bias = self.add_weight(
            shape=(self.num_domain, self.units), initializer="zeros", name="domain_bias"
        )

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, ids = inputs
        domains = known_or_last(ops.reshape(ids, (-1,)), self.num_domain)
        kernel = ops.expand_dims(self.kernel, 0)
        kernels = ops.concatenate([kernel * self.domain_kernel, kernel])
        biases = self.bias + ops.pad(self.domain_bias, ((0, 1), (0, 0)))
        of = ops.cast(members(domains, self.num_domain + 1), x.dtype)
        y = grouped_matmul(x, kernels, domains, training=training)
        return y + ops.matmul(of, biases)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], self.units)


class StarTopologyFCN(Layer):
    """An MLP of `StarDense` layers: for each size one, activation, dropout.

    Args:
        num_domain: Number of domains.
        hidden_units: Sizes of the layers.
        activation: See `get_activation`; shared by the domains.
        dropout: Fraction of units dropped in training, in [0, 1).
        l2_reg: See `StarDense`.
    Call arguments:
        inputs: `[x (batch, width), domain ids (batch,) or (batch, 1)]`.
    Returns:
        `(batch, hidden_units[-1])`; `x` if there are no hidden units.
    Reference:
        One Model to Serve All: Star Topology Adaptive Recommender, CIKM 2021.
    """

    def __init__(
        self,
        num_domain: int,
        hidden_units: Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        dropout: float = 0.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_domain = num_domain
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.dropout = dropout
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        x, ids = input_shape
        same = {"dtype": self.dtype_policy}
        self.dense, self.activations, self.dropouts = [], [], []
        for i, units in enumerate(self.hidden_units):
            dense = StarDense(
                units, self.num_domain, self.l2_reg, name=f"dense_{i}", **same
            )
            dense.build([x, ids])
            x = (x[0], units)
            activation = get_activation(self.activation, name=f"activation_{i}", **same)
            activation.build(x)
            self.dense.append(dense)
            self.activations.append(activation)
            if self.dropout:
                self.dropouts.append(
                    make_dropout(self.dropout, name=f"dropout_{i}", **same)
                )

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, ids = inputs
        for i, dense in enumerate(self.dense):
            x = self.activations[i](dense([x, ids], training=training))
            if self.dropout:
                x = self.dropouts[i](x, training=training)
        return x

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        batch, width = input_shape[0]
        return (batch, self.hidden_units[-1] if self.hidden_units else width)
