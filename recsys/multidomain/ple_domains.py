"""PLE over domains: experts of each domain and shared ones, a tower for each domain.

Tang et al., RecSys 2020, https://doi.org/10.1145/3383313.3412236, a domain in place of
a task; the row's domain says which tower answers.

    embeddings ──┬─> experts of domain 1 ──┬─> gate of domain 1 ─> tower ─┐ the row's
                 ├─> shared experts ───────┤                              ├─> sigmoid
                 └─> experts of domain 2 ──┴─> gate of domain 2 ─> tower ─┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.streams import StackedExtraction, domain_towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "ple_domains"]


def extraction_over_domains(
    model: str,
    fields: Sequence[Field],
    task_list: Sequence[Task],
    levels: Sequence[str],
    experts: tuple[int, int],
    experts_dim: int | Sequence[int],
    hidden_units: Sequence[int],
    layer: tuple[Any, float, float, bool],
    history_agg: str,
    agg_kwargs: Mapping[str, Any] | None,
    oov_domain: OutOfRange,
) -> Model:
    """Builds PLE over domains, and MMoE, which is one level without own experts.

    Args:
        model: Its name.
        levels: Names of the layers of experts.
        experts: Number of own and of shared ones in a level.
        layer: Activation, `l2_reg`, dropout and `use_bn` of experts and towers.
        fields, task_list, experts_dim, hidden_units, history_agg, agg_kwargs,
            oov_domain: See `ple_domains`.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    domain = embed.domain(model)
    streams = shared = embed(fields, history_agg, agg_kwargs).concat()
    activation, l2_reg, dropout, use_bn = layer
    for name in levels:
        goes_on = name != levels[-1]
        mixed = StackedExtraction(
            domain.number,
            *experts,
            experts_dim,
            activation,
            l2_reg,
            dropout,
            use_bn,
            goes_on=goes_on,
            name=name,
        )([streams, shared])
        streams, shared = mixed if goes_on else (mixed, shared)
    outputs = domain_towers(
        task_list,
        [streams] * len(task_list),
        domain.ids,
        domain.number,
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=outputs, name=model)


@factory(
    "domain_id",
    may_be_zero=("num_experts", "num_shared_experts"),
    not_empty=("experts_dim",),
)
def ple_domains(
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
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds PLE with domains for tasks; each task has a tower in each domain.

    Rows of a domain move no expert of another at one level (CGC); at more they do,
    through the shared stream. Normalisation (`use_bn`) is over all rows of a batch.

    Args:
        fields: Exactly one domain field of ids.
        task_list: The tasks.
        num_layers: Number of levels.
        num_experts: Experts of each domain in a level, may be 0.
        num_shared_experts: Shared experts of a level, may be 0.
        experts_dim: Sizes of the layers of an expert, one number for one layer.
        hidden_units: Sizes of each tower. The default is this library's; the paper has
            others.
        activation: Activation of experts and towers.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of experts, gates and towers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        oov_domain: See `FieldEmbedder`; an unknown domain gets the mean of all logits.

    Raises:
        ValueError: If there are no experts, or is not one domain field of ids.
    """
    return extraction_over_domains(
        "ple_domains",
        fields,
        task_list,
        [f"dnn_level_{level}" for level in range(num_layers)],
        (num_experts, num_shared_experts),
        experts_dim,
        hidden_units,
        (activation, l2_reg, dropout, use_bn),
        history_agg,
        agg_kwargs,
        oov_domain,
    )
