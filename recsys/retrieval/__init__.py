"""Exact retrieval: the k items of a catalogue with the largest scores."""

from recsys.retrieval.checks import check_excluded
from recsys.retrieval.diversity import diversify
from recsys.retrieval.search import top_k, top_k_of_scores

__all__ = ["check_excluded", "diversify", "top_k", "top_k_of_scores"]
