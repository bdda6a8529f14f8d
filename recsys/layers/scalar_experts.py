"""Experts of logits, one of the layers of SAR-Net."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.experts import Experts
from recsys.layers.grouped import known_or_last, members
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import as_shapes
from recsys.layers.star import PartitionedNormalization
from recsys.types import Activation, Shape, Tensor

LEAST, MOST = 0.1, 10.0


class ScalarExperts(Layer):
    r"""Experts of a domain and of all, each one logit: w_k^T MLP_k(BN(x)) + b_k.

    Experts of a domain normalise by the statistics of its rows and have weights of
    their own in each.

    Args:
        num_domain: Number of domains.
        num_specific: Experts of each domain, may be 0.
        num_shared: Experts of all domains, may be 0.
        num_logits: Logits of an expert.
        hidden_units: Sizes of an expert's MLP; without any it is linear.
        activation: Activation of the MLP.
    Call arguments:
        inputs: `[x (batch, width), domain ids (batch,)]`.
    Returns:
        `(batch, num_specific + num_shared, num_logits)`, those of the domain first;
        zeros in their place for an unknown domain.
    """

    def __init__(
        self,
        num_domain: int,
        num_specific: int,
        num_shared: int,
        num_logits: int = 1,
        hidden_units: Sequence[int] = (),
        activation: Activation | dict[str, Any] | None = "relu",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_domain = num_domain
        self.num_specific = num_specific
        self.num_shared = num_shared
        self.num_logits = num_logits
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        if num_specific:
            self.norm = PartitionedNormalization(num_domain, affine=False, name="norm")
            self.specific = self._experts(num_domain * num_specific, "domain_")
        if num_shared:
            self.bn = keras.layers.BatchNormalization(
                center=False, scale=False, name="bn"
            )
            self.shared = self._experts(num_shared, "")

    def _experts(self, number: int, prefix: str) -> list[Experts]:
        logits = Experts(number, self.num_logits, None, name=f"{prefix}logits")
        if not self.hidden_units:
            return [logits]
        sizes = (number, self.hidden_units, self.activation)
        return [Experts(*sizes, name=f"{prefix}hidden"), logits]

    def build(self, input_shape: Sequence[Shape]) -> None:
        x, ids = as_shapes(input_shape)
        groups = []
        if self.num_specific:
            self.norm.build([x, ids])
            groups.append(self.specific)
        if self.num_shared:
            self.bn.build(x)
            groups.append(self.shared)
        for layers in groups:
            shape = x
            for layer in layers:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        x, ids = inputs
        every = []
        if self.num_specific:
            found = self.norm([x, ids], training=training)
            for layer in self.specific:
                found = layer(found)
            units = self.num_specific * self.num_logits
            by_domain = ops.reshape(found, (-1, self.num_domain, units))
            own = ops.einsum("bp,bpu->bu", members(ids, self.num_domain), by_domain)
            every.append(ops.reshape(own, (-1, self.num_specific, self.num_logits)))
        if self.num_shared:
            found = self.bn(x, training=training)
            for layer in self.shared:
                found = layer(found)
            every.append(found)
        return ops.concatenate(every, axis=1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        number = self.num_specific + self.num_shared
        return (input_shape[0][0], number, self.num_logits)


class DebiasExperts(Layer):
    r"""Mixes experts of a domain and of all, each one logit (section 3.4).

        E_k = w_k^T MLP_k(BN(h)) + b_k  [in training: + u_k^T BN(f) + d_k]
        logit = \sum_k softmax(h W)_k E_k

    f is a learned vector of the fairness coefficient's bucket. What it explains in
    training, the exposure that somebody willed, is left out in inference. Of an
    unknown domain only the experts of all are in the softmax.

    Args:
        num_domain: Number of domains.
        num_specific: Experts of each domain, may be 0.
        num_shared: Experts of all domains, may be 0.
        num_logits: Logits of an expert; the classes of a multiclass task.
        hidden_units: Sizes of an expert's MLP; without any it is linear.
        activation: Activation of the MLP.
        num_buckets: Buckets of the coefficient, of equal ratio between 0.1 and 10.
        bias_dim: Width of f.
    Call arguments:
        inputs: `[h (batch, width), domain ids (batch,)]`, and perhaps the fairness
            coefficients, `(batch,)`.
    Returns:
        `(batch, num_logits)`, float32.
    Raises:
        ValueError: If there are no experts.
    """

    def __init__(
        self,
        num_domain: int,
        num_specific: int = 2,
        num_shared: int = 8,
        num_logits: int = 1,
        hidden_units: Sequence[int] = (),
        activation: Activation | dict[str, Any] | None = "relu",
        num_buckets: int = 16,
        bias_dim: int = 4,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if num_specific < 0 or num_shared < 0 or not num_specific + num_shared:
            raise ValueError(
                f"Layer {self.name!r}: needs experts of each domain, of all, or both. "
                f"Received: num_specific={num_specific}, num_shared={num_shared}"
            )
        self.num_domain = num_domain
        self.num_specific = num_specific
        self.num_shared = num_shared
        self.num_logits = num_logits
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.num_buckets = num_buckets
        self.bias_dim = bias_dim

    def build(self, input_shape: Sequence[Shape]) -> None:
        h, ids, *coefficient = as_shapes(input_shape)
        number = self.num_specific + self.num_shared
        sizes = (self.num_domain, self.num_specific, self.num_shared, self.num_logits)
        self.gate = keras.layers.Dense(number, use_bias=False, name="gate")
        self.gate.build(h)
        self.main = ScalarExperts(
            *sizes, self.hidden_units, self.activation, name="main"
        )
        self.main.build([h, ids])
        if coefficient:
            self.table = self.add_weight(
                shape=(self.num_buckets, self.bias_dim),
                initializer="uniform",
                name="coefficients",
            )
            self.bias = ScalarExperts(*sizes, name="bias")
            self.bias.build([(h[0], self.bias_dim), ids])

    def call(self, inputs: Sequence[Tensor], training: bool = False) -> Tensor:
        h, ids, *coefficient = inputs
        ids = known_or_last(ids, self.num_domain)
        every = self.main([h, ids], training=training)
        if coefficient and training:
            edges = np.geomspace(LEAST, MOST, self.num_buckets - 1, dtype="float32")
            fc = ops.reshape(ops.cast(coefficient[0], "float32"), (-1, 1))
            reached = ops.greater_equal(fc, ops.convert_to_tensor(edges))
            bucket = ops.sum(ops.cast(reached, "int32"), axis=1)
            f = ops.take(self.table, bucket, axis=0)
            every = every + self.bias([f, ids], training=training)
        known = ops.expand_dims(ids < self.num_domain, 1)
        own = ops.arange(every.shape[1]) < self.num_specific
        shares = masked_softmax(self.gate(h), known | ops.logical_not(own))
        return ops.einsum("bk,bkc->bc", shares, every)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], self.num_logits)
