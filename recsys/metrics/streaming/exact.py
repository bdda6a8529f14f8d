"""Exact metrics: every row is held, and the value is computed once, at the end."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
from keras import ops
from numpy.typing import NDArray

from recsys.feature._constraints import Constraint, Integer, Maybe, Text, check
from recsys.types import Tensor, TensorLike

_MOST_ROWS = 2**30


class RowMetric(keras.metrics.Metric):
    """A metric of all rows together, which no sum over batches can replace.

    Rows go into buffers of fixed size, so that a step costs what its batch costs and
    the graph of a training step stays the same. A subclass says what its `value` is.

    `result()` is NaN inside a compiled step. Keras asks once more at the end of an
    epoch or of `evaluate`, outside; then the value is computed, as a Python float
    (a tensor would lose digits on JAX). Where a step is not compiled (`run_eagerly`,
    PyTorch), a plain `keras.Model` asks after every step, at the cost of a sort.

    Under `tf.distribute` every replica holds the rows of all of them.

    Args:
        capacity: Most rows that fit. Rows that do not count (weight 0, label NaN) take
            no space. With more rows `result()` is an error.
        group: Key of the model's input that holds the group of each row: an integer
            column. Default: no groups.
        by: Key of one that tells the parts of a breakdown, alike.
        name: Name of the metric.
        **kwargs: Passed to `keras.metrics.Metric`.

    Attributes:
        exact: True: the value is to be read at the end of an epoch only.
        from_logits: True: a model that has logits should pass those. Probabilities have
            the same order, up to ties where the sigmoid is exactly 0 or 1.
    """

    exact = True
    from_logits = True

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "capacity": Integer(1, _MOST_ROWS),
        "group": Maybe(Text()),
        "by": Maybe(Text()),
    }

    def __init__(
        self,
        capacity: int,
        group: str | None = None,
        by: str | None = None,
        *,
        name: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.capacity = capacity
        self.group = group
        self.by = by
        check(self)
        # One row more than fits: rows that do not count are written there.
        self._rows = _buffer("rows", (capacity + 1, 3), "float32")
        # float32 would merge groups above 2**24; JAX has no 64-bit integers.
        integer = "int32" if keras.backend.backend() == "jax" else "int64"
        if group is not None:
            self._groups = _buffer("groups", (capacity + 1,), integer)
        if by is not None:
            self._by = _buffer("by", (capacity + 1,), integer)
        self._seen = _buffer("seen", (), "int32")

    def update_state(
        self,
        y_true: TensorLike,
        y_pred: TensorLike,
        sample_weight: TensorLike | None = None,
        groups: TensorLike | None = None,
        by: TensorLike | None = None,
    ) -> None:
        """Holds the rows of a batch.

        Args:
            y_true: Labels, `(batch,)` or `(batch, 1)`, as all other arguments; NaN is
                missing.
            y_pred: Scores.
            sample_weight: Weights; rows of weight 0 do not count.
            groups: Integers, where the metric has a `group`; on JAX, of 32 bits.
            by: Integers, where the metric has a `by`, alike.

        Raises:
            ValueError: If the metric has a `group` or `by` and gets none, or no
                integers.
        """
        if is_stub(self._seen):
            return
        values = [ops.stack(label_score_weight(y_true, y_pred, sample_weight), axis=1)]
        buffers = [self._rows]
        if self.group is not None:
            values.append(self._integers("groups", self.group, groups))
            buffers.append(self._groups)
        if self.by is not None:
            values.append(self._integers("by", self.by, by))
            buffers.append(self._by)
        values = _of_all_replicas(values)

        counts = ops.cast(values[0][:, 2] != 0, "int32")
        seen = self._seen + ops.cumsum(counts)
        place = ops.where(counts == 1, seen - 1, self.capacity)
        place = ops.minimum(place, self.capacity)
        for buffer, rows in zip(buffers, values, strict=True):
            _write(buffer, place, rows)
        # Stops before the int32 overflows.
        self._seen.assign(ops.minimum(self._seen, _MOST_ROWS) + ops.sum(counts))

    def rows(self) -> dict[str, NDArray[Any]]:
        """Returns the rows held, as NumPy arguments of the metric's function.

        Raises:
            ValueError: If more rows came than `capacity`.
        """
        seen = int(self._seen + 0)  # of a replicated variable there is no int()
        if seen > self.capacity:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} holds capacity={self.capacity} "
                f"rows and has seen {seen}. Pass a larger `capacity`."
            )
        rows = ops.convert_to_numpy(self._rows[:seen])
        arguments = dict(
            zip(("y_true", "y_score", "sample_weight"), rows.T, strict=True)
        )
        if self.group is not None:
            arguments["groups"] = ops.convert_to_numpy(self._groups[:seen])
        if self.by is not None:
            arguments["by"] = ops.convert_to_numpy(self._by[:seen])
        return arguments

    def value(self, **rows: Any) -> float | dict[str, float]:
        """Computes the metric from what `rows` returns."""
        raise NotImplementedError

    def result(self) -> Tensor | float | dict[str, float]:
        if is_traced(self._seen):
            return ops.convert_to_tensor(float("nan"))
        return self.value(**self.rows())

    def reset_state(self) -> None:
        self._seen.assign(0)  # rows past the counter are not read

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "capacity": self.capacity}

    def _integers(
        self, argument: str, column: str, values: TensorLike | None
    ) -> Tensor:
        if values is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} needs the column {column!r}: "
                f"update_state(..., {argument}=x[{column!r}]). recsys.train.Model "
                "passes it, a plain keras.Model does not."
            )
        values = ops.convert_to_tensor(values)
        dtype = keras.backend.standardize_dtype(values.dtype)
        if "int" not in dtype and not _is_between_replicas():
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the column {column!r} must "
                f"hold integers. Received: dtype {dtype}"
            )
        integer = "int32" if keras.backend.backend() == "jax" else "int64"
        return ops.cast(ops.reshape(values, (-1,)), integer)


def one_of(
    metric: Any, y_pred: TensorLike | None, logits: TensorLike | None
) -> tuple[Any, bool]:
    """Returns the scores that a metric got, and whether they are logits.

    Raises:
        ValueError: If both or none are given.
    """
    if (y_pred is None) == (logits is None):
        raise ValueError(
            f"{type(metric).__name__} {metric.name!r} takes either y_pred or logits. "
            f"Received: {'none' if logits is None else 'both'}"
        )
    if y_pred is None:
        return logits, True
    return y_pred, metric.from_logits


def label_score_weight(
    y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None
) -> list[Tensor]:
    """Flattens a batch to float32 `(batch,)`; a missing label gets weight 0."""
    label, score = _flat(y_true), _flat(y_pred)
    weight = ops.ones_like(label) if sample_weight is None else _flat(sample_weight)
    missing = ops.isnan(label)
    return [
        ops.where(missing, 0.0, label),
        score,
        ops.where(missing, 0.0, weight),
    ]


def _flat(values: TensorLike) -> Tensor:
    values = ops.convert_to_tensor(values)
    if tuple(values.shape)[1:] not in ((), (1,), (None,)):
        raise ValueError(
            "A metric takes one value per row, shape (batch,) or (batch, 1). "
            f"Received: shape {tuple(values.shape)}"
        )
    return ops.stop_gradient(ops.cast(ops.reshape(values, (-1,)), "float32"))


def _buffer(name: str, shape: tuple[int, ...], dtype: str) -> keras.Variable:
    # `add_variable` makes variables that a replica must not scatter into.
    return keras.Variable(
        initializer="zeros",
        shape=shape,
        dtype=dtype,
        trainable=False,
        name=name,
        synchronization="on_write",
        aggregation="only_first_replica",
    )


def _write(buffer: keras.Variable, place: Tensor, rows: Tensor) -> None:
    """Writes rows in place, where `keras.ops` would copy the whole buffer."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        buffer.value.scatter_update(tf.IndexedSlices(rows, place))
    elif backend == "torch":
        buffer.value[place] = rows
    else:  # JAX: in place inside a compiled step, whose state is donated
        buffer.assign(ops.scatter_update(buffer.value, place[:, None], rows))


def _of_all_replicas(values: list[Tensor]) -> list[Tensor]:
    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return values
    gathered: list[Any] = replica.all_gather(values, axis=0)
    return gathered


def _is_between_replicas() -> bool:
    """Whether Keras builds a model under a strategy: from means, so all is float."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.distribute.in_cross_replica_context())


def is_traced(variable: keras.Variable) -> bool:
    """Whether the code runs to be compiled, so that there are no values."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.executing_eagerly()
    if backend == "jax":
        import jax

        return isinstance(variable.value, jax.core.Tracer)
    return is_stub(variable)


def is_stub(variable: keras.Variable) -> bool:
    """Whether Keras asks PyTorch for shapes only.

    A counter that became a stub there would turn into a random number later.
    """
    return keras.backend.backend() == "torch" and bool(variable.value.is_meta)
