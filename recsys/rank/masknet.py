"""MaskNet: Feature-Wise Multiplication to CTR Ranking Models by Instance-Guided Mask.

Wang, She and Zhang, DLP-KDD 2021, https://arxiv.org/abs/2102.07619 (figures 2-4)

    embeddings ─┬─> norm of each field ─> block 1 ─> block 2 ─> ... ─> sigmoid   serial
                └─> mask of each block

    embeddings ─┬─> norm of each field ─> blocks, side by side ─> MLP ─> sigmoid
                └─> mask of each block                                         parallel
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, check_embedded, concat
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.normalization import layer_norm
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "masknet"]


class MaskBlock(Layer):
    """A layer on what an instance-guided mask leaves of its input (eq. 4, 8, 9).

        mask = W_2 ReLU(W_1 e + b_1) + b_2
        out = ReLU(LN((mask * x) W))

    e are the embeddings as they come from the tables, in every block.

    Args:
        units: Width of the output.
        reduction_ratio: Inner width of the mask over that of x.
        l2_reg: Penalty on the three kernels.
    Call arguments:
        inputs: `[e (batch, width of embeddings), x (batch, width)]`.
    Returns:
        `(batch, units)`.
    """

    def __init__(
        self,
        units: int,
        reduction_ratio: float = 2.0,
        l2_reg: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.reduction_ratio = reduction_ratio
        self.l2_reg = l2_reg

    def build(self, input_shape: Sequence[Shape]) -> None:
        embeddings, x = input_shape
        inner = max(1, int(self.reduction_ratio * x[-1]))
        regularizer = keras.regularizers.L2(self.l2_reg) if self.l2_reg else None
        same = {"dtype": self.dtype_policy, "kernel_regularizer": regularizer}
        self.aggregate = keras.layers.Dense(inner, "relu", name="aggregate", **same)
        self.project = keras.layers.Dense(x[-1], name="project", **same)
        self.dense = keras.layers.Dense(
            self.units, use_bias=False, name="dense", **same
        )
        self.norm = layer_norm(dtype=self.dtype_policy, name="norm")
        self.aggregate.build(embeddings)
        self.project.build((None, inner))
        self.dense.build(x)
        self.norm.build((None, self.units))

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        embeddings, x = inputs
        mask = self.project(self.aggregate(embeddings))
        return ops.relu(self.norm(self.dense(mask * x)))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return (input_shape[0][0], self.units)


@factory(not_empty=("block_units",))
def masknet(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    parallel: bool = True,
    block_units: Sequence[int] = (64, 64, 64),
    reduction_ratio: float = 2.0,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds MaskNet, parallel (figure 4) or serial (figure 3).

    Parameters of a block of q units on z inputs and D embedded numbers, r being the
    ratio: `D r z + r z + r z z + z + z q + 2 q`; the norms of the fields, `2 D`.

    Args:
        fields: The fields, of any widths. Raw fields go to the last MLP, or with
            `parallel=False` to the logit.
        task: The task.
        parallel: Whether all blocks read the embeddings, or each the block before.
        block_units: Width of each block.
        reduction_ratio: Inner width of a mask over that of what it masks.
        hidden_units: Sizes of the MLP behind parallel blocks; serial ones have none.
            The default is this library's; the paper has (400, 400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the blocks and the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
    """
    check_embedded(fields)
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    embeddings = features.tensors()
    raw = features.raw()
    e = concat(embeddings)
    normed = [
        layer_norm(name=layer_name(f"dnn_norm_{name}"))(tensor)
        for name, tensor in zip(features.names(), embeddings, strict=True)
    ]
    x = concat(normed)
    blocks = [
        MaskBlock(units, reduction_ratio, l2_reg, name=f"dnn_block_{i}")
        for i, units in enumerate(block_units)
    ]
    if parallel:
        x = concat([block([e, x]) for block in blocks])
    else:
        hidden_units = ()
        for block in blocks:
            x = block([e, x])
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(concat([x, *raw]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="masknet")
