"""The one comparison of floats that all tests use."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def close(actual: Any, expected: Any, terms: int = 10, dtype: str = "float32") -> None:
    """Asserts that two results differ by rounding at most.

    A sum of `terms` numbers rounds by at most `terms * eps` of the sum of their
    absolute values. That sum is not known here: near zero, where terms cancel, one of
    the larger of 1 and the largest expected value stands for it.

        |actual - expected| <= terms * eps * (|expected| + max(1, max |expected|))

    Args:
        actual: Array, number, or a mapping of names to such, in any order.
        expected: The same of the reference. NaN equals NaN, and inf itself.
        terms: Numbers that are summed, or rounded one after another, on the way to
            one result: the width of a layer times the number of layers, for example.
        dtype: Type in which the sums were made.

    Raises:
        AssertionError: If they differ by more, or in shape.
    """
    if isinstance(expected, Mapping):
        assert set(actual) == set(expected)
        for name, value in expected.items():
            close(actual[name], value, terms, dtype)
        return
    actual, expected = _array(actual), _array(expected)
    assert actual.shape == expected.shape, f"{actual.shape} is not {expected.shape}"
    rtol = terms * float(np.finfo(dtype).eps)
    finite = np.abs(expected[np.isfinite(expected)])
    atol = rtol * max(1.0, finite.max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def _array(values: Any) -> np.ndarray:
    if keras.ops.is_tensor(values) or isinstance(values, keras.Variable):
        values = keras.ops.convert_to_numpy(values)
    return np.asarray(values, "float64")
