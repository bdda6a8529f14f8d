"""Exact retrieval: the k items of a catalogue with the largest scores."""

from recsys._face import public_face
from recsys.retrieval.diversity import diversify
from recsys.retrieval.search import top_k, top_k_of_scores

__all__ = ["diversify", "top_k", "top_k_of_scores"]

public_face(__name__)
