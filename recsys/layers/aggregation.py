"""From a history to one vector.

Every layer takes `[query, history]`, the query `(batch, dim)` and the history
`(batch, length, width)`, and `valid`, `(batch, length)`, true where the history has a
behaviour; the pooling layers also take the history alone. What stands at other
positions has no influence, and an empty history gives the zero vector.
"""

from collections.abc import Mapping
from typing import Any

import keras

from recsys.feature._names import layer_name
from recsys.layers.activation_unit import AttentionLayer
from recsys.layers.history_transformer import TIM, TransformerLayer
from recsys.layers.pooling import MaxPoolingLayer, MeanPoolingLayer, SumPoolingLayer
from recsys.types import Tensor

AGGREGATIONS: Mapping[str, type[keras.layers.Layer]] = {
    "mean_pooling": MeanPoolingLayer,
    "sum_pooling": SumPoolingLayer,
    "max_pooling": MaxPoolingLayer,
    "attention": AttentionLayer,
    "transformer": TransformerLayer,
    "tim": TIM,
}


def get_agg_layer(pooling: str, **kwargs: Any) -> keras.layers.Layer:
    """Returns a new layer that pools a history.

    Args:
        pooling: One of `AGGREGATIONS`.
        **kwargs: Arguments of the layer.

    Raises:
        ValueError: If there is no such aggregation.
    """
    if pooling not in AGGREGATIONS:
        raise ValueError(
            f"history_agg must be one of {', '.join(AGGREGATIONS)}. "
            f"Received: history_agg={pooling!r}"
        )
    return AGGREGATIONS[pooling](**kwargs)


def history_embedding_aggregation(
    history_embeddings: Mapping[str, Any] | Any,
    target_embeddings: Tensor,
    aggregation: str,
    prefix: str = "dnn_his",
    **kwargs: Any,
) -> Tensor:
    """Pools a history, or each of several and concatenates them.

    Args:
        history_embeddings: `(batch, length, width)`, or a dict of them by group.
        target_embeddings: `(batch, dim)`, the query of all.
        aggregation: See `get_agg_layer`.
        prefix: Start of the layers' names.
        **kwargs: Arguments of the layers.

    Returns:
        `(batch, sum of widths)`.
    """
    prefix = prefix.replace("/", "_")
    groups = (
        history_embeddings
        if isinstance(history_embeddings, Mapping)
        else {"": history_embeddings}
    )
    pooled: list[Tensor] = [
        get_agg_layer(
            aggregation,
            name=layer_name(
                "_".join(
                    part
                    for part in (prefix, aggregation, len(groups) > 1 and group)
                    if part
                )
            ),
            **kwargs,
        )([target_embeddings, history])
        for group, history in groups.items()
    ]
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(name=f"{prefix}_concat")(pooled)
