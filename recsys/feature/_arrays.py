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
        return np.asarray(unmasked(values))
    except ValueError as error:  # NumPy refuses ragged lists
        raise ValueError(f"{name} must be one array. Received: {error}") from error


def unmasked(values: Any) -> Any:
    """Returns values; in a masked array of NumPy the masked ones become missing ones.

    These are NaN, or `None` among what is no number.
    """
    import numpy as np  # late, as above

    if not np.ma.is_masked(values):
        return np.ma.getdata(values) if np.ma.isMaskedArray(values) else values
    kind = values.dtype.kind
    if kind in "biuf":
        return values.astype(values.dtype if kind == "f" else "float64").filled(np.nan)
    return np.where(np.ma.getmaskarray(values), None, values.data.astype(object))


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
