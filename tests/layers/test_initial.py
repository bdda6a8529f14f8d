"""Large initial values: the same as if they were small."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.layers import initial

KINDS = [
    keras.initializers.RandomUniform(seed=1),
    keras.initializers.RandomNormal(seed=2),
    keras.initializers.TruncatedNormal(seed=3),
    keras.initializers.GlorotUniform(seed=4),
    keras.initializers.Constant(0.1),
    keras.initializers.Zeros(),
    keras.initializers.Ones(),
]


@pytest.mark.parametrize("initializer", KINDS, ids=lambda kind: type(kind).__name__)
def test_values_are_those_of_the_initializer(monkeypatch, initializer) -> None:
    monkeypatch.setattr(initial, "LARGE", 1)
    options = tf.config.optimizer.get_experimental_options()
    for dtype in ("float32", "float16"):
        got = initial.in_place(initializer)((7, 3), dtype=dtype)
        wanted = initializer((7, 3), dtype=dtype)
        assert got.dtype == wanted.dtype
        np.testing.assert_array_equal(got, wanted)
    assert tf.config.optimizer.get_experimental_options() == options
