"""MMoE over domains: shared experts, a gate and a tower for each domain.

Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007, a domain in place of a
task; the row's domain says which tower answers.

    embeddings ──┬─> experts ──────────┬─(x)─> tower of domain 1 ─┐ the row's
                 ├─> gate of domain 1 ─┘ │                        ├──────────> sigmoid
                 └─> gate of domain 2 ──(x)──> tower of domain 2 ─┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import OutOfRange
from recsys.multidomain.ple_domains import extraction_over_domains
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "mmoe_domains"]


@factory("domain_id", not_empty=("experts_dim",))
def mmoe_domains(
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
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds MMoE with domains for tasks; each task has a tower in each domain.

    With one expert it is Shared-Bottom over domains. Normalisation (`use_bn`) is over
    all rows of a batch.

    Args:
        fields: Exactly one domain field of ids.
        task_list: The tasks; a gate is of a domain, a tower of a domain and task.
        num_experts: Number of experts.
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
        "mmoe_domains",
        fields,
        task_list,
        ["dnn_experts"],
        (0, num_experts),
        experts_dim,
        hidden_units,
        (activation, l2_reg, dropout, use_bn),
        history_agg,
        agg_kwargs,
        oov_domain,
    )
