"""Columns: how a field's values come to a model."""

from collections.abc import Sequence

import keras

from recsys.feature import Field
from recsys.layers.column import InputColumn


def shape_and_type(field: Field) -> tuple[tuple[int, ...], str]:
    """Returns the shape of a row of a column, and the type it has in a model."""
    several = field.belong == "history" or field.length > 1
    shape = (field.length,) if several or field.vocabulary_size == 0 else ()
    shape = (*shape, field.values) if field.values > 1 else shape
    # Ids above 2^24 do not survive in float32, nor 2.7 in an integer.
    return shape, "int32" if field.is_table else "float32"


def make_input(field: Field) -> keras.KerasTensor:
    """Returns the Keras input of a field's column."""
    shape, dtype = shape_and_type(field)
    if field.fingerprint is None:
        return keras.Input(shape, dtype=dtype, name=field.name)
    options = {"dtype": dtype, "name": field.name}
    column = InputColumn(shape, fingerprint=field.fingerprint, **options)
    symbol: keras.KerasTensor = column.output
    return symbol


def check_fields(fields: Sequence[Field]) -> None:
    """Raises `ValueError` if this is no list of fields."""
    listed = isinstance(fields, (list, tuple))
    if not listed or not all(isinstance(field, Field) for field in fields):
        raise ValueError(f"fields must be a list of Field. Received: fields={fields!r}")
