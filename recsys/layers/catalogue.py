"""What is known of each item, inside the model."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from recsys.feature._arrays import as_array
from recsys.feature._names import layer_name
from recsys.layers.base import Layer
from recsys.layers.table import gather_rows
from recsys.types import Tensor


class Catalogue(Layer):
    """The columns of items by their id: what an item tower needs of a drawn item.

    They are weights that are not trained, so that a file of the model holds them.

    Args:
        vocabulary_size: Number of item ids.
        columns: Name of each column, its values of an item, and its type: `[(name,
            shape, dtype)]`.
    Call arguments:
        ids: `(batch,)`.
    Returns:
        `{name: (batch, *shape)}`.
    """

    def __init__(
        self,
        vocabulary_size: int,
        columns: Sequence[tuple[str, Sequence[int], str]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.vocabulary_size = vocabulary_size
        self.columns = [(name, tuple(shape), dtype) for name, shape, dtype in columns]

    def build(self, *_: Any) -> None:
        self.values = {
            name: self.add_weight(
                shape=(self.vocabulary_size, *shape),
                initializer="zeros",
                dtype=dtype,
                trainable=False,
                autocast=False,
                name=layer_name(name),
            )
            for name, shape, dtype in self.columns
        }

    @property
    def is_empty(self) -> bool:
        """Whether `fill` is still to be called."""
        return not any(np.any(value.numpy()) for value in self.values.values())

    def fill(self, columns: Mapping[str, Tensor]) -> None:
        """Takes the columns, `(vocabulary_size, *shape)` each, in order of id.

        It warns, in one sentence, of columns that the model does not read.
        """
        if unread := sorted(set(columns) - self.values.keys()):
            warnings.warn(
                f"The catalogue has columns {unread} that the model does not read: "
                "what they tell has no effect on it",
                stacklevel=2,
            )
        for name, value in self.values.items():
            value.assign(np.asarray(columns[name]))

    def check(self, columns: Mapping[str, Tensor]) -> None:
        """Checks what is to be filled in.

        Raises:
            ValueError: If it is no mapping, or a column is missing or has another
                shape; that of a catalogue with new items is too long.
        """
        if not isinstance(columns, Mapping):
            raise ValueError(
                "The catalogue must be a dict of columns by name. "
                f"Received: {columns!r}"
            )
        for name, value in self.values.items():
            if name not in columns:
                raise ValueError(
                    f"Field {name!r}: the catalogue has no such column. "
                    f"Received: {[*columns]}"
                )
            column = as_array(f"Field {name!r}: the catalogue", columns[name])
            if column.shape != tuple(value.shape):
                raise ValueError(
                    f"Field {name!r}: the catalogue must have a value for each item "
                    f"id of the model, shape {tuple(value.shape)}; new items need a "
                    f"model of more ids. Received: shape {column.shape}"
                )

    def call(self, ids: Tensor) -> dict[str, Tensor]:
        return {name: gather_rows(value, ids) for name, value in self.values.items()}

    def compute_output_spec(self, ids: Tensor) -> dict[str, keras.KerasTensor]:
        return {
            name: keras.KerasTensor((*ids.shape, *shape), dtype)
            for name, shape, dtype in self.columns
        }
