"""Negatives for softmax over a catalogue, and how likely each was to be drawn.

The items are the ids from `first` to `first + num_items - 1`; others stand for no
item and are never drawn.
"""

import math
from typing import Any

import keras
from keras import ops


class UniformSampler:
    """Draws every item alike, with replacement.

    Args:
        first: Smallest id of an item.
        num_items: Number of items.
    """

    def __init__(self, first: int, num_items: int) -> None:
        self.first = first
        self.num_items = num_items

    def draw(self, num: int, seed: Any) -> Any:
        """Returns ids, `(num,)`, int32."""
        end = self.first + self.num_items
        return keras.random.randint((num,), self.first, end, "int32", seed)

    def log_probability(self, ids: Any) -> Any:
        """Returns how likely one draw is each of `ids`, as a logarithm."""
        return ops.zeros_like(ids, "float32") - math.log(self.num_items)


class LogUniformSampler(UniformSampler):
    """Draws the item at rank r with probability log((r + 2) / (r + 1)) / log(n + 1).

    That is Zipf's law: the ids must be in order of falling count, as a
    FeaturePipeline makes them. With replacement.

    Args:
        first: Smallest id of an item, the most frequent.
        num_items: Number of items, n.
    """

    def draw(self, num: int, seed: Any) -> Any:
        """Returns ids, `(num,)`, int32."""
        u = keras.random.uniform((num,), dtype="float32", seed=seed)
        rank = ops.floor(ops.exp(u * math.log(self.num_items + 1))) - 1
        rank = ops.clip(rank, 0, self.num_items - 1)
        return self.first + ops.cast(rank, "int32")

    def log_probability(self, ids: Any) -> Any:
        """Returns how likely one draw is each of `ids`, as a logarithm."""
        rank = ops.cast(ops.maximum(ids - self.first, 0), "float32")
        share = ops.log1p(1 / (rank + 1)) / math.log(self.num_items + 1)
        return ops.log(share)


SAMPLERS = {"uniform": UniformSampler, "log_uniform": LogUniformSampler}
