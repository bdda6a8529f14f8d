"""FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction.

Mao et al., AAAI 2023, https://arxiv.org/abs/2304.00902 (figure 2, eq. 2-8)

    fields ─> embeddings ─> concat ──┬─> gate ─> MLP ──┐
                  ^                  └─> gate ─> MLP ──┴─> bilinear fusion ─> sigmoid
    gate fields ──┘ their own embeddings, for each gate
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import FeedForwardLayer, as_shapes
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Tensors

__all__ = ["Field", "Task", "finalmlp"]


class StreamGate(Layer):
    """Weighs the bits of a stream's input by its context (eq. 3-5).

        h = x * 2 sigmoid(MLP(context)), each weight in (0, 2)

    Args:
        hidden_units: Sizes of the MLP before its last layer, which is as wide as x.
        context_dim: Width of the learned context that is used if none is given.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
    Call arguments:
        inputs: `[x (batch, width), context (batch, context width)]`, or `x` alone.
    Returns:
        `(batch, width)`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (64,),
        context_dim: int = 10,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_units = tuple(hidden_units)
        self.context_dim = context_dim
        self.l2_reg = l2_reg
        same = {"dtype": self.dtype_policy}
        self.hidden = FeedForwardLayer(hidden_units, "relu", l2_reg, name="mlp", **same)

    def build(self, input_shape: Shape | Sequence[Shape]) -> None:
        x, *rest = as_shapes(input_shape)
        if not rest:  # not zero: nothing would move a ReLU on zeros
            self.context = self.add_weight(
                shape=(1, self.context_dim), initializer="random_normal", name="context"
            )
        context = rest[0] if rest else (1, self.context_dim)
        self.hidden.build(context)
        self.gate = keras.layers.Dense(
            x[-1],
            "sigmoid",
            kernel_regularizer=keras.regularizers.L2(self.l2_reg)
            if self.l2_reg
            else None,
            name="gate",
            dtype=self.dtype_policy,
        )
        self.gate.build(self.hidden.compute_output_shape(context))

    def call(self, inputs: Tensors) -> Tensor:
        if isinstance(inputs, (list, tuple)):
            x, context = inputs
        else:
            x, context = inputs, self.context
        return x * (2.0 * self.gate(self.hidden(context)))

    def compute_output_shape(self, input_shape: Shape | Sequence[Shape]) -> Shape:
        return as_shapes(input_shape)[0]


class BilinearFusion(Layer):
    r"""The logit of two vectors, linear in each and bilinear in both (eq. 6-8).

        y = b + w_1^T o_1 + w_2^T o_2 + \sum_k o_1^{(k)T} W^{(k)} o_2^{(k)}

    The vectors are cut into K heads: the matrix of the bilinear form is
    block-diagonal.

    Args:
        num_heads: K; `0` leaves the bilinear form out.
    Call arguments:
        inputs: `[(batch, width), (batch, other width)]`.
    Returns:
        `(batch, 1)`, float32.
    Raises:
        ValueError: If `num_heads` does not divide both widths.
    Example:
    >>> fusion = BilinearFusion()
    >>> fusion.build([(None, 1), (None, 1)])
    >>> fusion.set_weights([np.full(w.shape, i + 1.0) for i, w in
    ...                     enumerate(fusion.weights)])
    >>> fusion([np.array([[5.0]]), np.array([[6.0]])]).numpy()
    array([[140.]], dtype=float32)
    """

    def __init__(self, num_heads: int = 1, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.num_heads = num_heads

    def build(self, input_shape: Sequence[Shape]) -> None:
        widths = [shape[-1] for shape in as_shapes(input_shape)]
        heads = self.num_heads
        if heads < 0 or (heads and any(width % heads for width in widths)):
            raise ValueError(
                f"Layer {self.name!r}: num_heads must divide the widths of both "
                f"streams. Received: num_heads={heads}, widths {widths}"
            )
        self.left, self.right = (
            self.add_weight(shape=(width, 1), initializer="glorot_uniform", name=name)
            for width, name in zip(widths, ("left", "right"), strict=True)
        )
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")
        if heads:  # the blocks, on top of each other
            self.blocks = self.add_weight(
                shape=(widths[0], widths[1] // heads),
                initializer="glorot_uniform",
                name="blocks",
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        one, other = inputs
        logit = ops.matmul(one, self.left) + ops.matmul(other, self.right) + self.bias
        if not self.num_heads:
            return logit
        heads = self.num_heads
        width = one.shape[-1] // heads
        blocks = ops.reshape(self.blocks, (heads, width, -1))
        split = ops.reshape(one, (-1, heads, width))
        product = ops.einsum("bki,kij->bkj", split, blocks)
        product = ops.reshape(product, (-1, other.shape[-1])) * other
        return logit + ops.sum(product, axis=-1, keepdims=True)


@factory(may_be_zero=("num_heads",))
def finalmlp(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    gate_fields: tuple[Sequence[str], Sequence[str]] | None = ((), ()),
    gate_hidden_units: Sequence[int] = (64,),
    num_heads: int = 1,
    hidden_units: Sequence[int] = (100, 64),
    second_hidden_units: Sequence[int] | None = None,
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds FinalMLP: two gated MLPs side by side, fused by a bilinear form.

    With `gate_fields=None` and `num_heads=0` it is DualMLP. Parameters of the fusion,
    with streams of widths d_1 and d_2: `d_1 + d_2 + 1 + d_1 d_2 / num_heads`.

    Args:
        fields: All fields, of any widths.
        task: Any but a multiclass one.
        gate_fields: For each stream the names of the fields whose embeddings, in
            tables of their own, are the context of its gate; without names the
            context is a learned constant. `None` leaves the gates out.
        gate_hidden_units: Sizes of the MLP of a gate.
        num_heads: Heads of the bilinear form; `0` leaves it out.
        hidden_units: Sizes of the MLP of the first stream. The default is this
            library's; the paper has others.
        second_hidden_units: Sizes of the second; default: the same.
        activation: Activation of both.
        dropout: Fraction dropped behind each of their layers, in [0, 1).
        l2_reg: Penalty on the kernels of MLPs and gates.
        use_bn: Whether the MLPs normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If a gate field is unknown, or
            `num_heads` does not divide the widths of both streams.
    """
    by_name = {field.name: field for field in fields}
    unknown = [n for names in gate_fields or () for n in names if n not in by_name]
    if unknown:
        raise ValueError(
            f"gate_fields must be names of fields: {sorted(by_name)}. "
            f"Received: {unknown}"
        )
    if second_hidden_units is None:
        second_hidden_units = hidden_units

    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    streams = []
    for i, units in enumerate((hidden_units, second_hidden_units)):
        stream = x
        if gate_fields is not None:
            context = [
                embed.lookup(by_name[name], f"embedding_gate_{i}__", by_name[name].dim)
                for name in gate_fields[i]
            ]
            if len(context) > 1:
                context = [keras.layers.Concatenate()(context)]
            gate = StreamGate(gate_hidden_units, l2_reg=l2_reg, name=f"dnn_gate_{i}")
            stream = gate([x, *context] if context else x)
        mlp = FeedForwardLayer(
            units, activation, l2_reg, dropout, use_bn, name=f"dnn_mlp_{i}"
        )
        streams.append(mlp(stream))
    logit = BilinearFusion(num_heads, name="dnn_fusion")(streams)
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="finalmlp")
