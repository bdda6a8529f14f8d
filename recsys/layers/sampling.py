"""Negatives for losses over a catalogue, and how likely each was to be drawn.

The items are the ids from `first` to `first + num_items - 1`; others stand for no
item and are never drawn. What a sampler knows of the items is a weight of it, which is
saved with the model.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from recsys.layers.base import Layer
from recsys.layers.table import gather_rows, write_rows
from recsys.types import Tensor


class UniformSampler(Layer):
    """Draws every item alike, with replacement.

    Args:
        first: Smallest id of an item.
        num_items: Number of items.
    """

    def __init__(self, first: int, num_items: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.first = first
        self.num_items = num_items

    def draw(self, num: int, seed: keras.random.SeedGenerator) -> Tensor:
        """Returns ids, `(num,)`, int32."""
        end = self.first + self.num_items
        return keras.random.randint((num,), self.first, end, "int32", seed)

    def log_probability(self, ids: Tensor) -> Tensor:
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

    def draw(self, num: int, seed: keras.random.SeedGenerator) -> Tensor:
        """Returns ids, `(num,)`, int32."""
        u = keras.random.uniform((num,), dtype="float32", seed=seed)
        rank = ops.floor(ops.exp(u * math.log(self.num_items + 1))) - 1
        rank = ops.clip(rank, 0, self.num_items - 1)
        return self.first + ops.cast(rank, "int32")

    def log_probability(self, ids: Tensor) -> Tensor:
        """Returns how likely one draw is each of `ids`, as a logarithm."""
        rank = ops.cast(ops.maximum(ids - self.first, 0), "float32")
        share = ops.log1p(1 / (rank + 1)) / math.log(self.num_items + 1)
        return ops.log(share)


class UnigramSampler(UniformSampler):
    r"""Draws item j with probability `c_j^\alpha / \sum c^\alpha`, c_j >= 1 its count.

    With replacement, and in the same time however many items there are: each id has an
    alias, which takes its place with some probability (Walker 1977). Until `adapt` is
    called all items are alike.

    Args:
        first: Smallest id of an item.
        num_items: Number of items.
        alpha: Exponent; 0.75 is word2vec's, 1 the frequency itself.
    """

    log_share: keras.Variable
    keep: keras.Variable
    alias: keras.Variable

    def __init__(
        self, first: int, num_items: int, alpha: float = 0.75, **kwargs: Any
    ) -> None:
        super().__init__(first, num_items, **kwargs)
        self.alpha = alpha

    def build(self, *_: Any) -> None:
        uniform = -math.log(self.num_items)
        for name, dtype, start in (
            ("log_share", "float32", uniform),
            ("keep", "float32", 1),
            ("alias", "int32", 0),
        ):
            weight = self.add_weight(
                shape=(self.num_items,),
                initializer=keras.initializers.Constant(start),
                dtype=dtype,
                trainable=False,
                name=name,
            )
            setattr(self, name, weight)

    def adapt(self, counts: ArrayLike) -> None:
        """Takes how often each id occurs in training, `(first + num_items,)`."""
        counts = np.asarray(counts, "float64")
        if counts.shape != (self.first + self.num_items,):
            raise ValueError(
                f"Sampler {self.name!r}: needs a count for each of "
                f"{self.first + self.num_items} ids. Received: shape {counts.shape}"
            )
        share = np.maximum(counts[self.first :], 1) ** self.alpha
        share /= share.sum()
        keep, alias = _alias_table(share)
        self.log_share.assign(np.log(share))
        self.keep.assign(keep)
        self.alias.assign(alias)

    def draw(self, num: int, seed: keras.random.SeedGenerator) -> Tensor:
        """Returns ids, `(num,)`, int32."""
        place = keras.random.randint((num,), 0, self.num_items, "int32", seed)
        u = keras.random.uniform((num,), dtype="float32", seed=seed)
        kept = u < gather_rows(self.keep, place)
        return self.first + ops.where(kept, place, gather_rows(self.alias, place))

    def log_probability(self, ids: Tensor) -> Tensor:
        """Returns how likely one draw is each of `ids`, as a logarithm."""
        return gather_rows(self.log_share, ops.maximum(ids - self.first, 0))


def _alias_table(share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns with which probability a place keeps its own id, and its alias.

    Each place has mass 1/n; what a rare item leaves of its own is filled by a frequent
    one. Both kinds in order: a frequent item fills rare ones until it gave more than it
    can spare, and what it then misses itself is filled by the next frequent one. Who
    fills whom is read from the two running sums, without a loop.

    Example:
    >>> _alias_table(np.array([0.5, 0.25, 0.25]))
    (array([1.  , 0.75, 0.75]), array([0, 0, 0]))
    """
    n = len(share)
    keep, alias = share * n, np.arange(n)
    rare, frequent = np.flatnonzero(keep < 1), np.flatnonzero(keep >= 1)
    if not len(frequent):  # all alike, but for rounding
        return np.ones(n), alias
    lacking, spare = np.cumsum(1 - keep[rare]), np.cumsum(keep[frequent] - 1)
    lacking_before = np.concatenate([[0.0], lacking])[: len(rare)]
    filler = np.searchsorted(spare, lacking_before)
    alias[rare] = frequent[np.minimum(filler, len(frequent) - 1)]
    # The first rare item that needs more than the frequent ones up to here can give.
    last = np.searchsorted(lacking, spare, side="right")
    missing = np.append(lacking, 0)[last] - spare
    keep[frequent] = np.where(last < len(rare), np.clip(1 - missing, 0, 1), 1)
    alias[frequent[:-1]] = frequent[1:]
    keep[frequent[-1]] = 1  # what rounding left
    return keep, alias


class StreamingFrequency(Layer):
    """Estimates how likely an item is to be in a batch from the steps between two.

        B[h(y)] <- (1 - rate) B[h(y)] + rate (t - A[h(y)]),   A[h(y)] <- t
        p(y) = 1 / B[h(y)]

    for each distinct item y of the batch at step t. Here h is the id itself, so that no
    two items collide.

    The average takes `1 / rate` occurrences of an item to forget where it started: of
    one that occurs a few times in a pass the estimate is nearer to `1 / start` than to
    its frequency, after one pass by up to 9 times. Where counts are known,
    `CountedFrequency` is exact.

    Args:
        vocabulary_size: Number of item ids.
        rate: Rate of the moving average, in (0, 1).
        start: What B is before anything is known, the steps between two.
    Reference:
        Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations,
        RecSys 2019, algorithm 2.
    """

    def __init__(
        self, vocabulary_size: int, rate: float = 0.01, start: float = 100.0, **kw: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kw})
        self.vocabulary_size = vocabulary_size
        self.rate = rate
        self.start = start

    def build(self, *_: Any) -> None:
        shape = (self.vocabulary_size,)
        self.last = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="last"
        )
        self.gap = self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(self.start),
            trainable=False,
            name="gap",
        )
        self.step = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="step"
        )

    def log_probability(self, ids: Tensor) -> Tensor:
        """Returns the logarithm of how likely each id is to be in a batch."""
        return -ops.log(gather_rows(self.gap, ids))

    def update(self, ids: Tensor) -> None:
        """Counts a step, with the ids `(batch,)` of its items."""
        self.step.assign(self.step + 1)
        gap = gather_rows(self.gap, ids)
        gap += self.rate * (self.step - gather_rows(self.last, ids) - gap)
        write_rows(self.gap, ids, gap)
        write_rows(self.last, ids, ops.zeros_like(gap) + self.step)


class CountedFrequency(Layer):
    r"""How likely an item is to be in a batch, from its count c in N training rows.

        p(y) = 1 - (1 - c / N)^B

    for a batch of B rows, each drawn from all; N is the sum of the counts.

    Args:
        vocabulary_size: Number of item ids.
    """

    def __init__(self, vocabulary_size: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.vocabulary_size = vocabulary_size

    def build(self, *_: Any) -> None:
        self.log_absent = self.add_weight(
            shape=(self.vocabulary_size,),
            initializer=keras.initializers.Constant(
                math.log1p(-1 / self.vocabulary_size)
            ),
            trainable=False,
            name="log_absent",
        )

    def adapt(self, counts: ArrayLike) -> None:
        """Takes how often each id occurs in training, `(vocabulary_size,)`.

        An item that does not is taken for one that occurs once.
        """
        share = np.maximum(counts, 1) / max(np.sum(counts), 1)
        with np.errstate(divide="ignore"):  # an item of every row is never absent
            self.log_absent.assign(np.log1p(-share))

    def log_probability(self, ids: Tensor, num_rows: int) -> Tensor:
        """Returns the logarithm of how likely each id is among so many rows."""
        rows = ops.cast(num_rows, "float32")
        return ops.log(-ops.expm1(rows * gather_rows(self.log_absent, ids)))


def draw_unseen(
    seen: Tensor, first: int, num_items: int, num: int, seed: keras.random.SeedGenerator
) -> tuple[Tensor, Tensor]:
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


SAMPLERS = {
    "uniform": UniformSampler,
    "log_uniform": LogUniformSampler,
    "unigram": UnigramSampler,
}
