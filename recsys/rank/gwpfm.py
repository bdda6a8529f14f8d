"""GwPFM: Ads Recommendation in a Collapsed and Entangled World.

Pan et al., KDD 2024, https://arxiv.org/abs/2403.00793

    fields ──┬─> one weight per value ─────────────> first order ──┐
             └─> a vector per value and group ─> GwPFM ─> sum ────(+)──> sigmoid

With hidden units the vector that GwPFM returns goes through an MLP instead.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, check_embedded, concat
from recsys.layers.elementary import SumUnits
from recsys.layers.heads import predict
from recsys.layers.interaction.gwpfm import GwPFM
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "gwpfm"]


def field_groups(fields: Sequence[Field]) -> dict[str, int]:
    """Returns the group of each field that has an embedding, numbered from 0.

    A group is a `Field.group`; a history, whose `group` names the sequence it is a part
    of, belongs to the group of the field whose table it shares, or else to one of its
    own. Where no field names a group, `Field.belong` divides them.

    Raises:
        ValueError: If no field has an embedding.
    """
    check_embedded(fields)
    embedded = [field for field in fields if field.vocabulary_size]
    plain = [field for field in embedded if field.belong != "history"]
    named = len({field.group for field in plain}) > 1
    label = {field.name: field.group if named else field.belong for field in plain}
    of_table = {field.emb: label[field.name] for field in reversed(plain)}
    for field in embedded:
        label.setdefault(field.name, of_table.get(field.emb, f"history {field.group}"))
    order = list(dict.fromkeys(label[field.name] for field in embedded))
    return {field.name: order.index(label[field.name]) for field in embedded}


@factory("one_dim")
def gwpfm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] | None = None,
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds GwPFM: pairs of fields weighted by group, vectors that depend on it.

    Parameters: tables of `V G d` for G groups, a weight of each value, one bias, and
    `G (G + 1) / 2` weights of pairs of groups.

    Args:
        fields: The fields, all of one `dim`, which is the width of one vector: a table
            is G times as wide. `Field.group` divides them, see `field_groups`.
        task: The task; without `hidden_units` any but a multiclass one.
        hidden_units: Sizes of an MLP on the interaction, in place of sum and first
            order.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`.
    """
    group_of = field_groups(fields)
    num_groups = max(group_of.values()) + 1
    embed = FieldEmbedder(fields, times=num_groups)
    features = embed(fields, history_agg, agg_kwargs)
    groups = [group_of[name] for name in features.names()]
    u = GwPFM(num_groups, groups, name="dnn_gwpfm")(features.of_one_dim())
    if hidden_units:
        logits: Tensor | list[Tensor] = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=task.num_classes,
            name="dnn_mlp",
        )(concat([u, *features.raw()]))
    else:
        logits = [embed.linear(fields), SumUnits(name="dnn_second_order")(u)]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="gwpfm")
