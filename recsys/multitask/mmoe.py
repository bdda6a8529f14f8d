"""MMoE, OMoE: Modeling Task Relationships with Multi-gate Mixture-of-Experts.

Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007 (figure 1 c, eq. 5-7)

    fields ─> embeddings ──┬─> experts ──────────┬─(x)─> tower of task 1 ─> sigmoid
                           ├─> gate of task 1 ───┘ │
                           └─> gate of task 2 ────(x)──> tower of task 2 ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "mmoe"]


@factory(not_empty=("experts_dim",))
def mmoe(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    num_experts: int = 3,
    experts_dim: int | Sequence[int] = 64,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    gate_units: Sequence[int] = (),
    gate_bias: bool = False,
    gate_dropout: float = 0.0,
    one_gate: bool = False,
) -> Model:
    """Builds MMoE: experts that all tasks share, mixed by a gate of each task.

    `recsys.layers.gate_values(model, x)` gives the shares of each row, by layer
    `dnn_gate_<task>`. With one expert it is Shared-Bottom.

    Args:
        fields: All fields.
        task_list: The tasks.
        num_experts: Number of experts.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            others.
        activation: Activation of experts, towers and hidden layers of gates.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        gate_units: Sizes of hidden layers of a gate; the paper has none.
        gate_bias: Whether gates have a bias; the paper's have not.
        gate_dropout: Fraction of the shares dropped in training, see `Gate`.
        one_gate: Whether all tasks share one gate, `dnn_gate` (the paper's OMoE).

    Raises:
        ValueError: If there are no experts, or tasks share a name, see `check_tasks`.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    experts = Experts(
        num_experts,
        experts_dim,
        activation,
        l2_reg,
        dropout,
        use_bn,
        name="dnn_experts",
    )(x)

    def mixture(name: str) -> Tensor:
        gate = GatingNetwork(
            num_experts,
            name,
            l2_reg,
            dropout,
            use_bn,
            hidden_units=gate_units,
            activation=activation,
            use_bias=gate_bias,
            gate_dropout=gate_dropout,
        )
        return gate([x, experts])

    if one_gate:
        mixed = [mixture("dnn_gate")] * len(task_list)
    else:
        mixed = [mixture(layer_name(f"dnn_gate_{task.name}")) for task in task_list]
    outputs = task_towers(
        task_list, mixed, hidden_units, activation, l2_reg, dropout, use_bn
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="mmoe")
