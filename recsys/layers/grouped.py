"""Products whose kernel depends on the group of a row: its domain, its cluster."""

from typing import Any

import keras
from keras import ops

from recsys.layers.base import Layer
from recsys.layers.normalization import shapes_may_vary
from recsys.types import Tensor

MOST_ROWS = 64


def known_or_last(ids: Tensor, number: int) -> Tensor:
    """Returns ids in `[0, number)` as they are and `number` for all others, int32.

    Example:
    >>> known_or_last(np.array([0, 2, 3, -1]), 3).numpy()
    array([0, 2, 3, 3], dtype=int32)
    """
    ids = ops.cast(ids, "int32")
    return ops.where((ids >= 0) & (ids < number), ids, number)


class KnownIds(Layer):
    """Gives all ids outside a vocabulary the one behind its last.

    Args:
        number: Ids in `[0, number)` stay; others become `number`.
    Call arguments:
        ids: Integers of any shape.
    Returns:
        `ids.shape`, int32.
    """

    def __init__(self, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number

    def call(self, ids: Tensor) -> Tensor:
        return known_or_last(ids, self.number)


def members(groups: Tensor, number: int) -> Tensor:
    """Returns which group each row is in, `(batch, number)`, float32.

    A row of no group has zeros. `members(groups, number)` times a table of groups
    looks its rows up; transposed times rows, it adds up those of each group.

    Args:
        groups: `(batch,)`, integers.
        number: Number of groups.
    """
    groups = ops.expand_dims(groups, 1)
    return ops.cast(ops.equal(groups, ops.arange(number, dtype="int32")), "float32")


def grouped_matmul(
    x: Tensor, kernels: Tensor, groups: Tensor, *, training: bool = False
) -> Tensor:
    r"""Multiplies each row by the kernel of its group.

        y_b = x_b K_{g(b)}

    In training on TensorFlow the rows of each group are taken together, which costs
    little more than a single product. XLA and the formats of exports cannot do that:
    there, rows are laid out in blocks of one group and one size, the last block of a
    group padded, and each block is multiplied by its kernel. That is about twice the
    work of a single product, where one product for each group and a choice among the
    results is `num_groups` times that, and kernels gathered by row would be
    `(batch, width, units)`.

    Args:
        x: `(batch, width)`.
        kernels: `(num_groups, width, units)`.
        groups: `(batch,)`, integers in `[0, num_groups)`.
        training: Whether this is a training step.

    Returns:
        `(batch, units)`.

    Example:
    >>> kernels = np.array([[[1.0]], [[10.0]]])
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> grouped_matmul(x, kernels, np.array([1, 0, 1])).numpy()
    array([[10.],
           [ 2.],
           [30.]])
    """
    num_groups, width, units = kernels.shape
    if training and keras.backend.backend() == "tensorflow" and shapes_may_vary():
        import tensorflow as tf

        rows = tf.dynamic_partition(tf.range(tf.shape(x)[0]), groups, num_groups)
        parts = tf.dynamic_partition(x, groups, num_groups)
        pairs = zip(parts, tf.unstack(kernels), strict=True)
        by_group = [part @ kernel for part, kernel in pairs]
        stitched: Tensor = tf.dynamic_stitch(rows, by_group)
        return stitched
    batch = ops.shape(x)[0]
    size = batch // num_groups
    if isinstance(batch, int):
        size = min(max(size, 1), MOST_ROWS)
    else:
        size = ops.clip(size, 1, MOST_ROWS)
    most_blocks = (batch + num_groups * (size - 1)) // size

    of_group = ops.cast(members(groups, num_groups), "int32")
    before = ops.sum((ops.cumsum(of_group, axis=0) - 1) * of_group, axis=1)
    blocks = (ops.sum(of_group, axis=0) + size - 1) // size
    ends = ops.cumsum(blocks)
    place = ops.take(ends - blocks, groups) * size + before
    rows = ops.scatter(  # which row is in each place, the first one being 1
        ops.expand_dims(place, 1),
        ops.arange(1, batch + 1, dtype="int32"),
        (most_blocks * size,),
    )
    group_of = ops.sum(
        ops.cast(
            ops.expand_dims(ops.arange(most_blocks, dtype="int32"), 1) >= ends, "int32"
        ),
        axis=1,
    )
    kernel_of = ops.take(kernels, ops.minimum(group_of, num_groups - 1), axis=0)
    padded = ops.take(ops.pad(x, ((1, 0), (0, 0))), rows, axis=0)
    products = ops.matmul(ops.reshape(padded, (-1, size, width)), kernel_of)
    return ops.take(ops.reshape(products, (-1, units)), place, axis=0)
