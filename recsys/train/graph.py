"""Checks on the batches of a `tf.data.Dataset`, while they are made.

One or two operations on each column tell whether a batch is right, and take nothing of
Python. Only if it is not, NumPy is asked, which says what is wrong where.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recsys.layers.heads import PredictLayer
from recsys.train import routing
from recsys.train.columns import LARGEST, ColumnSpec
from recsys.train.feeding import Reads

if TYPE_CHECKING:
    import tensorflow as tf


def looked_at(
    dataset: "tf.data.Dataset",
    reads: Reads,
    look: Callable[[int, Any], object],
    for_loss: bool,
) -> "tf.data.Dataset":
    """Returns the same batches, each looked at.

    Args:
        dataset: Dataset of `x`, `(x, y)` or `(x, y, sample_weight)`.
        reads: What the model reads of them.
        look: Raises if a batch is not right, given its number and its arrays.
        for_loss: Whether there is more to be done than to predict.
    """
    import tensorflow as tf

    names = {*reads.columns}
    if for_loss:
        names |= {*reads.groups, *reads.of_losses}

    def through(number: Any, batch: Any) -> Any:
        x, *others = batch if isinstance(batch, tuple) else (batch,)
        x = {name: value for name, value in x.items() if name in names}
        parts = x, *(each for each in others if for_loss and each is not None)
        tensors = tf.nest.flatten(parts)

        def ask() -> Any:
            return tf.numpy_function(answer, [number, *tensors], "bool")

        def answer(number: Any, *arrays: Any) -> bool:
            look(int(number), tf.nest.pack_sequence_as(parts, arrays))
            return True

        if all(each.shape[1:].is_fully_defined() for each in tensors):
            right = _of_one_length(tensors) & _fits(reads, *parts)
            tf.cond(right, lambda: True, ask)
        else:
            ask()
        return batch

    through = tf.autograph.experimental.do_not_convert(through)
    return dataset.enumerate().map(through).prefetch(2)


def _of_one_length(tensors: Iterable[Any]) -> Any:
    import tensorflow as tf

    kinds: dict[Any, list[Any]] = {}
    for each in tensors:
        kinds.setdefault((each.dtype, each.shape.rank), []).append(each)
    rows = [tf.stack(tf.shape_n(same))[:, 0] for same in kinds.values()]
    rows = tf.concat(rows, 0)
    return tf.reduce_all(rows == rows[0])


def _fits(reads: Reads, x: Mapping[str, Any], y: Any = None, weight: Any = None) -> Any:
    """Whether columns, labels and weights are right; may be false where they are."""
    import tensorflow as tf

    columns = {**reads.of_losses, **reads.columns}
    kinds: dict[Any, list[str]] = {}
    for name in x.keys() & columns.keys():
        kinds.setdefault((x[name].dtype, columns[name].ids > 0), []).append(name)
    found = [
        _columns_fit([columns[name] for name in names], [x[name] for name in names])
        for names in kinds.values()
    ]
    labels = routing.labels_of_tasks(y, reads.heads)
    labels = {name: _exact(label) for name, label in labels.items()}
    found += [_labels_fit(labels, name, reads.heads[name]) for name in labels]
    if reads.positives:
        found += [tf.reduce_all(each == 1) for each in tf.nest.flatten(y)]
    weights = [each for each in tf.nest.flatten(weight) if each is not None]
    weights += [x[name] for name in reads.weights if name in x]
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


def _columns_fit(columns: Sequence[ColumnSpec], values: Sequence[Any]) -> Any:
    """Whether columns of one type, all ids or all numbers, hold what they should.

    One or two operations read a column, and copy none.
    """
    import tensorflow as tf

    floating = values[0].dtype.is_floating
    if not columns[0].ids:
        if not floating:
            return True
        squares = [tf.nn.l2_loss(tf.cast(each, "float32")) for each in values]
        return tf.reduce_all(tf.math.is_finite(squares))  # also not above 1e19
    if values[0].dtype != "int32":
        values = [tf.cast(each, "float64" if floating else "int64") for each in values]
    least = tf.constant([column.least for column in columns], values[0].dtype)
    most = tf.constant([column.ids - 1 for column in columns], values[0].dtype)
    right = tf.reduce_all([tf.reduce_min(each) for each in values] >= least)
    right &= tf.reduce_all([tf.reduce_max(each) for each in values] <= most)
    if floating:
        right &= tf.reduce_all([tf.reduce_all(v == tf.floor(v)) for v in values])
    return right


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
