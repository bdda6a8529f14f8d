"""Optimizers that update the rows a batch touches, and the dict of several.

Keras' own optimizers, given the gradient of an embedding on TensorFlow, square the
parts of a repeated id instead of their sum, and read or write the whole table. These
sum the gradients of equal ids first and then treat the rows of the batch as if they
were the variable. Adagrad, RowWiseAdagrad and plain SGD thereby equal their dense
selves exactly, at a cost that does not depend on the size of the table. Adam, FTRL
and SGD with momentum are *lazy* on tables: a row that is not in the batch stays as it
is, its momentum too. Weight decay is lazy likewise. Variables other than tables are
treated as in Keras.

On JAX and PyTorch the gradient of a table is dense. A row of it that is all zero
counts as untouched, so that the numbers are those of TensorFlow; the speed is not.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._names import layer_name
from recsys.layers.initial import in_place
from recsys.saving import saved

LARGE_TABLE = 100_000
"""Rows from which a table is slow to train with an optimizer that is not of ours."""


class RowOptimizer(keras.optimizers.Optimizer):
    """What the optimizers below share; each says what its slots and its step are.

    It stands before a Keras optimizer in the list of bases, which brings arguments
    and config.
    """

    def slots(self) -> Mapping[str, Any]:
        """Returns the initializer of each slot, by name."""
        raise NotImplementedError

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        """Returns what to subtract from a variable, and its new slots.

        Serves a whole variable and some rows of a table alike.

        Args:
            gradient: Of the variable or its rows.
            slots: Of the variable or its rows.
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

    def build(self, variables: Sequence[Any]) -> None:
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
    def variables(self) -> "list[Any]":
        """The state. A list that may also be called, as in version 1."""
        return _CallableList(super().variables)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; called by Keras."""
        slots = self._slots[self._get_variable_index(variable)]
        rate = ops.cast(learning_rate, variable.dtype)
        if _is_sparse(gradient):
            if len(variable.shape) > 1:
                self._update_rows(gradient, variable, slots, rate)
                return
            gradient = _dense(gradient)  # a vector has no rows
        gradient = ops.cast(gradient, variable.dtype)
        old = [ops.convert_to_tensor(slot) for slot in slots]
        step, new = self._decayed_step(
            gradient, old, rate, variable, lambda: ops.convert_to_tensor(variable)
        )
        if getattr(variable, "is_table", False) and self.moves_at_zero():
            step, new = _still_where_zero(gradient, step, old, new)
        for slot, after in zip(slots, new, strict=True):
            self.assign(slot, after)
        self.assign_sub(variable, step)

    def _update_rows(
        self, gradient: Any, variable: Any, slots: Sequence[Any], rate: Any
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
        gradient: Any,
        slots: Sequence[Any],
        rate: Any,
        variable: Any,
        value: Callable[[], Any],
    ) -> tuple[Any, Sequence[Any]]:
        if not self.weight_decay or not self._use_weight_decay(variable):
            return self.step(gradient, slots, rate, value)
        decay = value() * self.weight_decay * rate
        step, new = self.step(gradient, slots, rate, lambda: value() - decay)
        return decay + step, new

    def _apply_weight_decay(self, variables: Sequence[Any]) -> None:
        """Nothing: it is part of the step, and touches the rows of the batch only."""

    def _clip_gradients(self, gradients: Sequence[Any]) -> Sequence[Any]:
        clips = self.clipnorm or self.clipvalue or self.global_clipnorm
        if not clips or not any(_is_sparse(g) for g in gradients):
            return super()._clip_gradients(gradients)  # type: ignore[no-any-return]
        import tensorflow as tf

        gradients = [_sum_equal_ids(g) if _is_sparse(g) else g for g in gradients]
        if self.global_clipnorm:  # Keras' own would make the tables dense
            return tf.clip_by_global_norm(gradients, self.global_clipnorm)[0]  # type: ignore[no-any-return]
        return super()._clip_gradients(gradients)  # type: ignore[no-any-return]


@saved
class Adam(RowOptimizer, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015), lazy on tables.

    A row moves when it is in the batch, by its own moments and with the bias
    correction of the global step. `weight_decay` is decoupled: AdamW.

    Args:
        *args, **kwargs: Those of `keras.optimizers.Adam`; the learning rate is 0.001
            by default.
    """

    def slots(self) -> Mapping[str, Any]:
        names = ["momentum", "velocity", *(["velocity_hat"] if self.amsgrad else [])]
        return dict.fromkeys(names, "zeros")

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        m, v, *v_hat = slots
        t = ops.cast(self.iterations + 1, gradient.dtype)
        alpha = (
            learning_rate
            * ops.sqrt(1 - ops.power(ops.cast(self.beta_2, gradient.dtype), t))
            / (1 - ops.power(ops.cast(self.beta_1, gradient.dtype), t))
        )
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (ops.square(gradient) - v) * (1 - self.beta_2)
        v_hat = [ops.maximum(v_hat[0], v)] if v_hat else []
        scale = v_hat[0] if v_hat else v
        return m * alpha / (ops.sqrt(scale) + self.epsilon), [m, v, *v_hat]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one variable; called by Keras.

        TensorFlow has the step as one pass over memory, four times as fast as `step`
        on large kernels. It knows neither tables, weight decay nor AMSGrad.
        """
        if (
            keras.backend.backend() != "tensorflow"
            or _is_sparse(gradient)
            or getattr(variable, "is_table", False)
            or self.weight_decay
            or self.amsgrad
        ):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        m, v = self._slots[self._get_variable_index(variable)]
        t = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, t.dtype), t),
            beta2_power=tf.pow(tf.cast(self.beta_2, t.dtype), t),
            lr=tf.cast(learning_rate, t.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, t.dtype),
        )


@saved
class Adagrad(RowOptimizer, keras.optimizers.Adagrad):
    """Adagrad (Duchi et al. 2011); on tables exactly the dense result.

    Args:
        learning_rate: 0.05 by default. (Keras has 0.001, which hardly moves an
            embedding.)
        *args, **kwargs: Those of `keras.optimizers.Adagrad`.
    """

    def __init__(self, learning_rate: Any = 0.05, *args: Any, **kwargs: Any) -> None:
        super().__init__(learning_rate, *args, **kwargs)

    def slots(self) -> Mapping[str, Any]:
        start = keras.initializers.Constant(self.initial_accumulator_value)
        return {"accumulator": start}

    def moves_at_zero(self) -> bool:
        return bool(self.weight_decay)

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        accumulator = slots[0] + ops.square(gradient)
        step = learning_rate * gradient / ops.sqrt(accumulator + self.epsilon)
        return step, [accumulator]


@saved
class RowWiseAdagrad(Adagrad):
    """Adagrad with one accumulator per row: the mean of the squared gradient.

    The state of a table of width d shrinks d-fold. A variable of one axis counts as
    one row.

    Args:
        *args, **kwargs: Those of `Adagrad`.
    Reference:
        Naumov et al., Deep Learning Recommendation Model, 2019, section 3 (the
        optimizer of its code); Mudigere et al., ISCA 2022, section 4.1.3.
    """

    def slot_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:-1]

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        accumulator = slots[0] + ops.mean(ops.square(gradient), axis=-1)
        root = ops.sqrt(ops.expand_dims(accumulator, -1) + self.epsilon)
        return learning_rate * gradient / root, [accumulator]


@saved
class FTRL(RowOptimizer, keras.optimizers.Ftrl):
    """Follow the regularized leader (McMahan et al. 2013), for sparse linear parts.

    Args:
        learning_rate: 0.05 by default.
        *args, **kwargs: Those of `keras.optimizers.Ftrl`.
    """

    def __init__(self, learning_rate: Any = 0.05, *args: Any, **kwargs: Any) -> None:
        super().__init__(learning_rate, *args, **kwargs)

    def slots(self) -> Mapping[str, Any]:
        start = keras.initializers.Constant(self.initial_accumulator_value)
        return {"accumulator": start, "linear": "zeros"}

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        accumulator, linear = slots
        old = value()
        power = -self.learning_rate_power
        l1 = self.l1_regularization_strength
        l2 = self.l2_regularization_strength + self.beta / (2 * learning_rate)
        shrunk = gradient + 2 * self.l2_shrinkage_regularization_strength * old
        after = accumulator + ops.square(gradient)
        sigma = (ops.power(after, power) - ops.power(accumulator, power)) / (
            learning_rate
        )
        linear = linear + shrunk - sigma * old
        quadratic = ops.power(after, power) / learning_rate + 2 * l2
        new = (ops.clip(linear, -l1, l1) - linear) / quadratic
        return old - new, [after, linear]


@saved
class SGD(RowOptimizer, keras.optimizers.SGD):
    """Stochastic gradient descent; with momentum, lazy on tables.

    Args:
        *args, **kwargs: Those of `keras.optimizers.SGD`; the learning rate is 0.01
            by default.
    """

    def slots(self) -> Mapping[str, Any]:
        return {"momentum": "zeros"} if self.momentum else {}

    def moves_at_zero(self) -> bool:
        return bool(self.momentum or self.weight_decay)

    def step(
        self, gradient: Any, slots: Sequence[Any], learning_rate: Any, value: Any
    ) -> tuple[Any, Sequence[Any]]:
        step = learning_rate * gradient
        if not slots:
            return step, []
        momentum = slots[0] * self.momentum - step
        return (step - momentum * self.momentum if self.nesterov else -momentum), [
            momentum
        ]


_TWINS = {
    keras.optimizers.Adam: Adam,
    keras.optimizers.AdamW: Adam,
    keras.optimizers.Adagrad: Adagrad,
    keras.optimizers.Ftrl: FTRL,
    keras.optimizers.SGD: SGD,
}
_NAMES = {
    "adam": Adam,
    "adagrad": Adagrad,
    "rowwiseadagrad": RowWiseAdagrad,
    "ftrl": FTRL,
    "sgd": SGD,
}


def exempt_from_decay(optimizer: Any, variables: Sequence[Any]) -> None:
    """Turns weight decay off for variables, beside those it is off for already."""
    for part in getattr(optimizer, "_inner_optimizers", [optimizer]):
        known: set[Any] = getattr(part, "_exclude_from_weight_decay", set())
        keys = {part._var_key(variable) for variable in variables}
        part._exclude_from_weight_decay = known | keys


@saved
class OptimizerByPrefix(keras.optimizers.MultiOptimizer):
    """One optimizer made of several, each for the variables with a prefix.

    The components of a variable's path are tried from left to right; the first that
    starts with a key decides, and of several keys the longest. What no key matches
    goes to `"default"`.

    Clipping by global norm is over the variables of one part.

    Args:
        optimizers: Optimizer by prefix, with a `"default"`.
        loss_scale_factor: Of all parts.
        name: Name.

    Raises:
        ValueError: If there is no `"default"`, or a key has no variable.
    """

    def __init__(
        self,
        optimizers: Mapping[str, Any],
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ) -> None:
        if "default" not in optimizers:
            raise ValueError(
                "An optimizer dict needs a 'default' for the variables that no other "
                f"key matches. Received: keys {list(optimizers)}"
            )
        super().__init__(self._of, loss_scale_factor, name)
        self._by_key = {key: get(optimizer) for key, optimizer in optimizers.items()}
        self._inner_optimizers = list(self._by_key.values())

    def key(self, path: str) -> str:
        """Returns the key that a variable's path belongs to."""
        for component in path.split("/"):
            matching = [
                key
                for key in self._by_key
                if key != "default"
                and component.startswith(layer_name(key.replace("/", "_")))
            ]
            if matching:
                return max(matching, key=len)
        return "default"

    def assign_keys(self, variables: Sequence[Any]) -> dict[str, list[Any]]:
        """Returns the variables of each key.

        Raises:
            ValueError: If a key other than `"default"` has none.
        """
        by_key: dict[str, list[Any]] = {key: [] for key in self._by_key}
        for variable in variables:
            by_key[self.key(variable.path)].append(variable)
        idle = [key for key, of in by_key.items() if not of and key != "default"]
        if idle:
            first = sorted({variable.path.split("/")[0] for variable in variables})
            raise ValueError(
                f"Optimizer keys {idle} match no variable: none of its path's parts "
                f"starts with them. Received: paths that start with {first}"
            )
        return by_key

    def _of(self, variable: Any) -> Any:
        return self._by_key[self.key(variable.path)]

    def build(self, variables: Sequence[Any]) -> None:
        """Makes the slots of all parts."""
        self.assign_keys(variables)
        super().build(variables)

    def __getitem__(self, key: str) -> Any:
        return self._by_key[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_key)

    def __len__(self) -> int:
        return len(self._by_key)

    def get_config(self) -> dict[str, Any]:
        return {
            "optimizers": {
                key: keras.saving.serialize_keras_object(optimizer)
                for key, optimizer in self._by_key.items()
            },
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "OptimizerByPrefix":
        optimizers = {
            key: keras.saving.deserialize_keras_object(optimizer, custom_objects)
            for key, optimizer in config["optimizers"].items()
        }
        return cls(**{**config, "optimizers": optimizers})


def get(identifier: Any) -> Any:
    """Returns the optimizer to train with.

    A name and a stock Keras instance of Adam, AdamW, Adagrad, Ftrl or SGD become our
    optimizer of that kind with the same config; a dict of prefixes becomes an
    `OptimizerByPrefix`. Other instances are returned as they are.

    Args:
        identifier: Name, instance, serialized config, or dict.

    Raises:
        ValueError: If it is none of them.
    """
    if identifier is None:
        raise ValueError(
            "optimizer must be a name, an optimizer of Keras or a dict by prefix. "
            "Received: optimizer=None"
        )
    if isinstance(identifier, Mapping):
        if "class_name" not in identifier:
            return OptimizerByPrefix(identifier)
        identifier = keras.optimizers.deserialize(dict(identifier))
    if isinstance(identifier, str):
        name = identifier.lower().replace("_", "")
        if name in _NAMES:
            return _NAMES[name]()
    optimizer = keras.optimizers.get(identifier)
    twin = _TWINS.get(type(optimizer))
    return optimizer if twin is None else twin.from_config(optimizer.get_config())


def warn_if_slow(optimizer: Any, variables: Sequence[Any]) -> None:
    """Warns once if a large table will be trained by an optimizer not of ours."""
    large = [
        v.path
        for v in variables
        if getattr(v, "is_table", False) and v.shape[0] >= LARGE_TABLE
    ]
    parts = getattr(optimizer, "optimizers", [optimizer])
    others = {type(o).__name__ for o in parts if not isinstance(o, RowOptimizer)}
    if large and others:
        warnings.warn(
            f"{', '.join(sorted(others))} reads and writes all rows of a table in "
            f"every step; recsys.train.optimizers do not. Large tables: {large}",
            stacklevel=3,
        )


class _CallableList(list[Any]):
    def __call__(self) -> "_CallableList":
        return self


def _is_sparse(gradient: Any) -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return isinstance(gradient, tf.IndexedSlices)


def _dense(gradient: Any) -> Any:
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)  # that of Keras leaves it sparse


def _sum_equal_ids(gradient: Any) -> Any:
    import tensorflow as tf

    ids, position = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, position, tf.size(ids))
    return tf.IndexedSlices(values, ids, gradient.dense_shape)


def _still_where_zero(
    gradient: Any, step: Any, old: Sequence[Any], new: Sequence[Any]
) -> tuple[Any, list[Any]]:
    touched = ops.any(ops.not_equal(gradient, 0), axis=-1)

    def choose(after: Any, before: Any) -> Any:
        rows = touched
        while len(rows.shape) < len(after.shape):
            rows = ops.expand_dims(rows, -1)
        return ops.where(rows, after, before)

    slots = [choose(after, before) for after, before in zip(new, old, strict=True)]
    return choose(step, ops.zeros_like(step)), slots
