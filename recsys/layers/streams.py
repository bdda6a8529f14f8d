"""Streams of several domains or tasks side by side, `(batch, num_streams, width)`.

All streams of a layer are one tensor and their weights one weight, so that thirty
domains cost as many layers as three.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Task
from recsys.feature._names import layer_name
from recsys.layers.base import Layer
from recsys.layers.experts import Experts
from recsys.layers.grouped import known_or_last, members
from recsys.layers.heads import predict
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import as_shapes
from recsys.types import Activation, Shape, Tensor


class StackedExtraction(Layer):
    r"""One level of CGC / PLE (Tang et al. 2020, eq. 1-6) for many streams.

        s'_j = softmax(s_j W_j) [own experts(s_j), shared experts(s_0)]
        s'_0 = softmax(s_0 W_0) [own experts of every j, shared experts(s_0)]

    Without own experts it is the mixture of MMoE; without shared ones the streams
    have nothing in common but their input. A single expert has share 1, without gate.

    Args:
        num_streams: Number of streams.
        num_experts: Own experts of each, may be 0.
        num_shared_experts: Shared experts, may be 0.
        hidden_units, activation, l2_reg, dropout, use_bn: Layers of an expert.
        use_bias: Whether gates have a bias.
        goes_on: Whether s'_0 is wanted, for another level.
    Call arguments:
        inputs: `[streams, s_0 (batch, d)]`, the streams `(batch, d)`, the same for
            all, or `(batch, num_streams, d)`.
    Returns:
        `(batch, num_streams, hidden_units[-1])`, and with `goes_on` s'_0 beside it.
    Raises:
        ValueError: If there are no experts.
    """

    def __init__(
        self,
        num_streams: int,
        num_experts: int,
        num_shared_experts: int,
        hidden_units: int | Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        use_bias: bool = False,
        goes_on: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        least = min(num_experts, num_shared_experts)
        if least < 0 or not num_experts + num_shared_experts:
            raise ValueError(
                f"Layer {self.name!r}: needs own experts, shared ones, or both. "
                f"Received: num_experts={num_experts}, "
                f"num_shared_experts={num_shared_experts}"
            )
        self.num_streams = num_streams
        self.num_experts = num_experts
        self.num_shared_experts = num_shared_experts
        self.hidden_units = hidden_units
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        self.use_bias = use_bias
        self.goes_on = goes_on
        expert = (hidden_units, activation, l2_reg, dropout, use_bn)
        same = {"dtype": self.dtype_policy}
        if num_experts:
            number = num_streams * num_experts
            self.own = Experts(number, *expert, name="domain_experts", **same)
        if num_shared_experts:
            self.common = Experts(num_shared_experts, *expert, name="experts", **same)

    def build(self, input_shape: Sequence[Shape]) -> None:
        streams, shared = as_shapes(input_shape)
        batch, *_, d = streams
        n, own, common = self.num_streams, self.num_experts, self.num_shared_experts
        if own:
            self.own.build((batch, d) if len(streams) == 2 else (batch, n * own, d))
        if common:
            self.common.build(shared)
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None

        def gate(name: str, shape: tuple[int, ...]) -> Tensor:
            limit = math.sqrt(6 / sum(shape[-2:]))
            return self.add_weight(
                shape=shape,
                initializer=keras.initializers.RandomUniform(-limit, limit),
                regularizer=regularizer,
                name=name,
            )

        if own + common > 1:
            self.gates = gate("domain_gate", (n, d, own + common))
            if self.use_bias:
                self.biases = self.add_weight(
                    shape=(n, own + common), initializer="zeros", name="domain_bias"
                )
        if self.goes_on:
            self.shared_gate = gate("gate", (shared[-1], n * own + common))

    def call(
        self, inputs: Sequence[Tensor], training: bool = False
    ) -> Any:  # the shared stream behind it, if one level follows
        streams, shared = inputs
        n, m = self.num_streams, self.num_experts
        every = []
        mixed: Any = 0.0
        shares = self.shares(streams)
        if m:
            given = streams if len(streams.shape) == 2 else ops.repeat(streams, m, 1)
            own = self.own(given, training=training)
            by_stream = ops.reshape(own, (-1, n, m, own.shape[-1]))
            every.append(own)
            mixed = ops.einsum("bsm,bsme->bse", shares[..., :m], by_stream)
        if self.num_shared_experts:
            common = self.common(shared, training=training)
            every.append(common)
            mixed = mixed + ops.matmul(shares[..., m:], common)
        if not self.goes_on:
            return mixed
        share = masked_softmax(ops.matmul(shared, self.shared_gate), None)
        experts = ops.concatenate(every, axis=1)
        return mixed, ops.einsum("bk,bke->be", share, experts)

    def shares(self, streams: Tensor) -> Tensor:
        """Returns how much of each expert a stream gets, own experts first.

        Args:
            streams: As in `call`.

        Returns:
            `(batch, num_streams, experts)`.
        """
        number = self.num_experts + self.num_shared_experts
        if number == 1:
            shape = (ops.shape(streams)[0], self.num_streams, 1)
            return ops.ones(shape, self.compute_dtype)
        one = "bd,sdn->bsn" if len(streams.shape) == 2 else "bsd,sdn->bsn"
        scores = ops.einsum(one, streams, self.gates)
        return masked_softmax(scores + self.biases if self.use_bias else scores, None)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Any:
        units = self.hidden_units
        width = units if isinstance(units, int) else units[-1]
        batch = input_shape[1][0]
        streams = (batch, self.num_streams, width)
        return (streams, (batch, width)) if self.goes_on else streams


class SelectDomain(Layer):
    """Takes the stream of the row's domain; of an unknown one, the mean of all.

    No gradient reaches the streams of other domains.

    Args:
        num_domain: Number of domains.
    Call arguments:
        inputs: `[streams (batch, num_domain, width), domain ids (batch,)]`.
    Returns:
        `(batch, width)`.
    Example:
    >>> streams = np.array([[[1.0], [5.0]], [[1.0], [5.0]], [[1.0], [5.0]]])
    >>> SelectDomain(2)([streams, np.array([0, 1, 2])]).numpy()
    array([[1.],
           [5.],
           [3.]], dtype=float32)
    """

    def __init__(self, num_domain: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_domain = num_domain

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        streams, ids = inputs
        of = members(known_or_last(ids, self.num_domain), self.num_domain)
        unknown = 1 - ops.sum(of, axis=1, keepdims=True)
        of = ops.cast(of + unknown / self.num_domain, streams.dtype)
        return ops.einsum("bp,bpe->be", of, streams)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        batch, _, width = input_shape[0]
        return (batch, width)


class DomainTowers(Layer):
    r"""A tower for each domain; a row gets the logit of its own.

        z = \sum_p [p = domain] tower_p(x_p)

    An unknown domain gets the mean of all.

    Args:
        num_domain: Number of domains.
        hidden_units, activation, l2_reg, dropout, use_bn: Layers of a tower.
        num_logits: Logits of a row; the classes of a multiclass task.
    Call arguments:
        inputs: `[x, domain ids (batch,)]`, x `(batch, num_domain, width)`, or
            `(batch, width)` for all towers.
    Returns:
        `(batch, num_logits)`, float32.
    """

    def __init__(
        self,
        num_domain: int,
        hidden_units: Sequence[int],
        activation: Activation | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout: float = 0.0,
        use_bn: bool = False,
        num_logits: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_domain = num_domain
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout = dropout
        self.use_bn = use_bn
        self.num_logits = num_logits
        if self.hidden_units:
            self.towers = Experts(
                num_domain,
                self.hidden_units,
                activation,
                l2_reg,
                dropout,
                use_bn,
                name="domain_towers",
                dtype=self.dtype_policy,
            )
        self.logits = Experts(
            num_domain, num_logits, None, dtype="float32", name="domain_logits"
        )
        self.select = SelectDomain(num_domain, dtype="float32", name="select")

    def build(self, input_shape: Sequence[Shape]) -> None:
        x, _ = as_shapes(input_shape)
        if self.hidden_units:
            self.towers.build(x)
            x = self.towers.compute_output_shape(x)
        self.logits.build(x)

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, ids = inputs
        if self.hidden_units:
            x = self.towers(x, training=training)
        return self.select([self.logits(x), ids])

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], self.num_logits)


def domain_towers(
    task_list: Sequence[Task],
    inputs: Sequence[Tensor],
    ids: Tensor,
    num_domain: int,
    hidden_units: Sequence[int],
    activation: Activation,
    l2_reg: float,
    dropout: float,
    use_bn: bool,
) -> dict[str, Tensor]:
    """Ends a model of several tasks and domains: a tower for each pair, and heads.

    Args:
        task_list: The tasks.
        inputs: What the towers of each task get, see `DomainTowers`.
        ids: Domain ids, `(batch,)`.
        num_domain: Number of domains.
        hidden_units, activation, l2_reg, dropout, use_bn: Layers of the towers; those
            of a task are named `dnn_tower_<task>`.
    """
    logits = [
        DomainTowers(
            num_domain,
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            task.num_classes,
            name=layer_name(f"dnn_tower_{task.name}"),
        )([x, ids])
        for task, x in zip(task_list, inputs, strict=True)
    ]
    return predict(task_list, logits)
