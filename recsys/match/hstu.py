"""HSTU: Hierarchical Sequential Transduction Units, for retrieval.

Zhai et al., ICML 2024, https://arxiv.org/abs/2402.17152 (figure 3, eq. 1-3)

    history ─> sqrt(d) e_t + p_t ─> HSTU layers ─> x_t / |x_t| ──┐
               times ─────────────────^                      <x_t, e> / t
    item ────> e / |e| ──────────────────────────────────────────┘
"""

from collections.abc import Sequence

from recsys.feature import Field
from recsys.layers.causal import Newest, Positioned
from recsys.layers.hstu import HSTULayer
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.match._towers import Towers, sequence, unit
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel

__all__ = ["Field", "hstu"]


@factory("item", "item_history", may_be_zero=("num_layers",))
def hstu(
    fields: Sequence[Field],
    num_layers: int = 2,
    num_heads: int = 1,
    qk_dim: int = 32,
    v_dim: int = 32,
    dropout: float = 0.2,
    *,
    num_negatives: int | None = 128,
    sampler: str = "uniform",
    temperature: float = 0.05,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds HSTU: gated attention without softmax over a history.

    Every step of a history is trained, as in `sasrec`. A history field of the same
    group with `role="time"` gives a bias by the difference of two behaviours' ids.

    Args:
        fields: The item and the history that shares its table, and its times; others
            are not used.
        num_layers: HSTU layers, may be 0.
        num_heads, qk_dim, v_dim: Arguments of `HSTULayer`.
        dropout: Fraction dropped of embeddings and in the layers, in [0, 1).
        num_negatives, sampler, temperature: Arguments of `SampledSoftmax`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is not one history that shares the item's table.
    """
    towers = Towers(fields, "hstu")
    history, _, following = sequence(towers, "hstu", apart=["time"])
    timed = any(f.role == "time" and f.group == history.group for f in towers.users)
    x = Positioned(dropout, name="dnn_positioned")(
        history.sequence, valid=history.valid
    )
    for i in range(num_layers):
        layer = HSTULayer(
            num_heads,
            qk_dim,
            v_dim,
            history.num_times if timed else 0,
            dropout,
            name=f"dnn_hstu_{i}",
        )
        x = layer(x, valid=history.valid, times=history.times)
    user = Newest(name="newest")(x, valid=history.valid)
    item = towers.embed([towers.item]).concat()
    loss = SampledSoftmax(
        towers.item.vocabulary_size,
        num_negatives,
        sampler,
        temperature,
        towers.item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model(
        "hstu",
        unit(user, "unit_user"),
        unit(item, "unit_item"),
        loss,
        unit(x, "unit_states"),
        following,
    )
