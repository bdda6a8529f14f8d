"""What optimizers of rows share: sums of equal ids, and rows in place of tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.initial import in_place
from recsys.protocols import Table
from recsys.train._keras import OwnOptimizer
from recsys.types import Gradient, Tensor


class RowOptimizer(OwnOptimizer):
    """What the optimizers below share; each says what its slots and its step are.

    It stands before a Keras optimizer in the list of bases, which brings arguments
    and config.
    """

    def slots(self) -> Mapping[str, str | keras.initializers.Initializer]:
        """Returns the initializer of each slot, by name."""
        raise NotImplementedError

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Returns what to subtract from a variable, and its new slots.

        Serves a whole variable and some rows of a table alike.

        Args:
            gradient: Gradient of the variable or its rows.
            slots: Slots of the variable or its rows.
            learning_rate: Scalar.
            value: Function that reads the variable or its rows.
        """
        raise NotImplementedError

    def moves_at_zero(self) -> bool:
        """Whether a step with an all-zero gradient changes anything."""
        return True

    def slot_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the slots of a variable of that shape."""
        return shape

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Makes the slots of `variables`; does nothing if they exist."""
        if self.built:
            return
        keras.optimizers.Optimizer.build(self, variables)
        self._slots = [
            [
                self.add_variable(
                    self.slot_shape(tuple(variable.shape)),
                    in_place(keras.initializers.get(initializer)),
                    variable.dtype,
                    name=f"{variable.path.replace('/', '_')}_{name}",
                )
                for name, initializer in self.slots().items()
            ]
            for variable in variables
        ]

    @property
    def variables(self) -> "list[keras.Variable]":
        """The state. A list that may also be called, as in version 1."""
        return _CallableList(super().variables)

    def update_step(
        self, gradient: Gradient, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Updates one variable; called by Keras."""
        slots = self._slots[self._place_of(variable)]
        rate = ops.cast(learning_rate, variable.dtype)
        if is_sparse(gradient):
            if len(variable.shape) > 1:
                self._update_rows(gradient, variable, slots, rate)
                return
            gradient = _dense(gradient)  # a vector has no rows
        gradient = ops.cast(gradient, variable.dtype)
        old = [ops.convert_to_tensor(slot) for slot in slots]
        step, new = self._decayed_step(
            gradient, old, rate, variable, lambda: ops.convert_to_tensor(variable)
        )
        if isinstance(variable, Table) and self.moves_at_zero():
            step, new = _still_where_zero(gradient, step, old, new)
        for slot, after in zip(slots, new, strict=True):
            self.assign(slot, after)
        self.assign_sub(variable, step)

    def _update_rows(
        self,
        gradient: Gradient,
        variable: keras.Variable,
        slots: Sequence[keras.Variable],
        rate: Tensor,
    ) -> None:
        import tensorflow as tf

        gradient = _sum_equal_ids(gradient)
        ids, values = gradient.indices, tf.cast(gradient.values, variable.dtype)
        old = [tf.gather(slot.value, ids) for slot in slots]
        step, new = self._decayed_step(
            values, old, rate, variable, lambda: tf.gather(variable, ids)
        )
        if self.moves_at_zero():
            step, new = _still_where_zero(values, step, old, new)
        for slot, after in zip(slots, new, strict=True):
            slot.value.scatter_update(tf.IndexedSlices(after, ids))
        # Ten times as fast as `scatter_sub`, which TensorFlow does row by row.
        after = tf.gather(variable, ids) - step
        variable.scatter_update(tf.IndexedSlices(after, ids))

    def _decayed_step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        rate: Tensor,
        variable: keras.Variable,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        if not self._decays(variable):
            return self.step(gradient, slots, rate, value)
        decay = value() * self.weight_decay * rate
        step, new = self.step(gradient, slots, rate, lambda: value() - decay)
        return decay + step, new

    def _clipped(self, gradients: Sequence[Gradient]) -> Sequence[Gradient]:
        clips = self.clipnorm or self.clipvalue or self.global_clipnorm
        if not clips or not any(is_sparse(g) for g in gradients):
            return super()._clipped(gradients)
        import tensorflow as tf

        gradients = [_sum_equal_ids(g) if is_sparse(g) else g for g in gradients]
        if self.global_clipnorm:  # Keras' own would make the tables dense
            return tf.clip_by_global_norm(gradients, self.global_clipnorm)[0]  # type: ignore[no-any-return]
        return super()._clipped(gradients)


def is_sparse(gradient: Gradient) -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def _dense(gradient: Gradient) -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)  # that of Keras leaves it sparse


def _sum_equal_ids(gradient: Gradient) -> Gradient:
    import tensorflow as tf

    ids, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(ids))
    return tf.IndexedSlices(values, ids, gradient.dense_shape)


def _still_where_zero(
    gradient: Tensor, step: Tensor, old: Sequence[Tensor], new: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    touched = ops.any(ops.not_equal(gradient, 0), axis=-1)

    def choose(after: Tensor, before: Tensor) -> Tensor:
        rows = touched
        while len(rows.shape) < len(after.shape):
            rows = ops.expand_dims(rows, -1)
        return ops.where(rows, after, before)

    slots = [choose(after, before) for after, before in zip(new, old, strict=True)]
    return choose(step, ops.zeros_like(step)), slots


class _CallableList(list[keras.Variable]):
    def __call__(self) -> "_CallableList":
        return self
