"""PEPNet: Parameter and Embedding Personalized Network.

Chang et al., KDD 2023, https://arxiv.org/abs/2302.01115 (figure 3, eq. 1-7)

    domain ───> embeddings ─────────┐
                                    v
    all others ─> embeddings E ─> EPNet: gate * E ──> one tower per task ─> sigmoid
                                    │                   ^ gate of every layer
    user, item ─> embeddings ───────┴─────────> PPNet ──┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.domain import EPNet, PPNet
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "pepnet"]


@factory("domain")
def pepnet(
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
    """Builds PEPNet: one network for all domains and tasks, gated by who and where.

    EPNet gates all embeddings but those of the domain by the domain; PPNet gates
    every hidden layer of the task towers by user and item. No gradient reaches the
    gated embeddings through a gate.

    Args:
        fields: At least one domain field, and one user or item field. (Domain: its
            id and what is counted inside it. User and item: who, and what.)
        task_list: The tasks, one tower each.
        hidden_units: Sizes of a tower. The default is this library's; the paper has
            others.
        activation: Activation of a tower.
        dropout: Fraction dropped behind each gated layer, in [0, 1).
        l2_reg: Penalty on the kernels of gates and towers.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        gate_per_task: Whether each task has PPNet gates of its own, where the paper's
            gate of a layer is cut into one part for each task.
        oov_domain: See `FieldEmbedder`; unknown domains have one embedding together.

    Raises:
        ValueError: If there is no domain field, or neither a user nor an item field.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    x = embed(fields, history_agg, agg_kwargs)
    domain, prior = x.of("domain"), x.of("user", "item")
    if not domain.parts or not prior.parts:
        raise ValueError(
            "pepnet needs a field with belong='domain', and one with belong='user' or "
            f"'item'. Received: {[(field.name, field.belong) for field in fields]}"
        )

    embeddings = x.of("user", "item", "context", "history", "task").concat()
    personal = EPNet(l2_reg, name="dnn_epnet")([domain.concat(), embeddings])
    towers = PPNet(
        len(task_list),
        hidden_units,
        activation,
        dropout,
        l2_reg,
        gate_per_task,
        name="dnn_ppnet",
    )([personal, prior.concat()])
    outputs = task_towers(task_list, towers, (), activation, 0.0, 0.0, False)
    return Model(inputs=embed.inputs, outputs=outputs, name="pepnet")
