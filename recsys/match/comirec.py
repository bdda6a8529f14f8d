"""ComiRec-SA, ComiRec-DR: Controllable Multi-Interest Framework for Recommendation.

Cen et al., KDD 2020, https://arxiv.org/abs/2005.09347 (figure 2, eq. 1-9)

    history ─> e_1 ... e_N ─> self-attention ─────> v_1 ... v_K ──┐
                              or dynamic routing                  max_k <v_k, e>
    item ────> e ─────────────────────────────────────────────────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field
from recsys.layers.interests import (
    CapsuleInterests,
    LabelAwareSoftmax,
    SelfAttentiveInterests,
)
from recsys.match._towers import Towers, behaviours_and_item
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel

__all__ = ["Field", "comirec"]


@factory("item", "item_history", "one_dim", "catalogue")
def comirec(
    fields: Sequence[Field],
    interests: str = "sa",
    num_interests: int = 4,
    *,
    rounds: int = 3,
    share_positions: bool = False,
    hidden: int | None = None,
    use_positions: bool = True,
    num_negatives: int | None = 1000,
    sampler: str = "uniform",
    temperature: float = 1.0,
    catalogue: Mapping[str, Any] | None = None,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds ComiRec-SA or ComiRec-DR: a few vectors of a user's behaviours.

    A behaviour and an item are the mean of the embeddings of their attributes, which
    must have one `dim`. Training goes through the interest nearest to the positive
    item. Places count back from the most recent behaviour. `recommend(...,
    categories=, diversity=)` is the paper's controllable aggregation.

    Args:
        fields: The item, its attributes, and one history of them; user fields are not
            used.
        interests: `"sa"`, see `SelfAttentiveInterests`, or `"dr"`, see
            `CapsuleInterests`.
        num_interests: K.
        rounds, share_positions: Arguments of `CapsuleInterests`.
        hidden, use_positions: Arguments of `SelfAttentiveInterests`.
        num_negatives, sampler, temperature: Arguments of `SampledSoftmax`.
        catalogue: The item's other fields for each item id, see `Towers`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item or not one history of it, dims differ, the
            kind of interests is unknown, or the catalogue does not fit.
    """
    if interests not in ("sa", "dr"):
        raise ValueError(
            f"comirec: interests must be 'sa' or 'dr'. Received: {interests!r}"
        )
    towers = Towers(fields, "comirec", catalogue, item_side=True)
    history, behaviours, item = behaviours_and_item(
        towers, "comirec", newest_first=True
    )
    extract: Any = (
        SelfAttentiveInterests(num_interests, hidden, use_positions, name="dnn_sa")
        if interests == "sa"
        else CapsuleInterests(num_interests, rounds, share_positions, name="dnn_dr")
    )
    user = extract(behaviours, valid=history.valid)
    loss = LabelAwareSoftmax(
        towers.item.vocabulary_size,
        num_negatives,
        sampler,
        temperature,
        towers.item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model("comirec", user, item, loss)
