"""DAT: A Dual Augmented Two-tower Model for Online Large-scale Recommendation.

Yu et al., DLP-KDD 2021,
https://dlp-kdd.github.io/assets/pdf/DLP-KDD_2021_paper_4.pdf (figure 2, eq. 1-7)

    user, context, history ──> embeddings ─┐
    user ────────────────────> a_u ────────┴─> MLP ─> p_u / |p_u| ──┐
    (a_u learns p_v of the items the user chose, a_v p_u)           <., .>
    item ────────────────────> a_v ────────┬─> MLP ─> p_v / |p_v| ──┘
    item, its attributes ────> embeddings ─┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from recsys.feature import Field
from recsys.inputs import concat
from recsys.layers.matching.sampled import SampledCrossentropy
from recsys.layers.mlp import Tower
from recsys.match._towers import Towers, unit, user_id
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Activation, Tensor, Weights

__all__ = ["Field", "dat"]


class DualAugmentedLoss(SampledCrossentropy):
    r"""Cross-entropy of pairs, and what augmented vectors and categories add to it.

        L = L_p + \lambda_1 L_u + \lambda_2 L_v + \lambda_3 L_CA            (eq. 7)
        L_p = 1/n \sum [softplus(-s) where y = 1, softplus(s) elsewhere]    (eq. 6)
        L_u = 1/n \sum_{y = 1} |a_u - sg(p_v)|^2, and L_v of a_v and p_u    (eq. 3)
        L_CA = \sum_{i != major} |C(S^major) - C(S^i)|_F^2                  (eq. 5)

    n counts the rows of the batch, positive and negative, S negatives for each positive
    one, alike in all three means: lambda_1 and lambda_2 are factors on what the paper's
    are. L_CA is a sum and has no n. sg lets no gradient pass, so that L_u and L_v
    train the augmented vectors alone. C(S^i) is the covariance of the p_v of the
    batch's positive items of category i, of two or more.

    Args:
        vocabulary_size, num_negatives, ...: Of `NegativesOfRows`.
        mimic_weights: lambda_1 and lambda_2.
        alignment_weight: lambda_3.
        num_categories: Number of category ids; 0 leaves L_CA out.
        major_category: Id of the most frequent category.
    Call arguments:
        inputs: `[p_u, p_v, item ids, a_u, a_v]`, and with `num_categories` the ids of
            the items' categories, `(batch,)`, behind these.
    Returns:
        As `MatchLoss`.
    """

    def __init__(
        self,
        *args: Any,
        mimic_weights: Sequence[float] = (0.5, 0.5),
        alignment_weight: float = 1.0,
        num_categories: int = 0,
        major_category: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.mimic_weights = tuple(mimic_weights)
        self.alignment_weight = alignment_weight
        self.num_categories = num_categories
        self.major_category = major_category

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        user, item, ids, own_user, own_item, *category, _ = self.kept.take()[-1]
        self.kept.put((user, item, ids, None))
        total = super().loss(labels, weights, x, training)
        mimic: Any = 0.0
        pairs = (own_user, item), (own_item, user)
        for factor, (own, other) in zip(self.mimic_weights, pairs, strict=True):
            difference = ops.cast(own, "float32") - ops.stop_gradient(other)
            mimic += factor * ops.sum(ops.square(difference), axis=-1)
        ids = ops.reshape(ops.cast(ids, "int32"), (-1, 1))
        total += self.mean_of_items(mimic, ids, x)
        # So far the means are over positives: those over all rows have 1 + S times n.
        negatives = self.num_negatives
        total /= self.num_items if negatives is None else 1 + negatives
        if category:
            total += self.alignment_weight * self.alignment(item, ids, *category)
        return total

    def alignment(self, item: Tensor, ids: Tensor, category: Tensor) -> Tensor:
        """Returns L_CA, a scalar; 0 unless the major category is in the batch.

        Args:
            item: p_v, `(batch, dim)`.
            ids: Ids of the items; those below `reserved` do not count, `(batch, 1)`.
            category: Category of the items, `(batch,)`.
        """

        def by_category(values: Tensor) -> Tensor:
            return ops.segment_sum(values, category, num_segments=self.num_categories)

        category = ops.cast(category, "int32")
        counts = ops.cast(ids >= self.reserved, "float32")
        number = by_category(counts)
        mean = by_category(counts * item) / ops.maximum(number, 1)
        centred = counts * (item - ops.take(mean, category, axis=0))
        outer = ops.expand_dims(centred, 1) * ops.expand_dims(centred, 2)
        outer = ops.reshape(outer, (-1, item.shape[-1] ** 2))
        covariance = by_category(outer) / ops.maximum(number - 1, 1)
        difference = covariance - covariance[self.major_category]
        there = number[:, 0] >= 2
        there = there & there[self.major_category]
        return ops.sum(ops.where(there, ops.sum(ops.square(difference), axis=1), 0))


@factory("item", "user", "catalogue", not_empty=("hidden_units",))
def dat(
    fields: Sequence[Field],
    hidden_units: Sequence[int] = (256, 128, 32),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    mimic_weights: Sequence[float] = (0.5, 0.5),
    category: str | None = None,
    alignment_weight: float = 1.0,
    num_negatives: int | None = 4,
    temperature: float = 0.1,
    known: str | None = None,
    catalogue: Mapping[str, Any] | None = None,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds DAT: two towers, each of which is told what the other makes of its id.

    The user and the item own an augmented vector each, as wide as the vectors and a
    part of the towers' inputs. The last layer of a tower is linear. What the paper
    leaves open: scores are divided by a temperature, as a cosine alone keeps the
    cross-entropy from falling; 1 is the paper.

    Args:
        fields: The item, its attributes, and what is known of the user, who has one id.
        hidden_units: Sizes of each tower; the last is the width of the vectors.
        activation: Activation of all layers but the last.
        dropout: Fraction dropped behind them, in [0, 1).
        l2_reg: Penalty on their kernels.
        use_bn: Whether they normalise.
        history_agg: How histories are pooled, see `get_agg_layer`; the query of an
            attention are the user fields, never the item.
        agg_kwargs: Arguments of that layer.
        mimic_weights: Of the losses of the users' and the items' augmented vectors.
        category: Name of the item field whose values are to have vectors that vary
            alike. The major one is that with the largest of `Field.counts`, or else the
            first id that is not reserved.
        alignment_weight: Weight of that loss.
        num_negatives: Items drawn; without `known` for each batch.
        temperature: Divides the scores in training.
        known: Column of `x` with items that are no negatives of their row.
        catalogue: The item's other fields for each item id, see `Towers`.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item or no user of one id, no such category, or the
            catalogue does not fit.
    """
    towers = Towers(fields, "dat", catalogue, item_side=True)
    embed, item = towers.embed, towers.item
    user = user_id(towers, "dat")
    *hidden, width = hidden_units
    mlp = (hidden, activation, l2_reg, dropout, use_bn, width)
    own_user = embed.lookup(user, "embedding_augmented__", width)
    own_item = embed.lookup(item, "embedding_augmented__", width)
    of_user = embed(towers.users, history_agg, agg_kwargs).concat()
    of_item = embed(towers.items).concat()
    user_vector = Tower(*mlp, name="dnn_user")(concat([of_user, own_user]))
    item_vector = Tower(*mlp, name="dnn_item")(concat([of_item, own_item]))

    size, major, more = 0, 1, [own_user, own_item]
    if category is not None:
        of_category = _category(embed.resolve(towers.items[1:]), category)
        size, major = of_category.vocabulary_size, of_category.reserved
        if of_category.counts is not None:
            major += int(np.argmax(of_category.counts[major:]))
        more.append(embed.column(category))
    loss = DualAugmentedLoss(
        item.vocabulary_size,
        num_negatives,
        temperature,
        item.reserved,
        known,
        mimic_weights=mimic_weights,
        alignment_weight=alignment_weight,
        num_categories=size,
        major_category=major,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model(
        "dat",
        unit(user_vector, "unit_user"),
        unit(item_vector, "unit_item"),
        loss,
        *more,
    )


def _category(fields: Sequence[Field], name: str) -> Field:
    found = [f for f in fields if f.name == name and f.is_table and f.length == 1]
    if not found:
        raise ValueError(
            "dat: category must be an item field of one id, and not the item. "
            f"Received: category={name!r}, item fields {[f.name for f in fields]}"
        )
    return found[0]
