"""Arrays as batches on TensorFlow, and what makes datasets wait."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Order, salts
from recsys.data.layout import apart, side_by_side
from recsys.data.packed import checksum
from recsys.protocols import Described, Ordered
from recsys.train._keras import sources

if TYPE_CHECKING:
    import tensorflow as tf


_UNKNOWN = "Shuffle", "Random", "Interleave"
"""Kinds of datasets whose order, or that of datasets made in them, nobody tells."""


def array_dataset(
    data: Any, batch_size: int, order: Order | None = None
) -> "tf.data.Dataset":
    """Returns whole batches of arrays, in a new order in each epoch.

    Much faster than Keras' own, which slices row by row.

    Args:
        data: Arrays of one length, in dicts and tuples.
        batch_size: Rows of a batch; the last may have fewer.
        order: Says the order of each epoch; `None` leaves the rows as they are.
    """
    import tensorflow as tf

    arrays = [np.asarray(array) for array in tf.nest.flatten(data)]
    rows = len(arrays[0])
    batch_of = _in_order(arrays) if order is None else _shuffled(arrays)

    def epoch(salt: Any) -> Any:
        chosen = None
        if order is not None:
            # An op with a state would begin anew in each epoch.
            chosen = tf.random.experimental.stateless_shuffle(tf.range(rows), salt)

        def batch(start: Any) -> Any:
            here = slice(start, start + batch_size)
            parts = batch_of(here if chosen is None else chosen[here])
            return tf.nest.pack_sequence_as(data, parts)

        starts = tf.data.Dataset.range(0, rows, batch_size)
        return starts.map(batch, num_parallel_calls=tf.data.AUTOTUNE)

    one = tf.data.Dataset.range(1) if order is None else salts(order)
    dataset = one.flat_map(epoch)
    batches = tf.data.experimental.assert_cardinality(-(-rows // batch_size))
    dataset = prompt(dataset.apply(batches).prefetch(tf.data.AUTOTUNE))
    dataset.recsys_rows = rows, batch_size, checksum(arrays)
    return dataset


def _in_order(arrays: Sequence[NDArray[Any]]) -> Callable[[Any], list[Any]]:
    """Returns a function from a slice to these rows of the arrays."""
    import tensorflow as tf

    tensors = [tf.constant(array) for array in arrays]
    return lambda here: [tensor[here] for tensor in tensors]


def _shuffled(arrays: Sequence[NDArray[Any]]) -> Callable[[Any], list[Any]]:
    """Returns a function from numbers of rows to these rows of the arrays."""
    import tensorflow as tf

    kinds: dict[np.dtype[Any], list[int]] = {}
    for place, array in enumerate(arrays):
        kinds.setdefault(array.dtype, []).append(place)
    matrices = [
        tf.constant(side_by_side([arrays[place] for place in places]))
        for places in kinds.values()
    ]

    def batch(chosen: Any) -> list[Any]:
        found: dict[int, Any] = {}
        for matrix, places in zip(matrices, kinds.values(), strict=True):
            shapes = [arrays[place].shape[1:] for place in places]
            found |= zip(places, apart(tf.gather(matrix, chosen), shapes), strict=True)
        return [found[place] for place in range(len(arrays))]

    return batch


def prompt(dataset: "tf.data.Dataset") -> "tf.data.Dataset":
    """Returns a dataset whose iterators end when their last batch is taken.

    TensorFlow's autotuner sleeps 10, 20, 40, ... ms and is waited for when an iterator
    is thrown away: an epoch of three seconds ends after five. Where the user has not
    said otherwise, it is turned off.
    """
    import tensorflow as tf

    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def orders(dataset: Any) -> list[Order]:
    """Returns the orders of the pipelines' datasets that a dataset is derived from."""
    return [each.recsys_order for each in _sources(dataset, Ordered)]


def described(dataset: Any) -> dict[str, str]:
    """Returns what is known of the data, in strings.

    That is the shape and type of each column, label and weight, and of arrays and of
    the pipelines' datasets it is derived from the rows, the batch size and what some
    rows hold.
    """
    import keras

    columns = keras.tree.flatten_with_path(dataset.element_spec)
    found = {"/".join(map(str, path)): str(spec) for path, spec in columns}
    for place, source in enumerate(_sources(dataset, Described)):
        rows, batch_size, known = source.recsys_rows
        of = f" of dataset {place}" if place else ""
        found[f"rows, and rows of a batch{of}"] = f"{rows}, {batch_size}"
        found[f"checksum of some rows{of}"] = str(known)
    return found


def without_order(dataset: Any) -> str | None:
    """Returns what makes the order of rows another one in another process, if known."""
    kind = type(dataset).__name__
    if isinstance(dataset, Described):
        return None
    kept = "Cache" in kind and any(order.shuffled for order in orders(dataset))
    if kept or any(each in kind for each in _UNKNOWN):
        return kind.strip("_")
    return next(filter(None, map(without_order, sources(dataset))), None)


def _sources(dataset: Any, kind: type) -> list[Any]:
    """Returns the datasets of a kind that a dataset is derived from, or is itself."""
    if isinstance(dataset, kind):
        return [dataset]
    return [found for each in sources(dataset) for found in _sources(each, kind)]


@contextmanager
def looking(dataset: Any) -> Iterator[None]:
    """Has passes over a dataset not count as epochs of a pipeline's."""
    before = [(order, order.epoch, order.step) for order in orders(dataset)]
    try:
        yield
    finally:
        for order, epoch, step in before:
            order.epoch, order.step = epoch, step


def batches(
    x: Any, batch_size: int | None, steps: int | None
) -> tuple[Iterator[Any], int | None]:
    """Returns the columns of batches in order, and how many batches, if that is known.

    Args:
        x: Arrays by name, or a dataset of columns or of tuples that begin with them.
        batch_size: Rows of a batch of arrays.
        steps: Most batches, if not all.
    """
    if isinstance(x, dict) and batch_size:
        starts = range(0, len(next(iter(x.values()))), batch_size)[:steps]
        return (
            {name: column[at : at + batch_size] for name, column in x.items()}
            for at in starts
        ), len(starts)
    dataset = x if steps is None else x.take(steps)
    number = int(dataset.cardinality())
    columns = (e[0] if isinstance(e, tuple) else e for e in dataset)
    return columns, number if number >= 0 else None


def as_inputs(batch: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns columns as tensors of the types and ranks that a model's inputs have."""
    import tensorflow as tf

    tensors = {}
    for name, wanted in inputs.items():
        value = batch[name]
        if isinstance(value, np.ndarray):
            value = tf.constant(value.astype(wanted.dtype, copy=False))
        value = tf.cast(value, wanted.dtype)
        if len(value.shape) != len(wanted.shape):
            value = tf.reshape(value, [-1, *wanted.shape[1:]])
        tensors[name] = value
    return tensors


def rows_at_once(x: Mapping[str, NDArray[Any]]) -> int:
    """Returns a size of batches that is fast, and small enough for any model.

    Attention holds the square of a history's length for each row and head.
    """
    numbers = sum(math.prod(column.shape[1:]) for column in x.values())
    longest = max(column.shape[1] if column.ndim > 1 else 1 for column in x.values())
    return max(32, min(8192, 2**18 // numbers, 2**26 // longest**2))


def split_off(data: Any, share: float) -> tuple[Any, Any]:
    """Cuts the last share of the rows off arrays in dicts and tuples.

    Raises:
        ValueError: If nothing would be left on one side.
    """
    import tensorflow as tf

    rows = len(tf.nest.flatten(data)[0])
    first = int(np.floor(rows * (1 - share)))
    if not 0 < first < rows:
        raise ValueError(
            "validation_split must leave rows on both sides. "
            f"Received: validation_split={share} of {rows} rows"
        )
    head = tf.nest.map_structure(lambda array: array[:first], data)
    tail = tf.nest.map_structure(lambda array: array[first:], data)
    return head, tail
