"""Shared-Bottom: Multitask Learning.

Caruana, Machine Learning 1997, https://doi.org/10.1023/A:1007379606734; as in
Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007 (figure 1 a, eq. 1)

    fields ─> embeddings ─> bottom ──┬─> tower of task 1 ─> sigmoid
                                     └─> tower of task 2 ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import task_towers
from recsys.layers.mlp import FeedForwardLayer
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "shared_bottom"]


@factory()
def shared_bottom(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    bottom_units: Sequence[int] = (256, 128),
    hidden_units: Sequence[int] = (64,),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds Shared-Bottom: one network for all tasks, and a tower for each.

    The baseline of every other model of several tasks. With one task it is an MLP.

    Args:
        fields: All fields.
        task_list: The tasks.
        bottom_units: Sizes of the layers that all tasks share.
        hidden_units: Sizes of each tower.
        activation: Activation of all layers.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of hidden layers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If tasks share a name, see `check_tasks`.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    shared = FeedForwardLayer(
        bottom_units, activation, l2_reg, dropout, use_bn, name="dnn_bottom"
    )(x)
    outputs = task_towers(
        task_list,
        [shared] * len(task_list),
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="shared_bottom")
