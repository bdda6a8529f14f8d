"""DLRM: Deep Learning Recommendation Model for Personalization and Recommendation
Systems.

Naumov et al., 2019, https://arxiv.org/abs/1906.00091 (figure 1, section 2)

    numbers ─> bottom MLP ──┬──────────────────────────┐
                            ├─> inner products of ─> concat ─> top MLP ─> sigmoid
    ids ─────> embeddings ──┘       all pairs
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from recsys.feature import Field, Task
from recsys.inputs import Embeddings, FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.elementary import Stack
from recsys.layers.heads import predict
from recsys.layers.interaction.pairs import inner_products
from recsys.layers.mlp import FeedForwardLayer, Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "dlrm"]


class DotInteraction(Layer):
    """Inner products of all pairs of vectors, none with itself (section 2.1.3).

    Call arguments:
        inputs: `(batch, num_vectors, dim)`.
    Returns:
        `(batch, num_vectors (num_vectors - 1) / 2)`.
    Raises:
        ValueError: If there is one vector, and no pair.
    """

    def build(self, input_shape: Shape) -> None:
        if input_shape[1] < 2:
            raise ValueError(
                f"Layer {self.name!r}: there must be two vectors to form a pair, from "
                f"embeddings and the bottom MLP. Received: {input_shape[1]}"
            )

    def call(self, inputs: Tensor) -> Tensor:
        return inner_products(inputs)


@factory("one_dim")
def dlrm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    bottom_hidden_units: Sequence[int] = (100,),
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DLRM: an MLP on inner products of embeddings and of the numbers' MLP.

    Parameters: `sum of V d` over the tables, the bottom MLP from all numbers to d, and
    the top MLP on `d + (F + 1) F / 2` inputs for F fields of ids and some numbers.

    Args:
        fields: The fields; those of ids have one `dim`. Numbers have no embedding, all
            go through the bottom MLP.
        task: The task.
        bottom_hidden_units: Sizes of the bottom MLP before its last layer, which is
            `dim` wide.
        hidden_units: Sizes of the top MLP. The default is this library's; the paper has
            (512, 256), and (512, 256, 64) of the bottom one.
        activation: Activation of both MLPs.
        dropout: Fraction dropped behind each layer of the top MLP, in [0, 1).
        l2_reg: Penalty on the kernels of both MLPs.
        use_bn: Whether the MLPs normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If fields of ids differ in `dim`, or nothing forms a pair.
    """
    embed = FieldEmbedder(fields)
    parts = embed(fields, history_agg, agg_kwargs).parts
    ids = [p for p in parts if p.fields[0].is_table or p.fields[0].belong == "history"]
    numbers = [p for p in parts if p not in ids]
    vectors = Embeddings(ids).of_one_dim()
    dense = []
    if numbers:
        raw = [
            keras.layers.Reshape((field.length,))(embed.column(field.name))
            if field.edges is None
            else part.tensor
            for part in numbers
            for field in part.fields
        ]
        dim = vectors[0].shape[-1] if vectors else numbers[0].fields[0].dim
        bottom = FeedForwardLayer(
            (*bottom_hidden_units, dim),
            activation,
            l2_reg,
            use_bn=use_bn,
            name="dnn_bottom_mlp",
        )
        dense = [bottom(concat(raw))]
    dots = DotInteraction(name="dnn_dots")(Stack()([*dense, *vectors]))
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_top_mlp",
    )
    logit = tower(concat([*dense, dots]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="dlrm")
