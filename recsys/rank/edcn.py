"""EDCN: Enhancing Explicit and Implicit Feature Interactions via Information Sharing
for Parallel Deep CTR Models.

Chen et al., CIKM 2021, https://doi.org/10.1145/3459637.3481915 (figure 3)

    fields ─> embeddings ──┬─> regulation ─> cross layer ──┬─> bridge ─> next layer
                           └─> regulation ─> deep layer ───┘

    after the last layer: [cross, deep, bridge] ─> logit ─> sigmoid
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, check_embedded
from recsys.layers import normalization
from recsys.layers.activation import get_activation
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.interaction.cross import MatrixCross, VectorCross
from recsys.layers.mlp import FeedForwardLayer, Tower, as_shapes
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "edcn"]


class Regulation(Layer):
    r"""Weighs the fields for one of the branches, and normalises.

        g_f = softmax_f(w_f / \tau),   r = N([g_1 e_1, ..., g_F e_F])

    The weights are the same for all samples and equal at the start. N knows one mean
    and one variance: a normalisation of each unit would undo g.

    Args:
        widths: Width of each field.
        temperature: \tau, above 0.
        norm: N: `"scalar"` (one mean and variance over batch and units), `"layer"`
            (those of a sample), or `None`.
        rescale: Whether g is multiplied by the number of fields, so that it is 1 at
            the start; without N each layer else shrinks what it reads.
    Call arguments:
        inputs: `(batch, sum of widths)`.
    Returns:
        `(batch, sum of widths)`.
    Raises:
        ValueError: If the norm is unknown, or the temperature not above 0.
    """

    def __init__(
        self,
        widths: Sequence[int],
        temperature: float = 1.0,
        norm: str | None = "scalar",
        rescale: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if norm not in ("scalar", "layer", None) or temperature <= 0:
            raise ValueError(
                f"Layer {self.name!r}: norm must be 'scalar', 'layer' or None, and "
                "temperature above 0. "
                f"Received: norm={norm!r}, temperature={temperature}"
            )
        self.widths = tuple(widths)
        self.temperature = temperature
        self.norm = norm
        self.rescale = rescale

    def build(self, input_shape: Shape) -> None:
        width = input_shape[-1]
        self.gate = self.add_weight(
            shape=(len(self.widths),), initializer="ones", name="gate"
        )
        same: dict[str, Any] = {
            "epsilon": 1e-5,
            "dtype": self.dtype_policy,
            "name": "norm",
        }
        if self.norm == "scalar":
            self.normalise: keras.layers.Layer = normalization.batch_norm(**same)
            self.normalise.build((None, width, 1))  # one channel
        elif self.norm == "layer":
            self.normalise = normalization.layer_norm(**same)
            self.normalise.build((None, width))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        num_fields = len(self.widths)
        gate = ops.softmax(self.gate / self.temperature)
        if self.rescale:
            gate = gate * num_fields
        one_hot = np.repeat(np.eye(num_fields), self.widths, axis=1)
        owners = ops.convert_to_tensor(one_hot, dtype=self.compute_dtype)
        weighed = inputs * ops.matmul(ops.expand_dims(gate, 0), owners)
        if self.norm == "scalar":
            channel = ops.expand_dims(weighed, -1)
            return ops.squeeze(self.normalise(channel, training=training), -1)
        return self.normalise(weighed) if self.norm == "layer" else weighed

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class _Bridge(Layer):
    """From the two branches to what both read next; `(batch, width)` each.

    Args:
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `[cross, deep]`, each `(batch, width)`.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, l2_reg: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l2_reg = l2_reg

    def _dense(
        self, name: str, width: int, out: int, **kwargs: Any
    ) -> keras.layers.Dense:
        layer = keras.layers.Dense(
            out,
            kernel_regularizer=keras.regularizers.L2(self.l2_reg)
            if self.l2_reg
            else None,
            name=name,
            dtype=self.dtype_policy,
            **kwargs,
        )
        layer.build((None, width))
        return layer


class ConcatBridge(_Bridge):
    """`relu([x, h] W + b)`."""

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[0][-1]
        self.dense = self._dense("dense", 2 * width, width, activation="relu")

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        return self.dense(ops.concatenate(inputs, axis=-1))


class AttentionBridge(_Bridge):
    """`a_x * x + a_h * h`, `a = softmax(relu(x U + u) V)` over the units of each."""

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[0][-1]
        self.nets = [
            [
                self._dense(f"{side}_hidden", width, width, activation="relu"),
                self._dense(f"{side}_score", width, width, use_bias=False),
            ]
            for side in ("cross", "deep")
        ]

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        cross, deep = (
            ops.softmax(score(hidden(x)), axis=-1) * x
            for x, (hidden, score) in zip(inputs, self.nets, strict=True)
        )
        return cross + deep


_CROSSES: dict[str, Callable[..., Any]] = {
    "vector": VectorCross,
    "matrix": lambda *a, **kw: MatrixCross(None, *a, **kw),
}
_BRIDGES: dict[str, Callable[..., Any]] = {
    "hadamard": lambda l2_reg, name: keras.layers.Multiply(name=name),
    "add": lambda l2_reg, name: keras.layers.Add(name=name),
    "concat": ConcatBridge,
    "attention": AttentionBridge,
}


@factory()
def edcn(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_layers: int = 3,
    cross_type: str = "vector",
    bridge: str = "hadamard",
    temperature: float = 1.0,
    norm: str | None = "scalar",
    rescale: bool = False,
    preactivation: bool = False,
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds EDCN: a cross and a deep branch that share what they know at each layer.

    All layers are as wide as the embeddings side by side, D. Parameters of a layer
    with F fields: `2 F` (gates), 4 (norms), `2 D` (cross), `D^2 + D` (deep), and the
    bridge: none, `2 D^2 + D` (concat) or `2 (2 D^2 + D)` (attention).

    Args:
        fields: All fields, of any widths. Raw ones go to the final logit only.
        task: The task.
        num_layers: Number of layers of both branches, at least 1.
        cross_type: `"vector"` (the paper) or `"matrix"` (the cross layer of DCN-V2).
        bridge: `"hadamard"`, `"add"`, `"concat"` or `"attention"`.
        temperature: Temperature of the softmax over fields, above 0.
        norm: Of what a branch reads: `"scalar"`, `"layer"` or `None`, see
            `Regulation`.
        rescale: Whether field weights are 1, not one over F, at the start.
        preactivation: Whether activation and dropout come before the product of a
            deep layer, not behind it.
        activation: Activation of the deep layers.
        dropout: Fraction dropped in each deep layer, in [0, 1).
        l2_reg: Penalty on the kernels.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If an option is unknown.
    """
    if cross_type not in _CROSSES or bridge not in _BRIDGES:
        raise ValueError(
            f"edcn: cross_type must be one of {tuple(_CROSSES)}, bridge one of "
            f"{tuple(_BRIDGES)}. Received: "
            f"cross_type={cross_type!r}, bridge={bridge!r}"
        )
    check_embedded(fields)
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs)
    widths = [tensor.shape[-1] for tensor in x.tensors()]
    raw = x.raw()
    shared = keras.layers.Concatenate()(x.tensors())
    first = None
    for i in range(num_layers):
        to_cross, to_deep = (
            Regulation(
                widths, temperature, norm, rescale, name=f"dnn_regulation_{branch}_{i}"
            )(shared)
            for branch in ("cross", "deep")
        )
        first = to_cross if first is None else first
        crossed = _CROSSES[cross_type](l2_reg, name=f"dnn_cross_{i}")([first, to_cross])
        if preactivation:
            to_deep = get_activation(activation, name=f"dnn_activation_{i}")(to_deep)
            to_deep = normalization.make_dropout(dropout, name=f"dnn_dropout_{i}")(
                to_deep
            )
        deep = FeedForwardLayer(
            sum(widths),
            None if preactivation else activation,
            l2_reg,
            0.0 if preactivation else dropout,
            name=f"dnn_deep_{i}",
        )(to_deep)
        shared = _BRIDGES[bridge](l2_reg, name=f"dnn_bridge_{i}")([crossed, deep])
    joint = keras.layers.Concatenate()([crossed, deep, shared, *raw])
    logit = Tower((), num_logits=task.num_classes, name="dnn_logit")(joint)
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="edcn")
