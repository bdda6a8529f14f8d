"""DeepFM: A Factorization-Machine based Neural Network for CTR Prediction.

Guo et al., IJCAI 2017, https://arxiv.org/abs/1703.04247 (figure 1, eq. 1-4)

    fm_fields ──┬─> one weight per value ──> first order ──┐
                └─> embeddings ────────────> FM ───────────(+)──> sigmoid
    dnn_fields ───> embeddings ─> concat ──> MLP ──────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.fm import FM
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "deepfm"]


@factory("one_dim")
def deepfm(
    dnn_fields: Sequence[Field],
    fm_fields: Sequence[Field] | None = None,
    task: Task = Task("ctr"),
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds DeepFM: a factorization machine and an MLP on shared embeddings.

    Parameters: `sum of V (d + 1)` over the tables, one bias, and the MLP.

    Args:
        dnn_fields: Fields of the deep part.
        fm_fields: Fields of the first and second order, all of one `dim`; histories
            among them are averaged. Default: `dnn_fields`, the paper's form.
        task: Any but a multiclass one.
        hidden_units: Sizes of the MLP; none leaves the deep part out, which is FM. The
            default is this library's; the paper has (400, 400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How the deep part pools histories, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If `fm_fields` differ in `dim`.
    """
    fm_fields = dnn_fields if fm_fields is None else fm_fields
    embed = FieldEmbedder(dnn_fields, fm_fields)

    first_order = embed.linear(fm_fields)
    second_order = FM(name="dnn_fm")(embed(fm_fields).stack())
    logits = [first_order, second_order]
    if hidden_units:
        deep = embed(dnn_fields, history_agg, agg_kwargs).concat()
        tower = Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            use_bias=False,
            name="dnn_mlp",
        )
        logits.append(tower(deep))

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="deepfm")
