"""CGC, PLE: Progressive Layered Extraction, a Novel Multi-Task Learning Model.

Tang et al., RecSys 2020, https://doi.org/10.1145/3383313.3412236 (figures 4 and 5,
eq. 1-6)

    embeddings ──┬─> experts of task 1 ──┬─> gate of task 1 ──┬─> ... ─> tower, sigmoid
                 ├─> shared experts ─────┼─> shared gate ─────┤  (of all levels but
                 └─> experts of task 2 ──┴─> gate of task 2 ──┴─> ...       the last)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.experts import extract
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "ple"]


@factory(may_be_zero=("num_experts", "num_shared_experts"), not_empty=("experts_dim",))
def ple(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    num_layers: int = 1,
    num_experts: int = 2,
    num_shared_experts: int = 2,
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
) -> Model:
    """Builds PLE: experts of each task and shared ones, in several levels.

    One level is CGC. A task reads its own and the shared experts; what is shared goes
    on with the experts of all tasks. Gates see what the experts of their level see.
    Weights of tasks that fall from epoch to epoch, as in the paper, are
    `compile(balance=recsys.train.balance.Decay(...))`.
    In a gate the experts of a task come before the shared ones.

    Args:
        fields: All fields.
        task_list: The tasks.
        num_layers: Number of levels.
        num_experts: Experts of each task in a level, may be 0.
        num_shared_experts: Shared experts of a level; with 0 the tasks share nothing
            but the embeddings.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            (256, 128, 64).
        activation: Activation of experts, towers and hidden layers of gates.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        gate_units: Sizes of hidden layers of a gate; the paper has none.
        gate_bias: Whether gates have a bias; the paper's have not.
        gate_dropout: Fraction of the shares dropped in training, see `Gate`.

    Raises:
        ValueError: If there are no experts, or tasks share a name, see `check_tasks`.
    """
    embed = FieldEmbedder(fields)
    shared = embed(fields, history_agg, agg_kwargs).concat()
    streams = {task.name: shared for task in task_list}
    for level in range(num_layers):
        streams, shared = extract(
            streams,
            shared,
            num_experts,
            num_shared_experts,
            expert={
                "hidden_units": experts_dim,
                "activation": activation,
                "l2_reg": l2_reg,
                "dropout": dropout,
                "use_bn": use_bn,
            },
            gate={
                "l2_reg": l2_reg,
                "dropout": dropout,
                "use_bn": use_bn,
                "hidden_units": gate_units,
                "activation": activation,
                "use_bias": gate_bias,
                "gate_dropout": gate_dropout,
            },
            last=level == num_layers - 1,
            name=f"dnn_level_{level}",
        )
    outputs = task_towers(
        task_list,
        [streams[task.name] for task in task_list],
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="ple")
