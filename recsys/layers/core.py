"""Feed-forward blocks, towers, heads, and losses that live inside a model."""

import contextlib
import itertools
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Task
from recsys.feature._names import given_name, layer_name
from recsys.layers.activation import Dice, get_activation
from recsys.layers.base import Layer
from recsys.layers.kept import Kept
from recsys.saving import saved

_compiler = threading.local()


@contextlib.contextmanager
def for_xla(compiled: bool) -> Iterator[None]:
    """Tells the layers called inside whether XLA will compile them."""
    before = getattr(_compiler, "is_xla", False)
    _compiler.is_xla = compiled
    try:
        yield
    finally:
        _compiler.is_xla = before


def shapes_may_vary() -> bool:
    """Whether a shape may depend on values: not where XLA compiles."""
    return keras.backend.backend() != "jax" and not getattr(_compiler, "is_xla", False)


def as_shapes(input_shape: Any) -> list[tuple[Any, ...]]:
    """Returns the shapes of a layer's inputs, whether it has one or a list.

    A file has lists where a live model has tuples.
    """
    several = isinstance(input_shape[-1], (list, tuple))
    return [tuple(shape) for shape in (input_shape if several else [input_shape])]


@saved
class Dropout(keras.layers.Dropout):
    """Keras' dropout of single units, with less to draw on TensorFlow.

    There the random bits are most of its time. 16 of them, half of what Keras draws,
    say whether a unit is dropped, with a probability of `rate` to the nearest 65536th.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        ours = keras.backend.backend() == "tensorflow" and self.noise_shape is None
        if not (ours and training and self.rate > 0):
            return super().call(inputs, training=training)
        import tensorflow as tf

        dropped = min(round(self.rate * 65536), 65535)
        units = tf.size(inputs)
        bits = tf.random.stateless_uniform(
            [(units + 1) // 2],
            tf.cast(self.seed_generator.next(), "int32"),
            minval=None,
            maxval=None,
            dtype="int32",
        )
        bits = tf.reshape(tf.bitcast(bits, "int16"), [-1])[:units]
        kept = tf.reshape(bits >= dropped - 32768, tf.shape(inputs))
        return inputs * (tf.cast(kept, inputs.dtype) * (65536 / (65536 - dropped)))


@saved
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch normalisation of the last axis, in one operation on TensorFlow."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        usual = (self.axis, self.scale, self.center) == (-1, True, True)
        usual &= not (self.renorm or self.synchronized) and mask is None
        usual &= keras.backend.backend() == "tensorflow" and shapes_may_vary()
        usual &= self.compute_dtype == "float32"
        if not (usual and training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        rows = tf.reshape(inputs, [-1, 1, 1, inputs.shape[-1]])
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=rows,
            scale=self.gamma,
            offset=self.beta,
            mean=[],
            variance=[],
            epsilon=self.epsilon,
        )
        n = tf.cast(tf.shape(rows)[0], "float32")
        variance *= tf.maximum(n - 1, 1) / n  # it is that of a sample
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1 - self.momentum) * new)
        return tf.reshape(y, tf.shape(inputs))


def dropout(rate: float, **kwargs: Any) -> Dropout:
    """Returns a Dropout layer that draws from a generator of its own.

    Without a seed Keras draws from PyTorch's global generator there, whose state no
    file holds. The seed itself follows `keras.utils.set_random_seed`.
    """
    return Dropout(rate, seed=random.randrange(2**31), **kwargs)


def layer_norm(**kwargs: Any) -> keras.layers.Layer:
    """Returns a LayerNormalization whose epsilon does not drown small embeddings.

    Keras' default of 1e-3 is above the variance of a new table's rows.
    """
    return keras.layers.LayerNormalization(**{"epsilon": 1e-5, **kwargs})


def batch_norm(**kwargs: Any) -> BatchNorm:
    """Returns a BatchNorm for large batches and small embeddings.

    Keras' epsilon of 1e-3 is above the variance that new tables give. Its momentum of
    0.99 needs hundreds of steps to forget the start, and batches of thousands make an
    epoch of a few dozen.
    """
    return BatchNorm(**{"momentum": 0.9, "epsilon": 1e-5, **kwargs})


class FeedForwardLayer(Layer):
    """An MLP: for each size Dense, batch normalisation, activation, dropout.

    The last layer has all of them too; a logit comes from `Tower`.

    Masking: positions that are not `valid` do not count in the statistics of Dice.
    Batch normalisation counts them: keep `use_bn` for inputs without padding.

    Args:
        hidden_units: Size of each layer, one number for a single layer.
        activation: See `get_activation`; a fresh one for each layer.
        l2_reg: Penalty `l2_reg * sum of squares` on the kernels.
        dropout_rate: Fraction of units dropped in training, in [0, 1).
        use_bn: Whether to normalise before the activation.
    Call arguments:
        inputs: `(batch, ..., width)`.
        valid: `inputs.shape[:-1]`, bool; `None` means all.
    Returns:
        `(batch, ..., hidden_units[-1])`; `inputs` if there are no hidden units.
    Raises:
        ValueError: If a size is less than 1.
    """

    def __init__(
        self,
        hidden_units: int | Sequence[int],
        activation: str | Callable[..., Any] | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout_rate: float = 0.0,
        use_bn: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if isinstance(hidden_units, int):
            hidden_units = (hidden_units,)
        if any(units < 1 for units in hidden_units):
            raise ValueError(
                f"Layer {self.name!r}: hidden_units must be sizes of at least 1. "
                f"Received: hidden_units={hidden_units}"
            )
        self.hidden_units = tuple(hidden_units)
        self.activation = activation
        self.l2_reg = l2_reg
        self.dropout_rate = dropout_rate
        self.use_bn = use_bn
        same = {"dtype": self.dtype_policy}
        regularizer = keras.regularizers.L2(l2_reg) if l2_reg else None
        self.dense = [
            keras.layers.Dense(
                units, kernel_regularizer=regularizer, name=f"dense_{i}", **same
            )
            for i, units in enumerate(self.hidden_units)
        ]
        self.norms = [
            batch_norm(name=f"bn_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
            if use_bn
        ]
        self.activations = [
            get_activation(activation, name=f"activation_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
        ]
        self.dropouts = [
            dropout(dropout_rate, name=f"dropout_{i}", **same)
            for i, _ in enumerate(self.hidden_units)
            if dropout_rate
        ]

    def build(self, input_shape: Any) -> None:
        shape = tuple(input_shape)
        for i, units in enumerate(self.hidden_units):
            self.dense[i].build(shape)
            shape = (*shape[:-1], units)
            for layer in (*self.norms[i : i + 1], self.activations[i]):
                layer.build(shape)

    def call(self, inputs: Any, valid: Any = None, training: bool = False) -> Any:
        if not self.hidden_units:
            return inputs
        return self.behind_first(self.dense[0](inputs), valid, training)

    def behind_first(self, x: Any, valid: Any, training: bool) -> Any:
        """Returns the output, given that of the first Dense layer."""
        for i in range(len(self.hidden_units)):
            x = self.dense[i](x) if i else x
            if self.use_bn:
                x = self.norms[i](x, training=training)
            if isinstance(self.activations[i], Dice):
                x = self.activations[i](x, valid=valid, training=training)
            else:
                x = self.activations[i](x)
            if self.dropout_rate:
                x = self.dropouts[i](x, training=training)
        return x

    def compute_output_shape(self, input_shape: Any) -> Any:
        width = self.hidden_units[-1] if self.hidden_units else input_shape[-1]
        return (*input_shape[:-1], width)


class Tower(FeedForwardLayer):
    """An MLP that ends in logits: Dense without activation, norm or dropout.

    Logits are float32 under every dtype policy.

    Args:
        num_logits: Logits per row; the classes of a multiclass task.
        use_bias: Whether the logits have a bias. A model has one global bias: off
            where another part of the model has it.
    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, num_logits)`, float32.
    """

    def __init__(
        self,
        hidden_units: int | Sequence[int],
        activation: str | Callable[..., Any] | dict[str, Any] | None = "relu",
        l2_reg: float = 0.0,
        dropout_rate: float = 0.0,
        use_bn: bool = False,
        num_logits: int = 1,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            hidden_units, activation, l2_reg, dropout_rate, use_bn, **kwargs
        )
        self.num_logits = num_logits
        self.use_bias = use_bias
        self.logit = keras.layers.Dense(
            num_logits, use_bias=use_bias, dtype="float32", name="logit"
        )

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.logit.build(super().compute_output_shape(input_shape))

    def call(self, inputs: Any, valid: Any = None, training: bool = False) -> Any:
        return self.logit(super().call(inputs, valid=valid, training=training))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.num_logits)


class Bias(Layer):
    """The sum of its inputs and one trainable number: a model's global bias.

    Of several logits each has a number of its own.

    Call arguments:
        inputs: List of `(batch, num_logits)`.
    Returns:
        `(batch, num_logits)`, float32.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def build(self, input_shape: Any) -> None:
        num_logits = as_shapes(input_shape)[0][-1]
        self.bias = self.add_weight((num_logits,), initializer="zeros", name="bias")

    def call(self, inputs: Sequence[Any]) -> Any:
        return sum(inputs, start=self.bias)


def split(x: Any, widths: Sequence[int]) -> list[Any]:
    """Cuts the last axis into parts of the given widths, one or more.

    A single one is the whole: TensorFlow takes no empty list of cuts.
    """
    cuts = list(itertools.accumulate(widths))[:-1]
    return list(ops.split(x, cuts, axis=-1)) if cuts else [x]


class Split(Layer):
    """Cuts the last axis into parts of the given widths.

    Call arguments:
        inputs: `(batch, ..., sum of widths)`.
    Returns:
        List of `(batch, ..., width)`.
    """

    def __init__(self, widths: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widths = tuple(widths)

    def call(self, inputs: Any) -> list[Any]:
        return split(inputs, self.widths)


class Stack(Layer):
    """From a list of `(batch, dim)` to `(batch, len(list), dim)`."""

    def call(self, inputs: Sequence[Any]) -> Any:
        return ops.stack(inputs, axis=1)


class Unstack(Layer):
    """From `(batch, n, dim)` to a list of n `(batch, dim)`."""

    def call(self, inputs: Any) -> list[Any]:
        return list(ops.unstack(inputs, inputs.shape[1], axis=1))


class Zeros(Layer):
    """Zeros for each row: `(batch, dim)`.

    Args:
        dim: How many.
    Call arguments:
        inputs: Any tensor, `(batch, ...)`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim

    def call(self, inputs: Any) -> Any:
        return ops.zeros((ops.shape(inputs)[0], self.dim), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.dim)


class SumUnits(Layer):
    """From `(batch, width)` to the sum of each row, `(batch, 1)`, float32."""

    def call(self, inputs: Any) -> Any:
        return ops.sum(ops.cast(inputs, "float32"), axis=-1, keepdims=True)


class WeightedSum(Layer):
    """Sum of its inputs, each times a trainable number that starts at 1.

    Call arguments:
        inputs: List of `(batch, width)`.
    Returns:
        `(batch, width)`.
    """

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(
            shape=(len(input_shape),), initializer="ones", name="scale"
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        terms = [x * self.scale[i] for i, x in enumerate(inputs)]
        return sum(terms[1:], start=terms[0])


class AppendOne(Layer):
    """Appends 1 to a vector: the factor of a bias in a dot product.

    Call arguments:
        inputs: `(batch, ..., dim)`.
    Returns:
        `(batch, ..., dim + 1)`.
    """

    def call(self, inputs: Any) -> Any:
        return ops.concatenate([inputs, ops.ones_like(inputs[..., :1])], axis=-1)


class UnitLength(Layer):
    """Divides a vector by its length, float32; zeros stay zero, in every export.

    Call arguments:
        inputs: `(batch, ..., dim)`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Any) -> Any:
        squares = ops.sum(ops.square(inputs), axis=-1, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-24))


class Identity(Layer):
    """Returns its input; it gives an output its name."""

    def call(self, inputs: Any) -> Any:
        return inputs


class StopGradient(Layer):
    """Returns its input; no gradient passes."""

    def call(self, inputs: Any) -> Any:
        return ops.stop_gradient(inputs)


class PredictLayer(Layer):
    """The head of a task: from logits to a prediction, in float32.

    The prediction is exactly the activation of the logit, sigmoid for a binary
    task, softmax for a multiclass one and exp for a count; no bias is added on the
    way. The logit is kept for the loss of the step (`recsys.train.Model`).

    Args:
        task: `"binary"`, `"regression"`, `"multiclass"` or `"count"`.
        num_classes: Classes of a multiclass task.
        as_logit: Whether to return the logit itself.
        use_bias: Bias of the Dense layer, where there is one.
        is_task: Whether losses and metrics given for all tasks are for this one too;
            off for what follows from tasks, and has labels only by its name.
        requires: Name of a binary task that must be 1 where this one is, as a
            conversion needs a click.
    Call arguments:
        inputs: `(batch, num_logits)`, or a list of them, which is summed; an input
            of another width passes a Dense layer to become a logit.
    Returns:
        `(batch, num_logits)`; one logit unless the task is multiclass.
    Raises:
        ValueError: If the task is unknown, logits in a list differ in width, or there
            is one logit for several classes.
    """

    def __init__(
        self,
        task: str,
        num_classes: int = 1,
        as_logit: bool = False,
        use_bias: bool = True,
        is_task: bool = True,
        requires: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        Task(given_name(self.name), task, num_classes)  # type: ignore[arg-type]  # checks them
        self.task = task
        self.num_classes = num_classes
        self.as_logit = as_logit
        self.use_bias = use_bias
        self.is_task = is_task
        self.requires = requires
        self.kept = Kept()

    def build(self, input_shape: Any) -> None:
        shapes = as_shapes(input_shape)
        widths = {shape[-1] for shape in shapes}
        if self.num_classes > 1 and 1 in widths:
            raise ValueError(
                f"Task {given_name(self.name)!r}: this model computes one logit a row, "
                "for any but a multiclass task, which has one for each class. "
                f"Received: belong={self.task!r}, num_classes={self.num_classes}"
            )
        if len(widths) > 1:
            raise ValueError(
                f"Task {given_name(self.name)!r}: logits that are summed must have one "
                f"width. Received: widths {sorted(widths)}"
            )
        if widths != {self.num_classes}:
            self.dense = keras.layers.Dense(
                self.num_classes, use_bias=self.use_bias, dtype="float32", name="logit"
            )
            self.dense.build(shapes[0])

    def call(self, inputs: Any) -> Any:
        if isinstance(inputs, (list, tuple)):
            inputs = sum(inputs[1:], start=inputs[0])
        logit = inputs
        if hasattr(self, "dense"):
            logit = self.dense(logit)
        self.kept.put(logit)
        if self.as_logit or self.task == "regression":
            return logit
        activations = {"binary": ops.sigmoid, "multiclass": ops.softmax}
        return activations.get(self.task, ops.exp)(logit)


def predict(task: Task | Sequence[Task], logits: Any) -> Any:
    """Ends a model: from logits to the outputs of its tasks.

    Args:
        task: The task, or several.
        logits: The logit of the task, `(batch, num_classes)`, or a list of logits to
            be summed. For several tasks, one such entry for each.

    Returns:
        For one task its prediction, or with `return_logit` the dict `{task.name:
        prediction, "logit": logit}`. For several, a dict of predictions by name in
        the order of the tasks.

    Raises:
        ValueError: See `check_tasks`.
    """
    if isinstance(task, Task):
        head = _head(task)
        if not task.return_logit:
            return head(logits)
        logit = PredictLayer(task.belong, as_logit=True, name="logit")(logits)
        return {task.name: head(logit), "logit": logit}
    check_tasks(task)
    return {t.name: _head(t)(logit) for t, logit in zip(task, logits, strict=True)}


def _head(task: Task) -> PredictLayer:
    name = layer_name(task.name)
    return PredictLayer(task.belong, task.num_classes, name=name)


def check_tasks(task_list: Sequence[Task]) -> None:
    """Raises `ValueError` if tasks cannot be the outputs of one model.

    There must be one at least, and none may share its name with another or with what
    models name themselves.
    """
    names = [task.name for task in task_list]
    if not names or len(set(names)) < len(names) or {"shared", "logit"} & set(names):
        raise ValueError(
            "Tasks must have distinct names, none of them 'shared' or 'logit'. "
            f"Received: {names}"
        )


def task_towers(
    task_list: Sequence[Task],
    inputs: Sequence[Any],
    hidden_units: Sequence[int],
    activation: str | Callable[..., Any],
    l2_reg: float,
    dropout: float,
    use_bn: bool,
) -> dict[str, Any]:
    """Ends a model of several tasks: a tower and a head for each.

    Args:
        task_list: The tasks.
        inputs: What the tower of each task gets, `(batch, width)`.
        hidden_units, activation, l2_reg, dropout, use_bn: Of the towers, which are
            named `dnn_tower_<task>`.

    Raises:
        ValueError: See `check_tasks`.
    """
    logits = [
        Tower(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            num_logits=task.num_classes,
            name=layer_name(f"dnn_tower_{task.name}"),
        )(x)
        for task, x in zip(task_list, inputs, strict=True)
    ]
    return predict(task_list, logits)  # type: ignore[no-any-return]


class Derived(Layer):
    """A layer with weights that follow from others and are read in prediction.

    `recsys.train.Model` has them computed when it is trained, and before it predicts,
    evaluates, is saved or exported.
    """

    def refresh(self) -> None:
        """Computes them."""
        raise NotImplementedError


class LossLayer(Layer):
    """A loss on tensors inside the model, for what the outputs do not show.

    `call` keeps the tensors in `self.kept` and returns what the rest of the model
    goes on with; `loss` is asked once after the forward pass of a training or test
    step. Prediction and export carry none of it. (Keras' `add_loss` loses losses on
    JAX.)

    Args:
        weight: Factor on the loss; `compile(loss_weights=...)` may replace it.
        sample_weight: Column of `x` that weighs the rows of a model without labels.
    """

    def __init__(
        self, weight: float = 1.0, sample_weight: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.weight = weight
        self.sample_weight = sample_weight
        self.loss_fn: Any = None  # set by `compile(loss=[...])`
        self.kept = Kept()
        self.num = Kept()

    @property
    def reads(self) -> dict[str, tuple[int, ...] | None]:
        """Columns of `x` that the loss reads, and their shapes without the batch axis.

        The model need not have them as inputs. `None` is any shape.
        """
        return {} if self.sample_weight is None else {self.sample_weight: ()}

    def bind(self, model: Any) -> None:
        """Is called with the model the layer is a part of, also after loading.

        A loss may need other layers of it. Keep a function, not the model: Keras
        would take it for a layer of this one.
        """

    def loss(
        self,
        labels: Mapping[str, Any],
        weights: Mapping[str, Any],
        x: Mapping[str, Any],
        training: bool,
    ) -> Any:
        """Returns the loss of the batch, a scalar, before `weight`.

        Args:
            labels: Labels by task, each `(batch, 1)`, of the type they came in and
                without missing values; empty if the model is trained without.
            weights: Weights by task, each `(batch,)`, or `None` for ones: with them
                the mean over the batch is that over the rows that have a label.
            x: The columns of the batch.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def divisor(self, rows: Any, valid: Mapping[str, Any]) -> Any:
        """Returns the number of rows, steps or items the last `loss` was a mean over.

        It is what `loss` put into `self.num`, or else the number of rows with a label
        of the first task, or of all.

        Args:
            rows: Rows of the batch, a scalar.
            valid: Rows with a label by task, scalars.
        """
        return [*self.num.take(), next(iter(valid.values()), rows)][0]
