"""PPNet: the half of PEPNet that fits the towers of tasks to a person.

Chang et al., KDD 2023, https://arxiv.org/abs/2302.01115 (figure 3, eq. 5-7)

    all fields ─> embeddings E ─────────┬──> one tower per task ─> sigmoid
                                        v      ^ gate of every layer
    user, item ─> embeddings ─────────> PPNet ─┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.domain import PPNet
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "ppnet"]


@factory()
def ppnet(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    gate_per_task: bool = False,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds PPNet: towers whose hidden layers are gated by who and what.

    Without EPNet nothing is gated by the domain: its fields are features like others.
    No gradient reaches the tower's input through a gate.

    Args:
        fields: At least one user or item field.
        task_list: The tasks, one tower each.
        hidden_units: Sizes of a tower. The default is this library's; the paper has
            others.
        activation: Activation of a tower.
        dropout: Fraction dropped behind each gated layer, in [0, 1).
        l2_reg: Penalty on the kernels of gates and towers.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        gate_per_task: Whether each task has gates of its own, where the paper's gate
            of a layer is cut into one part for each task.
        oov_domain: See `FieldEmbedder`; unknown domains have one embedding together.

    Raises:
        ValueError: If there is neither a user nor an item field.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    x = embed(fields, history_agg, agg_kwargs)
    prior = x.of("user", "item")
    if not prior.parts:
        raise ValueError(
            "ppnet needs a field with belong='user' or 'item', which its gates read. "
            f"Received: {[(field.name, field.belong) for field in fields]}"
        )

    towers = PPNet(
        len(task_list),
        hidden_units,
        activation,
        dropout,
        l2_reg,
        gate_per_task,
        name="dnn_ppnet",
    )([x.concat(), prior.concat()])
    outputs = task_towers(task_list, towers, (), activation, 0.0, 0.0, False)
    return Model(inputs=embed.inputs, outputs=outputs, name="ppnet")
