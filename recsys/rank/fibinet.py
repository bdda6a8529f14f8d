"""FiBiNET: Combining Feature Importance and Bilinear Feature Interaction.

Huang et al., RecSys 2019, https://arxiv.org/abs/1905.09433 (figure 1, eq. 1-9)

    fields ──┬─> one weight per value ────────────────> first order ──┐
             └─> embeddings ─┬─> bilinear pairs ────────┐            (+)──> sigmoid
                             └─> SENET ─> bilinear pairs ┴─> MLP ─────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.elementary import SumUnits
from recsys.layers.heads import predict
from recsys.layers.interaction.bilinear import BilinearInteraction
from recsys.layers.interaction.senet import FieldSENet
from recsys.layers.mlp import Tower
from recsys.rank.fibinet_plus import fibinet_plus
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "fibinet"]


@factory("one_dim")
def fibinet(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    reduction_ratio: int = 3,
    num_groups: int | None = None,
    bilinear_output_size: int | None = None,
    bilinear_type: str = "all",
    bilinear_1bit: bool | None = None,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds FiBiNET: pairs of embeddings, plain and weighted by importance, in an MLP.

    Version 1 gave this name to FiBiNet++. A call with one of the arguments that only
    that model has, `num_groups`, `bilinear_output_size` or `bilinear_1bit`, still
    builds it; see `fibinet_plus`.

    Parameters: `sum of V (d + 1)` over the tables, one bias, `2 F max(1, F // ratio)`
    of SENET, twice the matrices (`d^2`, `(F - 1) d^2` or `F (F - 1) / 2 d^2`), the MLP.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to the MLP and first order.
        task: The task; without `hidden_units` any but a multiclass one.
        reduction_ratio: Fields over inner units of SENET.
        num_groups: See `fibinet_plus`.
        bilinear_output_size: See `fibinet_plus`.
        bilinear_type: Whether one matrix serves `"all"` pairs, `"each"` left field has
            one, or each pair (`"interaction"`).
        bilinear_1bit: See `fibinet_plus`.
        hidden_units: Sizes of the MLP; none is the shallow model, a sum. The default is
            this library's; the paper has (400, 400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If there are no two embeddings, or the fields differ in `dim`.
    """
    plus: dict[str, Any] = {
        "num_groups": num_groups,
        "bilinear_output_size": bilinear_output_size,
        "bilinear_1bit": bilinear_1bit,
    }
    given = {key: value for key, value in plus.items() if value is not None}
    if given:
        return fibinet_plus(
            fields,
            task,
            reduction_ratio=reduction_ratio,
            bilinear_type=bilinear_type,
            hidden_units=hidden_units,
            activation=activation,
            dropout=dropout,
            l2_reg=l2_reg,
            use_bn=use_bn,
            history_agg=history_agg,
            agg_kwargs=agg_kwargs,
            **given,
        )
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    e = features.of_one_dim()
    v = FieldSENet(reduction_ratio, name="dnn_senet")(e)
    p = BilinearInteraction(bilinear_type, name="dnn_bilinear")(e)
    q = BilinearInteraction(bilinear_type, name="dnn_bilinear_senet")(v)
    logits = [embed.linear(fields, task.num_classes)]
    if hidden_units:
        tower = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=task.num_classes,
            use_bias=False,
            name="dnn_mlp",
        )
        logits.append(tower(concat([p, q, *features.raw()])))
    else:
        logits.append(SumUnits(name="dnn_sum")(concat([p, q])))

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="fibinet")
