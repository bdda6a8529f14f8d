"""AME: asymmetric multi-embedding, of Ads Recommendation in a Collapsed and
Entangled World.

Pan et al., KDD 2024, https://arxiv.org/abs/2403.00793 (section 5)

    fields ──┬─> narrow tables ─> experts ──┬─> gate of task 1 ─> tower ─> sigmoid
             ├─> medium tables ─> experts ──┤
             └─> wide tables ───> experts ──┴─> gate of task 2 ─> tower ─> sigmoid

A gate reads the embeddings of all widths side by side.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "ame"]


@factory(not_empty=("times", "experts_dim"))
def ame(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    times: Sequence[int] = (1, 2, 4),
    num_experts: int = 1,
    experts_dim: int | Sequence[int] = 64,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    affinity: Mapping[str, Sequence[int]] | None = None,
    gate_units: Sequence[int] = (),
) -> Model:
    """Builds AME: a few sets of tables of different widths, which no task owns.

    Every task mixes the experts of all sets and finds out which width suits it: one
    with few labels the narrow tables, one with many the wide ones. Unlike STEM the
    number of tables does not grow with that of tasks. Experts of a gate come in the
    order of the sets.

    The paper says little of its gates; that they read all embeddings is our choice.

    Args:
        fields: All fields.
        task_list: The tasks.
        times: For each set of tables, the factor on the `dim` of all fields.
        num_experts: Experts of each set.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            others.
        activation: Activation of experts, towers and hidden layers of gates.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled in each set, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        affinity: The sets that a task may use, by its name; default: all.
        gate_units: Sizes of hidden layers of a gate.

    Raises:
        ValueError: If `affinity` names what is not there, or tasks share a name, see
            `check_tasks`.
    """
    affinity, sets = affinity or {}, range(len(times))
    names = {task.name for task in task_list}
    if not affinity.keys() <= names or any(
        not chosen or not set(chosen) <= set(sets) for chosen in affinity.values()
    ):
        raise ValueError(
            f"affinity must give tasks of {sorted(names)} sets of {list(sets)}, one at "
            f"least. Received: {affinity}"
        )
    columns = FieldEmbedder(fields)
    xs = [
        columns.another(f"set_{i}", factor)(fields, history_agg, agg_kwargs).concat()
        for i, factor in enumerate(times)
    ]
    experts = [
        Experts(
            num_experts,
            experts_dim,
            activation,
            l2_reg,
            dropout,
            use_bn,
            name=f"dnn_experts_{i}",
        )(x)
        for i, x in enumerate(xs)
    ]
    mixed = []
    for task in task_list:
        chosen = affinity.get(task.name, sets)
        gate = GatingNetwork(
            num_experts * len(chosen),
            layer_name(f"dnn_gate_{task.name}"),
            l2_reg,
            dropout,
            use_bn,
            hidden_units=gate_units,
            activation=activation,
        )
        query = concat([xs[i] for i in chosen])
        mixed.append(gate([query, *(experts[i] for i in chosen)]))
    outputs = task_towers(
        task_list, mixed, hidden_units, activation, l2_reg, dropout, use_bn
    )
    return Model(inputs=columns.inputs, outputs=outputs, name="ame")
