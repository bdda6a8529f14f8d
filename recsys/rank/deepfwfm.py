"""DeepFwFM: Deep Lightweight Feature Interactions (DeepLight).

Deng et al., WSDM 2021, https://arxiv.org/abs/2002.06987 (figure 1, eq. 2)

    fields ──┬─> one weight per value ──────────> first order ──┐
             └─> embeddings ─┬─> weighted pairs ─> FwFM ────────(+)──> sigmoid
                             └─> concat ─> MLP ────────────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.field_weighted import FwFM
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "deepfwfm"]


@factory("one_dim")
def deepfwfm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DeepFwFM: a field-weighted factorization machine beside an MLP.

    Parameters: `sum of V (d + 1)` over the tables, one for each pair of fields, one
    bias, and the MLP.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to first order and MLP.
        task: Any but a multiclass one.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            (400, 400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim` or form no pair.
    """
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    second_order = FwFM(name="dnn_fwfm")(features.of_one_dim())
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        use_bias=False,
        name="dnn_mlp",
    )
    logits = [embed.linear(fields), second_order, tower(features.concat())]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="deepfwfm")
