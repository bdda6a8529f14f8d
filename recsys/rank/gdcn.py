"""GDCN: Towards Deeper, Lighter and Interpretable Cross Network for CTR Prediction.

Wang et al., CIKM 2023, https://arxiv.org/abs/2311.04635 (figure 2, eq. 2)

    fields ─> embeddings ─> concat ──┬─> gated cross network ──┐
                                     └─> MLP ──────────────────┴─> logit ─> sigmoid

    stacked: concat ─> gated cross network ─> MLP ─> logit ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.cross import Cross, CrossStack, Structure, cross_and_deep
from recsys.layers.mlp import as_shapes
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "gdcn"]


class GatedCross(Cross):
    r"""A cross layer that chooses which products to keep (eq. 2).

        x' = x_0 * (W x + b) * sigmoid(W_g x) + x

    The gate has no bias: it is 1/2 where it knows nothing.

    Example:
    >>> cross = GatedCross()
    >>> cross.build([(None, 2), (None, 2)])
    >>> cross.set_weights([np.eye(2), np.zeros(2), np.zeros((2, 2))])
    >>> cross([np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]])]).numpy()
    array([[4.5, 8. ]], dtype=float32)
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        width = as_shapes(input_shape)[-1][-1]
        self.kernel = self.add_kernel("kernel", width, width)
        self.bias = self.add_bias(width)
        self.gate_kernel = self.add_kernel("gate", width, width)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        x0, x = inputs
        product = ops.matmul(x, self.kernel) + self.bias
        return x0 * product * ops.sigmoid(ops.matmul(x, self.gate_kernel)) + x


class GatedCrossNet(CrossStack):
    """The cross network of GDCN: `GatedCross` layers, see `CrossStack`."""

    def new_layer(self, **kwargs: Any) -> Cross:
        return GatedCross(self.l2_reg, **kwargs)


@factory(may_be_zero=("num_layers",))
def gdcn(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    num_layers: int = 3,
    structure: Structure = "parallel",
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds GDCN: a cross network with a gate in each layer, and an MLP.

    Parameters of a cross layer: `2 D^2 + D`, with D the width of all embeddings side
    by side.

    Args:
        fields: All fields, of any widths; raw ones are crossed too.
        task: The task.
        num_layers: Number of cross layers, may be 0.
        structure: `"parallel"` (GDCN-P), or `"stacked"` (GDCN-S): the MLP reads the
            cross network.
        hidden_units: Sizes of the MLP; none leaves it out. The default is this
            library's; the paper has others.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of both parts.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If `structure` is unknown.
    """
    embed = FieldEmbedder(fields)
    logit = cross_and_deep(
        embed(fields, history_agg, agg_kwargs).concat(),
        GatedCrossNet(num_layers, l2_reg, name="dnn_cross"),
        structure,
        task.num_classes,
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="gdcn")
