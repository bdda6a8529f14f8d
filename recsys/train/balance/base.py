"""What balances have in common."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.layers.kept import Kept
from recsys.types import Gradient, Loss, Operand, Shape, Tensor, Weights


class Balance:
    """What the ways to balance share.

    One object serves one model: `compile` makes a copy, `model.balance`.
    """

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        """Adds the state to a model.

        Args:
            model: The model.
            kinds: Its tasks that have a loss, each with its kind.
        """
        self.kinds = dict(kinds)
        self.kept = Kept()
        self.variables = [
            model.add_state(name, initializer, shape, trainable)
            for name, initializer, shape, trainable in self.state()
        ]

    def state(self) -> Sequence[tuple[str, Any, Shape, bool]]:
        """Returns name, initializer, shape and whether trainable, for each weight."""
        return ()

    def total(
        self, losses: Mapping[str, Tensor], present: Weights, rest: Any
    ) -> Tensor:
        """Returns the loss of a training step.

        Args:
            losses: Loss of each task, scalars.
            present: For each task where its labels are not missing, `(batch,)`, 0 or
                1; `None` means all.
            rest: What no task has a part in, a scalar.
        """
        weights = ops.unstack(self.task_weights(), len(self.kinds))
        pairs = zip(weights, losses.values(), strict=True)
        total: Tensor = sum((weight * loss for weight, loss in pairs), start=rest)
        return total

    def task_weights(self) -> Tensor:
        """Returns the factor on the loss of each task, `(num_tasks,)`."""
        return ops.ones((len(self.kinds),))

    def after_epoch(self, logs: Mapping[str, Any]) -> None:
        """Is called at the end of each epoch with its logs."""

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Balance":
        """Returns a new object, without state."""
        return cls(**config)


class GradientBalance(Balance):
    """What works on the gradients of the tasks, by TensorFlow."""

    def build(self, model: Any, kinds: Mapping[str, str]) -> None:
        if keras.backend.backend() != "tensorflow":
            raise ValueError(
                f"{type(self).__name__} needs the gradients of each task: it works on "
                f"TensorFlow only. Received: backend {keras.backend.backend()!r}"
            )
        super().build(model, kinds)

    def total(
        self, losses: Mapping[str, Tensor], present: Weights, rest: Any
    ) -> Tensor:
        rest = ops.convert_to_tensor(rest, "float32")
        total = super().total(losses, present, rest)
        self.kept.put(([*losses.values()], rest, total))
        return total

    def gradients(
        self, tape: Any, model: keras.Model, scale: Callable[[Tensor], Tensor]
    ) -> list[Gradient]:
        """Returns the gradient of each trainable weight of a model, or `None`.

        Args:
            tape: Persistent, with the forward pass and the loss.
            model: The model.
            scale: Function on losses, for mixed precision; the tape watches it.
        """
        raise NotImplementedError


def align(column: Sequence[Gradient]) -> list[Gradient]:
    """Gradients of one weight by task, on the same rows; zeros for `None`."""
    import tensorflow as tf

    known = [g for g in column if g is not None]
    if not all(isinstance(g, tf.IndexedSlices) for g in known):
        dense = [None if g is None else tf.convert_to_tensor(g) for g in column]
        zeros = tf.zeros_like(tf.convert_to_tensor(known[0]))
        return [zeros if g is None else g for g in dense]
    ids, places = tf.unique(tf.concat([g.indices for g in known], axis=0))
    places = tf.split(places, [tf.shape(g.indices)[0] for g in known])
    num, here = tf.shape(ids)[0], iter(places)
    rows = [
        None if g is None else tf.math.unsorted_segment_sum(g.values, next(here), num)
        for g in column
    ]
    zeros = tf.zeros_like(next(r for r in rows if r is not None))
    shape = known[0].dense_shape
    return [tf.IndexedSlices(zeros if r is None else r, ids, shape) for r in rows]


def values_of(gradient: Gradient) -> Any:
    return getattr(gradient, "values", gradient)


def times(gradient: Gradient, factor: Operand | None) -> Gradient:
    import tensorflow as tf

    if gradient is None or factor is None:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        values = gradient.values * factor
        return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
    return gradient * factor


def total_of(gradients: Sequence[Gradient]) -> Gradient:
    """The sum of gradients of one weight; sparse if all are."""
    import tensorflow as tf

    known = [g for g in gradients if g is not None]
    if not known:
        return None
    if all(isinstance(g, tf.IndexedSlices) for g in known):
        values = tf.concat([g.values for g in known], axis=0)
        indices = tf.concat([g.indices for g in known], axis=0)
        return tf.IndexedSlices(values, indices, known[0].dense_shape)
    return tf.add_n([tf.convert_to_tensor(g) for g in known])


class Recorded(keras.losses.Loss):
    """A loss whose value can be asked for after Keras has summed all losses.

    Args:
        loss: The loss, an object or a function of labels and predictions.
    """

    def __init__(self, loss: Loss) -> None:
        super().__init__(name=getattr(loss, "name", None))
        self.loss = loss
        self.kept = Kept()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        if isinstance(self.loss, keras.losses.Loss):
            value = self.loss(y_true, y_pred, sample_weight)
        else:
            value = super().__call__(y_true, y_pred, sample_weight)
        self.kept.put(value)
        return value

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        return self.loss(y_true, y_pred)
