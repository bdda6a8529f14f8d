"""How a model ends that has one MLP on all that it knows."""

from collections.abc import Callable, Sequence
from typing import Any

from recsys.feature import Task
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.train.model import Model

MLP = tuple[Sequence[int], str | Callable[..., Any], float, float, bool]
"""Hidden units, activation, L2 penalty, dropout, whether it normalises."""


def mlp_model(name: str, embed: FieldEmbedder, x: Any, task: Task, mlp: MLP) -> Model:
    """Returns a model of one task: `x -> MLP -> logit -> prediction`.

    Args:
        name: Name of the model.
        embed: Whose inputs the model has.
        x: What the MLP reads, `(batch, width)`.
        task: The task.
        mlp: The MLP's arguments.
    """
    logit = Tower(*mlp, num_logits=task.num_classes, name="dnn_mlp")(x)
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name=name)
