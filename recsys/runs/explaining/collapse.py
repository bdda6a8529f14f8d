"""Whether tables use their width.

Guo et al., ICML 2024, https://arxiv.org/abs/2310.04400 (definition 3.1)
"""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from recsys.layers.table import Embedding


@dataclass(frozen=True)
class TableShape:
    """What is known of an embedding table.

    Attributes:
        name: Name of its layer.
        rows: Number of its rows.
        dim: Their width.
        norm: Mean length of a row.
        abundance: Information abundance, the sum of the singular values over the
            largest one: `dim` where all directions are used alike, 1 where all rows lie
            on a line.
    """

    name: str
    rows: int
    dim: int
    norm: float
    abundance: float


def tables_of(model: keras.Model) -> list[TableShape]:
    """Returns the tables of a model that are wider than 1, in its order."""
    found = []
    for layer in model.layers:
        if isinstance(layer, Embedding) and layer.dim > 1:
            (table,) = layer.weights[:1]
            values = keras.ops.convert_to_numpy(table).astype("float64")
            found.append(
                TableShape(
                    layer.name,
                    len(values),
                    layer.dim,
                    float(np.linalg.norm(values, axis=1).mean()),
                    information_abundance(values),
                )
            )
    return found


def information_abundance(table: NDArray[np.float64]) -> float:
    """Returns the sum of the singular values of a table over the largest of them.

    Args:
        table: `(rows, dim)`.

    Example:
    >>> round(information_abundance(np.array([[3.0, 0.0], [0.0, 3.0]])), 6)
    2.0
    >>> round(information_abundance(np.array([[1.0, 2.0], [2.0, 4.0]])), 6)
    1.0
    """
    # Of `dim` by `dim` numbers, however many rows there are.
    squares = np.linalg.eigvalsh(table.T @ table).clip(min=0)
    values = np.sqrt(squares)
    return float(values.sum() / values.max()) if values.max() else float("nan")
