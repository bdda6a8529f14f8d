"""MIND: Multi-Interest Network with Dynamic Routing.

Li et al., CIKM 2019, https://arxiv.org/abs/1904.08030 (figure 2, eq. 2-9)

    history ───────> e_1 ... e_N ─> routing ─> c_1 ... c_K ─┐
    user, context ─> embeddings ────────────────────────────┴─> MLP ─> u_1 ... u_K ──┐
                                               label-aware attention <─ in training ─┤
    item ──────────> e ──────────────────────────────────────> max_k <u_k, e> <──────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field
from recsys.layers.elementary import Identity
from recsys.layers.interests import BesideEach, InterestRouting, LabelAwareSoftmax
from recsys.layers.mlp import Tower
from recsys.match._towers import Towers, behaviours_and_item
from recsys.train.factory import factory
from recsys.train.match_model import INTERESTS, MatchModel
from recsys.types import Activation

__all__ = ["Field", "mind"]


@factory("item", "item_history", "one_dim", "catalogue")
def mind(
    fields: Sequence[Field],
    num_interests: int = 4,
    hidden_units: Sequence[int] = (128,),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    rounds: int = 3,
    routing_init: str = "item",
    power: float | None = 1.0,
    attention: str = "power",
    num_negatives: int | None = 1000,
    sampler: str = "uniform",
    temperature: float = 1.0,
    catalogue: Mapping[str, Any] | None = None,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds MIND: interests of a user by routing the behaviours to capsules.

    A behaviour and an item are the mean of the embeddings of their attributes, which
    must have one `dim`. A user of n behaviours has about log2(n) interests; the score
    is the largest over them. Negatives are drawn for a sampled softmax.

    Args:
        fields: The item, its attributes, one history of them, and the user.
        num_interests: Most interests, K.
        hidden_units: Sizes of the layers of each interest; a linear one as wide as an
            item is behind them.
        activation: Activation of these layers.
        dropout: Fraction dropped behind them, in [0, 1).
        l2_reg: Penalty on their kernels.
        use_bn: Whether they normalise.
        rounds, routing_init: Arguments of `InterestRouting`.
        power, attention: Arguments of `LabelAwareSoftmax`.
        num_negatives, sampler, temperature: Arguments of `SampledSoftmax`.
        catalogue: The item's other fields for each item id, see `Towers`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item or not one history of it, dims differ, or the
            catalogue does not fit.
    """
    towers = Towers(fields, "mind", catalogue, item_side=True)
    history, behaviours, item = behaviours_and_item(towers, "mind")
    width = item.shape[-1]
    routing = InterestRouting(
        num_interests,
        min(towers.item.vocabulary_size, 2**16),
        rounds,
        routing_init,
        name="dnn_routing",
    )
    ids = towers.embed.column(history.item.name)
    interests, exists = routing([behaviours, ids], valid=history.valid)
    others = [field for field in towers.users if field.belong != "history"]
    if others:
        interests = BesideEach()([interests, towers.embed(others).concat()])
    user = Tower(
        hidden_units, activation, l2_reg, dropout, use_bn, width, name="dnn_mlp"
    )(interests)
    exists = Identity(name=INTERESTS, dtype="bool")(exists)
    loss = LabelAwareSoftmax(
        towers.item.vocabulary_size,
        num_negatives,
        sampler,
        temperature,
        towers.item.reserved,
        power=power,
        attention=attention,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model("mind", user, item, loss, valid=exists)
