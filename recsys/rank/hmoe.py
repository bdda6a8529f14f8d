"""HMoE: Ads Recommendation in a Collapsed and Entangled World.

Pan et al., KDD 2024, https://arxiv.org/abs/2403.00793; embeddings in several sets:
Guo et al., ICML 2024, https://arxiv.org/abs/2310.04400

    fields ──┬─> set 1 of tables ─> interaction ─> MLP ──┐
             ├─> set 2 of tables ─> interaction ─> MLP ─(mean)─> linear ─> sigmoid
             └─> ...             ─> interaction ─> MLP ──┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.elementary import WeightedSum
from recsys.layers.heads import predict
from recsys.layers.interaction.expert import InteractionExpert
from recsys.layers.mlp import FeedForwardLayer, Tower
from recsys.rank.gwpfm import field_groups
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "InteractionExpert", "Task", "hmoe"]

Experts = Mapping[InteractionExpert, Mapping[str, Any]]
ALL_IN_SETS_OF_THEIR_OWN: tuple[Experts, ...] = (
    {InteractionExpert.GwPFM: {}},
    {InteractionExpert.ProductLayer: {}},
    {InteractionExpert.CrossNet: {}},
)


class GatedSum(Layer):
    """Sum of experts, each times its share in a softmax over all of them.

    Call arguments:
        inputs: `[scores (batch, num_experts), expert (batch, width), ...]`.
    Returns:
        `(batch, width)`.
    """

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        scores, *experts = inputs
        shares = ops.split(ops.softmax(scores), len(experts), axis=-1)
        terms = [share * x for share, x in zip(shares, experts, strict=True)]
        return sum(terms[1:], start=terms[0])


@factory("one_dim")
def hmoe(
    fields: Sequence[Field],
    expert_group: Sequence[Experts] = ALL_IN_SETS_OF_THEIR_OWN,
    task: Task = Task("ctr"),
    gate_weighted: bool = False,
    sum_weighted: bool = False,
    hidden_units: Sequence[int] = (128, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds HMoE: different interactions, each on embeddings of its own.

    Embeddings of different sets never meet before an MLP, else the sets would be one
    wide embedding. A set with `GwPFM` has as many vectors for each value as there are
    groups of fields (`Field.group`).

    Parameters: for each set `sum of V d` over its tables (times the groups with GwPFM),
    for each expert its interaction and MLP; one weight an expert with `sum_weighted`,
    a gate `(D + 1) K` of each set with `gate_weighted`; the logit.

    Args:
        fields: The fields, all of one `dim` unless `CrossNet` is the only expert.
            Histories are pooled to features in each set.
        expert_group: For each set of embeddings its experts and their arguments, e.g.
            `({InteractionExpert.ProductLayer: {"outer": True}}, ...)`. Default:
            GwPFM, inner products and DCN-V2, each on a set of its own.
        task: The task.
        gate_weighted: Whether a softmax over all experts, from the embeddings of
            their sets, replaces the mean.
        sum_weighted: Whether a sum with trainable weights replaces the mean.
        hidden_units: Sizes of each expert's MLP.
        activation: Activation of the MLPs.
        dropout: Fraction dropped behind each layer of the MLPs, in [0, 1).
        l2_reg: Penalty on the kernels of the MLPs.
        use_bn: Whether the MLPs normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If there are no experts or no `hidden_units`, or `dim` differs.
    """
    if not hidden_units or not expert_group or not all(expert_group):
        raise ValueError(
            "hmoe needs hidden_units, and an expert for each set of embeddings. "
            f"Received: hidden_units={hidden_units}, expert_group={expert_group}"
        )
    columns = FieldEmbedder(fields)
    group_of = field_groups(fields)
    num_groups = max(group_of.values()) + 1
    outputs, scores = [], []
    for i, experts in enumerate(expert_group):
        grouped = InteractionExpert.GwPFM in experts
        embed = columns.another(f"set_{i}", num_groups if grouped else 1)
        features = embed(fields, history_agg, agg_kwargs)
        one_dim = any(expert.one_dim for expert in experts)
        embeddings = features.of_one_dim() if one_dim else features.tensors()
        raw = features.raw()
        groups = [group_of[name] for name in features.names()]
        for expert, arguments in experts.items():
            extra = {"num_groups": num_groups, "field_group_idx": groups}
            layer = expert.init_layer(
                **(extra if expert is InteractionExpert.GwPFM else {}),
                **{"name": f"dnn_{expert}_{i}", **arguments},
            )
            mlp = FeedForwardLayer(
                hidden_units,
                activation,
                l2_reg,
                dropout,
                use_bn,
                name=f"dnn_mlp_{expert}_{i}",
            )
            outputs.append(mlp(concat([layer(embeddings), *raw])))
        if gate_weighted:
            gate = keras.layers.Dense(len(experts), name=f"dnn_gate_{i}")
            scores.append(gate(concat(embeddings)))

    if gate_weighted:
        hidden = GatedSum(name="dnn_gate")([concat(scores), *outputs])
    elif sum_weighted:
        hidden = WeightedSum(name="dnn_sum")(outputs)
    else:
        hidden = keras.layers.Average()(outputs) if len(outputs) > 1 else outputs[0]
    logit = Tower((), num_logits=task.num_classes, name="dnn_tower")(hidden)

    return Model(inputs=columns.inputs, outputs=predict(task, logit), name="hmoe")
