"""EPNet: the half of PEPNet that fits embeddings to the domain.

Chang et al., KDD 2023, https://arxiv.org/abs/2302.01115 (figure 3, eq. 1-4)

    domain ───> embeddings ──────────┐
                                     v
    all others ─> embeddings E ──> gate * E ──> one MLP per task ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.domain import EPNet
from recsys.layers.heads import task_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "epnet"]


@factory("domain")
def epnet(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds EPNet: all embeddings gated by the domain, then an MLP for each task.

    No gradient reaches the gated embeddings through the gate.

    Args:
        fields: At least one domain field and one other.
        task_list: The tasks, one MLP each.
        hidden_units: Sizes of an MLP. The default is this library's; the paper has
            others.
        activation: Activation of an MLP.
        dropout: Fraction dropped behind each layer, in [0, 1).
        l2_reg: Penalty on the kernels of gate and MLPs.
        use_bn: Whether the MLPs normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        oov_domain: See `FieldEmbedder`; unknown domains have one embedding together.

    Raises:
        ValueError: If there is no domain field, or nothing else.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    x = embed(fields, history_agg, agg_kwargs)
    domain, others = x.of("domain"), x.of("user", "item", "context", "history", "task")
    if not domain.parts or not others.parts:
        raise ValueError(
            "epnet needs a field with belong='domain', and others for it to gate. "
            f"Received: {[(field.name, field.belong) for field in fields]}"
        )

    gated = EPNet(l2_reg, name="dnn_epnet")([domain.concat(), others.concat()])
    outputs = task_towers(
        task_list,
        [gated] * len(task_list),
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name="epnet")
