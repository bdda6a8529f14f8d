"""Checks on the batches of a `tf.data.Dataset`, while they are made.

A few operations for all columns of one type tell whether a batch is right, and take
nothing of Python. Only if it is not, NumPy is asked, which says what is wrong where.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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

    names = {*needs.columns}
    if for_loss:
        names |= {*needs.groups, *needs.of_losses}

    def through(number: Any, batch: Any) -> Any:
        x, *others = batch if isinstance(batch, tuple) else (batch,)
        x = {name: value for name, value in x.items() if name in names}
        others = [each for each in others if for_loss and each is not None]
        tensors = tf.nest.flatten((x, *others))

        def asked() -> Any:
            return tf.numpy_function(answer, [number, *tensors], "bool")

        def answer(number: Any, *arrays: Any) -> bool:
            look(int(number), tf.nest.pack_sequence_as((x, *others), arrays))
            return True

        if all(each.shape[1:].is_fully_defined() for each in tensors):
            equal = _of_one_length(tensors)
            right = tf.cond(equal, lambda: _fits(needs, x, *others), lambda: False)
            tf.cond(right, lambda: True, asked)
        else:
            asked()
        return batch

    numbered = dataset.enumerate()
    through = tf.autograph.experimental.do_not_convert(through)
    return numbered.map(through, num_parallel_calls=tf.data.AUTOTUNE)


def _of_one_length(tensors: Iterable[Any]) -> Any:
    import tensorflow as tf

    kinds: dict[Any, list[Any]] = {}
    for each in tensors:
        kinds.setdefault((each.dtype, each.shape.rank), []).append(each)
    rows = [tf.stack(tf.shape_n(same))[:, 0] for same in kinds.values()]
    rows = tf.concat(rows, 0)
    return tf.reduce_all(rows == rows[0])


def _fits(needs: Needs, x: Mapping[str, Any], y: Any = None, weight: Any = None) -> Any:
    """Whether columns, labels and weights are right; may be false where they are."""
    import tensorflow as tf

    columns = {**needs.of_losses, **needs.columns}
    kinds: dict[Any, list[Column]] = {}
    for name in x.keys() & columns.keys():
        value, column = x[name], columns[name]
        kind = value.dtype, tuple(value.shape[1:]), column.ids > 0
        kinds.setdefault(kind, []).append(column)
    found = [
        _columns_fit(alike, tf.stack([x[column.name] for column in alike]))
        for alike in kinds.values()
    ]
    labels = routing.labels_of_tasks(y, needs.heads)
    labels = {name: _exact(label) for name, label in labels.items()}
    found += [_labels_fit(labels, name, needs.heads[name]) for name in labels]
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
        before = tf.reshape(labels[required], [-1]) == 0
        right &= tf.reduce_all(~before | (tf.reshape(label, [-1]) != 1))
    return right
