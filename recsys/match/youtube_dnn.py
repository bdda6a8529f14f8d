"""YouTubeDNN: Deep Neural Networks for YouTube Recommendations.

Covington, Adams and Sargin, RecSys 2016,
https://doi.org/10.1145/2959100.2959190 (section 3, figure 3: candidate generation)

    watched items ──> embeddings ─> mean ─┐
    user, context ──> embeddings ─────────┴─> MLP, ReLU ──> u ──┐
                                                                <u, v> ─> softmax
    item ───────────> rows of the softmax layer ────────> v ────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from recsys.feature import Field
from recsys.layers.elementary import AppendOne
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.layers.mlp import FeedForwardLayer
from recsys.match._towers import Towers, unit
from recsys.train.factory import factory
from recsys.train.match_model import MatchModel
from recsys.types import Activation

__all__ = ["Field", "youtube_dnn"]


@factory("item")
def youtube_dnn(
    fields: Sequence[Field],
    hidden_units: Sequence[int] = (256, 128, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "mean_pooling",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    num_negatives: int = 1000,
    sampler: str = "uniform",
    temperature: float = 1.0,
    normalize: bool = False,
    use_bias: bool = False,
    tie_item_embedding: bool = False,
    sample_weight: str | None = None,
) -> MatchModel:
    """Builds YouTubeDNN: which item comes next, as a softmax over all items.

    The user vector is the output of the last ReLU layer; the item vectors are the
    rows of the softmax layer, a table of its own beside that of the watched items.
    Both are as wide as the last hidden layer.

    The example age of section 3.3 is not made here. Give it as a field of numbers with
    `belong="context"`: the age of the row at the end of the training data, and 0 in
    the columns of `recommend` and `evaluate`. Without it, scores follow the popularity
    of an item over all training data, not that of its last days.

    Args:
        fields: The item and what is known of the user. The item is the field of ids
            with `belong="item"` that shares its table with a history, or else the
            first; other item fields are not used. The user tower takes the user,
            context and history fields.
        hidden_units: Sizes of the MLP; the last is the width of the vectors.
        activation: Activation of all its layers.
        dropout: Fraction dropped behind each layer, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`; the query of an
            attention are the user fields, never the item.
        agg_kwargs: Arguments of that layer.
        num_negatives: Items drawn for each batch.
        sampler: How they are drawn, see `SampledSoftmax`.
        temperature: Divides the scores in training.
        normalize: Whether both vectors have length 1 (not in the paper).
        use_bias: Whether the softmax has a bias; the vectors get one more element.
        tie_item_embedding: Whether the item vectors are the item's own table, which
            histories share (not in the paper); the last hidden layer must be as wide.
        sample_weight: Column of `x` that weighs the rows.

    Raises:
        ValueError: If there is no item of ids or nothing of the user, or a tied table
            is not as wide as the last hidden layer.
    """
    towers = Towers(fields, "youtube_dnn")
    embed, item = towers.embed, towers.item
    user = FeedForwardLayer(
        hidden_units, activation, l2_reg, dropout, use_bn, name="dnn_mlp"
    )(embed(towers.users, history_agg, agg_kwargs).concat())
    width = user.shape[-1]
    if tie_item_embedding:
        vector = embed([item]).concat()
    else:
        vector = embed.lookup(item, "embedding_softmax__", width)
    if vector.shape[-1] != width:
        raise ValueError(
            f"Field {item.name!r}: a tied table must be as wide as the last hidden "
            f"layer, {width}. Received: dim={vector.shape[-1]}"
        )
    if normalize:
        user, vector = unit(user, "unit_user"), unit(vector, "unit_item")
    if use_bias:
        bias = embed.lookup(item, "embedding_bias__", 1, "zeros")
        vector = keras.layers.Concatenate(name="item_and_bias")([vector, bias])
        user = AppendOne(name="user_and_one")(user)
    loss = SampledSoftmax(
        item.vocabulary_size,
        num_negatives,
        sampler,
        temperature,
        item.reserved,
        sample_weight=sample_weight,
        name="score",
    )
    return towers.model("youtube_dnn", user, vector, loss)
