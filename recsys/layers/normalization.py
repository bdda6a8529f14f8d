"""Normalisation and dropout, with less to do per step than in Keras."""

import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import keras

from recsys.saving import saved
from recsys.types import Tensor

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


@saved
class Dropout(keras.layers.Dropout):
    """Keras' dropout of single units, with less to draw on TensorFlow.

    There the random bits are most of its time. 16 of them, half of what Keras draws,
    say whether a unit is dropped, with a probability of `rate` to the nearest 65536th.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
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
        scale: Tensor = tf.cast(kept, inputs.dtype) * (65536 / (65536 - dropped))
        return inputs * scale


@saved
class BatchNorm(keras.layers.BatchNormalization):
    """Keras' batch normalisation of the last axis, in one operation on TensorFlow."""

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
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
        shaped: Tensor = tf.reshape(y, tf.shape(inputs))
        return shaped


def make_dropout(rate: float, **kwargs: Any) -> Dropout:
    """Returns a Dropout layer that draws from a generator of its own.

    Without a seed Keras draws from PyTorch's global generator there, whose state no
    file holds. The seed itself follows `keras.utils.set_random_seed`.
    """
    return Dropout(rate, seed=random.randrange(2**31), **kwargs)


def layer_norm(**kwargs: Any) -> keras.layers.LayerNormalization:
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
