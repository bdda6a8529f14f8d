"""Activations with parameters of their own, one per unit."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
from keras import activations, ops
from keras.layers import Activation

from recsys.feature._constraints import Same
from recsys.layers.base import Layer
from recsys.saving import saved
from recsys.types import Shape, Tensor

__all__ = [
    "Activation",
    "Dice",
    "PRelu",
    "gelu",
    "get_activation",
    "serialize_activation",
]


class Dice(Layer):
    r"""Data adaptive activation (Zhou et al. 2018, DIN, section 5.2).

        p(s) = sigmoid((s - E[s]) / sqrt(Var[s] + epsilon))
        f(s) = p(s) s + (1 - p(s)) alpha s

    Masking: positions that are not `valid` do not count in E and Var.

    Args:
        momentum: Momentum of the moving averages that inference uses, in [0, 1).
        epsilon: Added to the variance.
    Call arguments:
        inputs: `(batch, ..., units)`; E and Var are per unit, over all other axes.
        valid: `inputs.shape[:-1]`, bool; `None` means all.
        training: Whether to use the statistics of the batch, and to average them.
    Returns:
        `inputs.shape`.
    Reference:
        Deep Interest Network for Click-Through Rate Prediction, KDD 2018.
    """

    def __init__(
        self, momentum: float = 0.99, epsilon: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        units = (input_shape[-1],)
        statistic: dict[str, Any] = {"trainable": False, "autocast": False}
        self.alpha = self.add_weight(shape=units, initializer="zeros", name="alpha")
        self.moving_mean = self.add_weight(
            shape=units, initializer="zeros", name="moving_mean", **statistic
        )
        self.moving_variance = self.add_weight(
            shape=units, initializer="ones", name="moving_variance", **statistic
        )

    def call(
        self, inputs: Tensor, valid: Tensor | None = None, training: bool = False
    ) -> Tensor:
        s = ops.cast(inputs, "float32")
        if training:
            centred, variance = self._batch_statistics(s, valid)
        else:
            centred, variance = s - self.moving_mean, self.moving_variance
        p = ops.cast(
            ops.sigmoid(centred * ops.rsqrt(variance + self.epsilon)), inputs.dtype
        )
        return inputs * (self.alpha + (1 - self.alpha) * p)

    def _batch_statistics(
        self, s: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Returns s - E[s] and Var[s], and moves the moving averages."""
        rows = ops.reshape(s, (-1, s.shape[-1]))
        if valid is None:
            weight = ops.ones_like(rows[:, :1])
        else:
            weight = ops.reshape(ops.cast(valid, "float32"), (-1, 1))
        count = ops.sum(weight)
        weight = ops.transpose(weight) / ops.maximum(count, 1.0)
        mean = ops.matmul(weight, rows)[0]  # a product is the fastest weighted sum
        centred = rows - mean
        variance = ops.matmul(weight, ops.square(centred))[0]
        # A batch of nothing but padding has no statistics and moves nothing.
        rate = (1 - self.momentum) * ops.cast(count > 0, "float32")
        for moving, batch in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            moving.assign(moving + rate * (ops.stop_gradient(batch) - moving))
        return ops.reshape(centred, ops.shape(s)), variance


class PRelu(Layer):
    """Parametric ReLU: max(0, s) + alpha min(0, s), one alpha per unit.

    Call arguments:
        inputs: `(batch, ..., units)`.
    Returns:
        `inputs.shape`.
    Reference:
        He et al., Delving Deep into Rectifiers, ICCV 2015, eq. 1.
    """

    def build(self, input_shape: Shape) -> None:
        self.alpha = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(0.25),
            name="alpha",
        )

    def call(self, inputs: Tensor) -> Tensor:
        return ops.relu(inputs) - self.alpha * ops.relu(-inputs)


def gelu(x: Tensor) -> Tensor:
    """GELU in its form with tanh, which every export knows (the exact one has erf)."""
    return ops.gelu(x, approximate=True)


saved(gelu)


@dataclass(frozen=True)
class KnownActivation(Same):
    """What `get_activation` makes a layer of."""

    wanted: ClassVar[str] = (
        "'dice', 'prelu', the name of an activation of Keras, a layer (no class), or a "
        "function of one tensor"
    )

    def accepts(self, value: Any) -> bool:
        if inspect.isclass(value):
            return False
        if not callable(value):
            return value in ("dice", "prelu") or _is_of_keras(value)
        try:
            signature = inspect.signature(value)
        except ValueError:  # a function of C need not have one
            return True
        try:
            signature.bind(None)
        except TypeError:
            return False
        first = next(iter(signature.parameters.values()))
        # `print` takes whatever there is.
        return first.kind is not first.VAR_POSITIONAL or not inspect.isbuiltin(value)


def _is_of_keras(name: Any) -> bool:
    try:
        activations.get(name)
    except ValueError:
        return False
    return True


def get_activation(
    name: str | Callable[..., Any] | dict[str, Any] | None, /, **kwargs: Any
) -> Any:
    """Returns a new layer for an activation: no two users share its parameters.

    Args:
        name: `"dice"`, `"prelu"`, a Keras name, a function, a layer (copied), or
            what `serialize_activation` returned for one of these.
        **kwargs: `name` and `dtype` of the layer.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(name, dict):
        name = keras.saving.deserialize_keras_object(name)
    if name == "dice":
        return Dice(**kwargs)
    if name == "prelu":
        return PRelu(**kwargs)
    if isinstance(name, keras.layers.Layer):
        return name.__class__.from_config({**name.get_config(), **kwargs})
    known = KnownActivation()
    if not known.accepts(name):
        raise ValueError(f"activation must be {known.wanted}. Received: {name!r}")
    return Activation(name, **kwargs)


def serialize_activation(name: Any) -> Any:
    """Returns what a layer's config holds for an activation."""
    if name is None or isinstance(name, (str, dict)):
        return name
    return keras.saving.serialize_keras_object(name)
