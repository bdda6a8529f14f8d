"""DeepFEFM: Field-Embedded Factorization Machines for Click-through Rate Prediction.

Pande, 2020, https://arxiv.org/abs/2009.09931 (figure 2, eq. 8-11)

    fields ──┬─> one weight per value ────────────────> first order ──┐
             └─> embeddings ─┬─> a matrix per pair ─┬─> FEFM ────────(+)──> sigmoid
                             └─> concat <───────────┴─> MLP ──────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.elementary import SumUnits
from recsys.layers.heads import predict
from recsys.layers.interaction.product import SymmetricProduct
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "deepfefm"]


@factory("one_dim")
def deepfefm(
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
    """Builds DeepFEFM: FEFM whose pairs also enter an MLP beside the embeddings.

    Parameters: `sum of V (d + 1)` over the tables, one bias, `d^2` for each of P pairs,
    and the MLP from `F d + P`.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to first order and MLP.
        task: Any but a multiclass one.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            others.
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
    pairs = SymmetricProduct(name="dnn_fefm")(features.of_one_dim())
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        use_bias=False,
        name="dnn_mlp",
    )
    deep = tower(concat([features.concat(), pairs]))
    logits = [embed.linear(fields), SumUnits(name="dnn_second_order")(pairs), deep]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="deepfefm")
