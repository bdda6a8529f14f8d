"""Import path of version 1; see `recsys.layers.aggregation`."""

from recsys.layers.aggregation import history_embedding_aggregation

__all__ = ["history_embedding_aggregation"]
