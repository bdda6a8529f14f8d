"""FiBiNet++: Reducing Model Size by Low Rank Feature Interaction Layer.

Zhang and Zhang, CIKM 2023, https://arxiv.org/abs/2209.05016 (figure 1, eq. 3-16)

    embeddings ─> norm ─┬─> inner products through a matrix ─> low-rank layer ─┐
                        └─> SENet+ ────────────────────────────────────────────┴─> MLP
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.elementary import Stack, Unstack
from recsys.layers.heads import predict
from recsys.layers.interaction.bilinear import BiLinearLayer
from recsys.layers.interaction.senet import SENet
from recsys.layers.mlp import Tower
from recsys.layers.normalization import batch_norm, layer_norm
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "fibinet_plus"]


@factory("one_dim")
def fibinet_plus(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    reduction_ratio: int = 3,
    num_groups: int = 2,
    bilinear_output_size: int = 50,
    bilinear_type: str = "all",
    bilinear_1bit: bool = True,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds FiBiNet++: an MLP on compressed products of pairs and weighted embeddings.

    Embeddings of ids are batch-normalised, all fields together; those of numbers are
    layer-normalised, each by its own. There is no first order.

    Parameters: `sum of V d` over the tables, `2 d` of the norm of ids and `2 d` of each
    number, `d^2` of the matrix (one for `"all"`), `P m + m` of the low-rank layer for P
    pairs, `2 g F s + s F d + 2 d` of SENet+ with s inner units, and the MLP from
    `m + F d`.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to the MLP.
        task: The task.
        reduction_ratio: Squeezed numbers over inner units of SENet+.
        num_groups: Parts of an embedding that SENet+ squeezes apart, g.
        bilinear_output_size: Width of the low-rank layer, m.
        bilinear_type: Which pairs share a matrix, see `BilinearInteraction`.
        bilinear_1bit: Whether a pair gives one number, the paper's form, or `dim`.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            (400, 400, 400).
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If the fields differ in `dim`, or it is not divisible by the groups.
    """
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    e = _normalised(embed, features.names(), features.of_one_dim(), fields)
    products = BiLinearLayer(
        bilinear_output_size, bilinear_type, bilinear_1bit, name="dnn_bilinear"
    )(e)
    weighted = SENet(reduction_ratio, num_groups, name="dnn_senet")(e)
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(concat([products, weighted, *features.raw()]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="fibinet_plus")


def _normalised(
    embed: FieldEmbedder,
    names: Sequence[str],
    embeddings: Sequence[Tensor],
    fields: Sequence[Field],
) -> list[Tensor]:
    """Batch norm of the embeddings of ids, layer norm of those of numbers (eq. 3-5)."""
    of_ids = {field.name for field in embed.resolve(fields) if field.is_table}
    by_name = dict(zip(names, embeddings, strict=True))
    ids = [name for name in names if name in of_ids]
    if ids:
        norm = batch_norm(name="dnn_norm_ids")
        stacked = norm(Stack()([by_name[name] for name in ids]))
        by_name |= dict(zip(ids, Unstack()(stacked), strict=True))
    for name in names:
        if name not in of_ids:
            by_name[name] = layer_norm(name=layer_name(f"dnn_norm_{name}"))(
                by_name[name]
            )
    return [by_name[name] for name in names]
