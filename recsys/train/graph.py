"""Checks on the batches of a `tf.data.Dataset`, while they are made.

A few operations for all columns of one type tell whether a batch is right, and take
nothing of Python. Only if it is not, NumPy is asked, which says what is wrong where.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.layers.core import PredictLayer
from recsys.train import routing
from recsys.train.columns import LARGEST, Column
from recsys.train.rows import Needs

if TYPE_CHECKING:
    import tensorflow as tf


def looked_at(
    dataset: "tf.data.Dataset",
    needs: Needs,
    look: Callable[[int, Any], None],
    for_loss: bool,
) -> "tf.data.Dataset":
    """Returns the same batches, each looked at.

    Args:
        dataset: Of `x`, `(x, y)` or `(x, y, sample_weight)`.
        needs: What the model needs of them.
        look: Raises if a batch is not right, given its number and its arrays.
        for_loss: Whether there is more to be done than to predict.
    """
    import tensorflow as tf

    columns = {**needs.of_losses, **needs.columns} if for_loss else needs.columns
    names = {*columns, *(needs.groups if for_loss else ())}

    def through(number: Any, batch: Any) -> Any:
        x, *others = batch if isinstance(batch, tuple) else (batch,)
        x = {name: value for name, value in x.items() if name in names}
        parts = x, *(each for each in others if for_loss and each is not None)
        tensors = tf.nest.flatten(parts)

        def ask(given: Sequence[Any], places: Sequence[Sequence[int]]) -> Any:
            def answer(number: Any, *given: Any) -> bool:
                arrays = dict(enumerate(given))
                if places:
                    arrays = _taken_apart(given, places)
                flat = [arrays[place] for place in range(len(arrays))]
                look(int(number), tf.nest.pack_sequence_as(parts, flat))
                return True

            return tf.numpy_function(answer, [number, *given], "bool")

        if not all(each.shape[1:].is_fully_defined() for each in tensors):
            ask(tensors, [])
            return batch
        # Columns are put together: few operations, and few tensors for a condition.
        kinds: dict[Any, list[int]] = {}
        known = [columns.get(name) for name in sorted(x)]
        known += [None] * (len(tensors) - len(known))
        for place, (each, column) in enumerate(zip(tensors, known, strict=True)):
            kind = each.dtype, tuple(each.shape[1:]), column and column.ids > 0
            kinds.setdefault(kind, []).append(place)
        places = [*kinds.values()]
        alike = [[tensors[place] for place in each] for each in places]
        lengths = [tf.stack(tf.shape_n(each))[:, 0] for each in alike]
        joined = [tf.concat(each, 0) for each in alike]
        rows = tf.concat(lengths, 0)
        found = [tf.reduce_all(rows == rows[0]), _labels_and_weights_fit(needs, *parts)]
        for each, values in zip(places, joined, strict=True):
            of_kind = [column for place in each if (column := known[place])]
            if of_kind:
                length = tf.shape(values)[0] // len(each)  # if all are equal
                shape = [len(each), length, *values.shape[1:]]
                whole = tf.reshape(values[: length * len(each)], shape)
                found.append(_columns_fit(of_kind, whole))
        right = tf.reduce_all(found)
        tf.cond(right, lambda: True, lambda: ask([*joined, *lengths], places))
        return batch

    through = tf.autograph.experimental.do_not_convert(through)
    return dataset.enumerate().map(through).prefetch(2)


def _taken_apart(
    given: Sequence[NDArray[Any]], places: Sequence[Sequence[int]]
) -> dict[int, NDArray[Any]]:
    """Returns arrays by place, of some that were joined, and of their lengths."""
    arrays: dict[int, NDArray[Any]] = {}
    joined, lengths = given[: len(places)], given[len(places) :]
    for each, values, length in zip(places, joined, lengths, strict=True):
        arrays |= zip(each, np.split(values, np.cumsum(length)[:-1]), strict=True)
    return arrays


def _labels_and_weights_fit(
    needs: Needs, x: Mapping[str, Any], y: Any = None, weight: Any = None
) -> Any:
    import tensorflow as tf

    labels = routing.labels_of_tasks(y, needs.heads)
    labels = {name: _exact(label) for name, label in labels.items()}
    found = [_labels_fit(labels, name, needs.heads[name]) for name in labels]
    weights = [each for each in tf.nest.flatten(weight) if each is not None]
    weights += [x[name] for name in needs.weights if name in x]
    for each in map(_exact, weights):
        found.append(tf.reduce_all((each >= 0) & _is_small(each)))
    return tf.reduce_all(found)


def _exact(values: Any) -> Any:
    """Floating, without a loss."""
    import tensorflow as tf

    return values if values.dtype == "float32" else tf.cast(values, "float64")


def _is_small(values: Any) -> Any:
    """Whether each is a number that float32 holds."""
    import tensorflow as tf

    return tf.abs(_exact(values)) <= LARGEST


def _columns_fit(columns: Sequence[Column], values: Any) -> Any:
    """Whether columns of one type and shape, ids or numbers, hold what they should.

    Args:
        columns: The columns.
        values: `(columns, rows, ...)`.
    """
    import tensorflow as tf

    floating = values.dtype.is_floating
    if not columns[0].ids:
        return tf.reduce_all(_is_small(values)) if floating else True
    if values.dtype != "int32":
        values = tf.cast(values, "float64" if floating else "int64")
    axes = [*range(1, len(values.shape))]
    least = tf.constant([column.least for column in columns], values.dtype)
    most = tf.constant([column.ids - 1 for column in columns], values.dtype)
    right = tf.reduce_all(tf.reduce_min(values, axes) >= least)
    right &= tf.reduce_all(tf.reduce_max(values, axes) <= most)
    return right & tf.reduce_all(values == tf.floor(values)) if floating else right


def _labels_fit(labels: Mapping[str, Any], name: str, head: PredictLayer | None) -> Any:
    """Whether labels of a task are right, as `columns.check_labels` has it."""
    import tensorflow as tf

    label = labels[name]
    right = _is_small(label)
    if head is not None and head.task != "regression":
        right &= label >= 0
    if head is not None and head.task == "binary":
        right = (label == 0) | (label == 1)
    if head is not None and head.task == "multiclass":
        one_hot = label.shape[1:].num_elements() > 1
        right &= (label <= 1) if one_hot else (label < head.num_classes)
        right &= one_hot | (label == tf.floor(label))
    right = tf.reduce_all(right | tf.math.is_nan(label))
    required = None if head is None else head.requires
    if required is not None and required in labels:
        both = [tf.reshape(each, [-1]) for each in (labels[required], label)]
        rows = tf.minimum(*map(tf.size, both))
        before, label = (each[:rows] for each in both)
        right &= tf.reduce_all((before != 0) | (label != 1))
    return right
