"""Initial values of large variables."""

import math
from collections.abc import Callable
from typing import Any

import keras

from recsys.types import Shape, Tensor

LARGE = 2**20
"""Numbers from which the memory of an initial value matters."""


def in_place(initializer: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an initializer whose only large memory is its result.

    On TensorFlow, operation by operation, a random one holds three arrays of the
    variable's size, a constant two. Compiled, each operation writes on its input. The
    values are the same.

    Args:
        initializer: Called with a shape and a type, as Keras does.
    """
    if keras.backend.backend() != "tensorflow":
        return initializer
    import tensorflow as tf

    def initial(shape: Shape, dtype: Any = None, **kwargs: Any) -> Tensor:
        known = initializer
        if math.prod(shape) < LARGE or isinstance(
            known, (keras.initializers.Zeros, keras.initializers.Ones)
        ):
            small: Tensor = known(shape, dtype=dtype, **kwargs)
            return small
        if isinstance(known, keras.initializers.Constant) and not tf.rank(known.value):
            value = tf.cast(known.value, dtype or keras.config.floatx())
            filled: Tensor = tf.fill(shape, value)
            return filled
        compiled = tf.function(
            lambda: known(shape, dtype=dtype, **kwargs), autograph=False
        )
        # Else TensorFlow computes the value to optimize the graph, and copies it.
        options = tf.config.optimizer.get_experimental_options()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        try:
            made: Tensor = compiled.get_concrete_function()()
            return made
        finally:
            tf.config.optimizer.set_experimental_options(options)

    return initial
