"""DCN, DCN-V2: Deep & Cross Network for Ad Click Predictions.

Wang et al., ADKDD 2017, https://arxiv.org/abs/1708.05123 (figure 1, eq. 3)

DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to
Rank Systems.

Wang et al., WWW 2021, https://arxiv.org/abs/2008.13535 (figure 1, eq. 1 and 2)

    fields ─> embeddings ─> concat ──┬─> cross network ──┐
                                     └─> MLP ────────────┴─> logit ─> sigmoid

    stacked: concat ─> cross network ─> MLP ─> logit ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.cross import CrossNet, Structure, cross_and_deep
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "dcn"]


@factory(may_be_zero=("num_layers",))
def dcn(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    num_layers: int = 2,
    cross_type: str = "matrix",
    low_rank_dim: int | None = None,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    structure: Structure = "parallel",
) -> Model:
    """Builds DCN: products of bounded degree by a cross network, beside an MLP.

    Parameters of a cross layer, with D the width of all embeddings side by side:
    `2 D` (vector), `D^2 + D` (matrix), `2 D r + D` (matrix of rank r).

    Args:
        fields: All fields, of any widths; raw ones are crossed too.
        task: The task.
        num_layers: Number of cross layers, may be 0.
        cross_type: `"vector"` is DCN, `"matrix"` DCN-V2.
        low_rank_dim: Rank of the matrices; `None` for full ones.
        hidden_units: Sizes of the MLP; none leaves it out. The default is this
            library's; the paper has (1024, 1024), on Criteo.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of both parts.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        structure: `"parallel"`, or `"stacked"`: the MLP reads the cross network.

    Raises:
        ValueError: If `cross_type` or `structure` is unknown, or vectors are given a
            rank.
    """
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    cross = CrossNet(num_layers, cross_type, low_rank_dim, l2_reg, name="dnn_cross")
    logit = cross_and_deep(
        x,
        cross,
        structure,
        task.num_classes,
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
    )
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="dcn")
