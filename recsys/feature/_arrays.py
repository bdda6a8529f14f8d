"""Arrays of numbers out of what a user gives, or an error that says what came."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_array(name: str, values: Any) -> "NDArray[Any]":
    """Returns values as an array.

    Raises:
        ValueError: If they are lists of different lengths.
    """
    import numpy as np  # late: `import recsys` loads nothing heavy

    try:
        return np.asarray(values)
    except ValueError as error:  # NumPy refuses ragged lists
        raise ValueError(f"{name} must be one array. Received: {error}") from error


def as_numbers(name: str, values: Any) -> "NDArray[Any]":
    """Returns values as an array of booleans, integers or floating numbers.

    Raises:
        ValueError: If they are others, or lists of different lengths.
    """
    array = as_array(name, values)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of numbers. Received: dtype {array.dtype}"
        )
    return array
