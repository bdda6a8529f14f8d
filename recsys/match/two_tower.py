"""DSSM, two towers: Deep Structured Semantic Models, with in-batch softmax.

Huang et al., CIKM 2013, https://doi.org/10.1145/2505515.2505665 (figure 1);
Yi et al., RecSys 2019, https://doi.org/10.1145/3298689.3346996 (eq. 1-5);
Yang et al., WWW 2020, https://doi.org/10.1145/3366424.3386195 (mixed negatives)

    user, context, history ──> embeddings ─> MLP ─> u / |u| ──┐
                                                              <u, v> / t ─> softmax over
    item, its attributes ────> embeddings ─> MLP ─> v / |v| ──┘        the batch's items
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field
from recsys.layers.matching.in_batch_softmax import InBatchSoftmax
from recsys.layers.matching.match_loss import MatchLoss
from recsys.layers.matching.sampled import SampledCrossentropy
from recsys.layers.mlp import Tower
from recsys.match._towers import Towers, unit
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Activation

__all__ = ["Field", "two_tower"]


@factory(
    "item", "catalogue", may_be_zero=("num_negatives",), not_empty=("hidden_units",)
)
def two_tower(
    fields: Sequence[Field],
    hidden_units: Sequence[int] = (256, 128, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    loss: str = "in_batch",
    num_negatives: int = 0,
    temperature: float = 0.05,
    normalize: bool = True,
    subtract_log_q: bool = True,
    known: str | None = None,
    catalogue: Mapping[str, Any] | None = None,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds a two-tower model: an MLP for the user, one for the item.

    The last layer of a tower is linear.

    Args:
        fields: The item, its attributes, and what is known of the user. The item is
            the field of ids with `belong="item"` that shares its table with a history,
            or else the first.
        hidden_units: Sizes of each tower; the last is the width of the vectors.
        activation: Activation of all layers but the last.
        dropout: Fraction dropped behind them, in [0, 1).
        l2_reg: Penalty on their kernels.
        use_bn: Whether they normalise.
        history_agg: How histories are pooled, see `get_agg_layer`; the query of an
            attention are the user fields, never the item.
        agg_kwargs: Arguments of that layer.
        loss: `"in_batch"`, see `InBatchSoftmax`, or `"logistic"`, see
            `SampledCrossentropy`.
        num_negatives: Items drawn from the whole catalogue: for each batch, beside
            those in it; of the logistic loss for each row, at least 1.
        temperature: Divides the scores in training.
        normalize: Whether both vectors have length 1.
        subtract_log_q: Whether the softmax corrects for the items' frequency, which
            `Field.counts` of the item tells, as a `FeaturePipeline` makes them;
            without, it is estimated from the batches, roughly for rare items.
        known: Column of `x` with items that are no negatives of their row.
        catalogue: The item's other fields for each item id, see `Towers`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item of ids or nothing of the user, the loss is
            unknown, or the catalogue does not fit.
    """
    towers = Towers(fields, "two_tower", catalogue, item_side=True)
    *hidden, width = hidden_units
    mlp = (hidden, activation, l2_reg, dropout, use_bn, width)
    user = Tower(*mlp, name="dnn_user")(
        towers.embed(towers.users, history_agg, agg_kwargs).concat()
    )
    item = Tower(*mlp, name="dnn_item")(towers.embed(towers.items).concat())
    if normalize:
        user, item = unit(user, "unit_user"), unit(item, "unit_item")
    common: dict[str, Any] = {
        "temperature": temperature,
        "reserved": towers.item.reserved,
        "sample_weight": sample_weight,
        "name": "score",
    }
    size = towers.item.vocabulary_size
    of_pairs: MatchLoss
    if loss == "in_batch":
        of_pairs = InBatchSoftmax(
            size,
            num_negatives,
            subtract_log_q=subtract_log_q,
            known=known,
            counted=towers.counts is not None,
            **common,
        )
    elif loss == "logistic":
        of_pairs = SampledCrossentropy(size, num_negatives or 1, unseen=known, **common)
    else:
        raise ValueError(
            f"two_tower: loss must be 'in_batch' or 'logistic'. Received: loss={loss!r}"
        )
    return towers.model("two_tower", user, item, of_pairs)
