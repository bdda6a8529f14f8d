"""The one comparison of floats: equal but for rounding."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


def close(
    actual: Any,
    expected: Any,
    terms: int = 10,
    *,
    scale: float = 1.0,
    dtype: str = "float32",
) -> None:
    """Raises `AssertionError` if two results differ by more than rounding.

    A sum of n numbers has an error of n eps of its value where nothing cancels, and
    where the terms cancel one near sqrt(n) eps of their size (Higham and Mary, SIAM
    J. Sci. Comput. 2019):

        |actual - expected| <= n eps |expected| + sqrt(n) eps max(scale, |expected|)

    where the last |expected| is the largest of all.

    Args:
        actual: Array, number, or a mapping of names to such, in any order.
        expected: The same of the reference, or one number for all. NaN equals NaN.
        terms: n, the numbers that are summed, or rounded one after another, on the
            way to one result: the widths of all layers together, for example.
        scale: Size of what is summed, where it is not near 1.
        dtype: Type in which the sums were made.

    Raises:
        AssertionError: If they differ by more, or in shape.
    """
    if isinstance(expected, Mapping):
        if set(actual) != set(expected):
            raise AssertionError(f"{sorted(actual)}, not {sorted(expected)}")
        for name, value in expected.items():
            close(actual[name], value, terms, scale=scale, dtype=dtype)
        return
    actual, expected = _array(actual), _array(expected)
    if expected.ndim and actual.shape != expected.shape:
        raise AssertionError(f"{actual.shape}, not {expected.shape}")
    eps = float(np.finfo(dtype).eps)
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=scale)
    np.testing.assert_allclose(
        actual, expected, rtol=terms * eps, atol=terms**0.5 * eps * largest
    )


def _array(values: Any) -> Any:
    if keras.ops.is_tensor(values) or isinstance(values, keras.Variable):
        values = keras.ops.convert_to_numpy(values)
    values = np.asarray(values)
    return values.astype("complex128" if values.dtype.kind == "c" else "float64")
