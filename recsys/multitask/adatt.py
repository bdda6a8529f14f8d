"""AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning.

Li et al., KDD 2023, https://arxiv.org/abs/2304.04959 (figure 2, eq. 1-7)

    embeddings ──┬─> experts of task 1 ──┬─> own, weighed ────(+)─> tower ─> sigmoid
                 │                       ├─> gate over all ────^
                 └─> experts of task 2 ──┼─> gate over all ───(+)─> tower ─> sigmoid
                                         └─> own, weighed ─────^
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.experts import Experts
from recsys.layers.gates import GatingNetwork
from recsys.layers.heads import check_tasks, task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "adatt"]


class NativeExperts(Layer):
    r"""Adds to a mixture the experts of the task itself (AdaTT, eq. 5).

        y = mixture + \sum_j v_j a_j

    Args:
        free: Whether the v_j are trained, from U(-1/\sqrt{m}, 1/\sqrt{m}) on; else 1.
    Call arguments:
        inputs: `[mixture (batch, width), experts (batch, m, width)]`.
    Returns:
        `(batch, width)`.
    """

    def __init__(self, free: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.free = free

    def build(self, input_shape: Sequence[Shape]) -> None:
        if self.free:
            m = input_shape[1][1]
            self.v = self.add_weight(
                shape=(1, m),
                initializer=keras.initializers.RandomUniform(-(m**-0.5), m**-0.5),
                name="v",
            )

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        mixture, experts = inputs
        if not self.free:
            return mixture + ops.sum(experts, axis=1)
        return mixture + ops.squeeze(ops.matmul(self.v, experts), axis=1)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


@factory(may_be_zero=("num_shared_experts",), not_empty=("experts_dim",))
def adatt(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    num_layers: int = 1,
    num_experts: int = 2,
    num_shared_experts: int = 0,
    experts_dim: int | Sequence[int] = (128, 128),
    hidden_units: Sequence[int] = (64,),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    self_residual: bool = True,
) -> Model:
    """Builds AdaTT: each task mixes the experts of all, and adds its own.

    In a gate the experts come in the order of the tasks, the shared last. With one
    expert for each task its own is added as it is, else with a trained weight each.

    Args:
        fields: All fields.
        task_list: The tasks.
        num_layers: Levels of experts and fusion.
        num_experts: Experts of each task in a level.
        num_shared_experts: Experts of a level that no task owns, may be 0. Their stream
            is fused as that of a task, in all levels but the last.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower.
        activation: Activation of experts and towers.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        self_residual: Whether a task adds its own experts.

    Raises:
        ValueError: If tasks share a name, see `check_tasks`.
    """
    check_tasks(task_list)
    numbers = {task.name: num_experts for task in task_list}
    if num_shared_experts:
        numbers["shared"] = num_shared_experts
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    streams = dict.fromkeys(numbers, x)
    for level in range(num_layers):
        experts = {
            name: Experts(
                number,
                experts_dim,
                activation,
                l2_reg,
                dropout,
                use_bn,
                name=layer_name(f"dnn_level_{level}_experts_{name}"),
            )(streams[name])
            for name, number in numbers.items()
        }
        fused = {}
        for name, stream in streams.items():
            if name == "shared" and level == num_layers - 1:
                continue
            gate = GatingNetwork(
                sum(numbers.values()),
                layer_name(f"dnn_level_{level}_gate_{name}"),
                l2_reg,
                use_bias=True,
            )
            mixed = gate([stream, *experts.values()])
            if self_residual:
                add = NativeExperts(
                    free=max(numbers.values()) > 1,
                    name=layer_name(f"dnn_level_{level}_native_{name}"),
                )
                mixed = add([mixed, experts[name]])
            fused[name] = mixed
        streams = fused
    outputs = task_towers(
        task_list,
        [streams[task.name] for task in task_list],
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="adatt")
