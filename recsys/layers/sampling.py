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


def draw_unseen(seen: Any, first: int, num_items: int, num: int, seed: Any) -> Any:
    """Draws, for each row, items it has not seen, each of them alike.

    The items a row has not seen are in order; the r-th of them is `first + r` and one
    more for each seen item up to there. No draw is thrown away.

    Args:
        seen: `(batch, length)` ids; those below `first` are none.
        first: Smallest id of an item.
        num_items: Number of items.
        num: Draws of each row.
        seed: Generator.

    Returns:
        Ids `(batch, num)`, int32, and whether there was anything to draw,
        `(batch, 1)`, bool.

    Example:
    >>> seed = keras.random.SeedGenerator(0)
    >>> ids, any_left = draw_unseen(np.array([[1, 3, 0]]), 1, 3, 2, seed)
    >>> ids.numpy(), any_left.numpy()
    (array([[2, 2]], dtype=int32), array([[ True]]))
    """
    none = 2**30
    ids = ops.cast(seen, "int32")
    ids = ops.sort(ops.where(ids < first, none, ids), axis=1)
    again = ops.pad(ids[:, 1:] == ids[:, :-1], ((0, 0), (1, 0)))
    ids = ops.sort(ops.where(again, none, ids), axis=1)  # distinct ones
    left = num_items - ops.sum(ops.cast(ids < none, "int32"), axis=1, keepdims=True)
    u = keras.random.uniform((ops.shape(ids)[0], num), dtype="float32", seed=seed)
    r = ops.cast(u * ops.cast(left, "float32"), "int32")
    r = ops.clip(r, 0, ops.maximum(left - 1, 0))
    before = ids - first - ops.arange(ids.shape[1], dtype="int32")
    passed = ops.expand_dims(before, 1) <= ops.expand_dims(r, 2)
    drawn = r + ops.sum(ops.cast(passed, "int32"), axis=2)
    return first + ops.minimum(drawn, num_items - 1), left > 0  # some id, if none is


SAMPLERS = {"uniform": UniformSampler, "log_uniform": LogUniformSampler}
