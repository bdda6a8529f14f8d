"""Import path of version 1; see `recsys.inputs`."""

from recsys.inputs import build_feature_embeddings, concatenate

__all__ = ["build_feature_embeddings", "concatenate"]
