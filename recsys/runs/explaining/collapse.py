"""Whether tables use their width.

Guo et al., ICML 2024, https://arxiv.org/abs/2310.04400 (definition 3.1)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from recsys.layers.table import Embedding
from recsys.runs.page import Block, Grid, Heading, Text

BLOCK = 2**16  # rows at a time in float64


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
            values = keras.ops.convert_to_numpy(table)
            squares, norm = np.zeros((layer.dim, layer.dim)), 0.0
            for start in range(0, len(values), BLOCK):
                rows = values[start : start + BLOCK].astype("float64")
                squares += rows.T @ rows
                norm += float(np.linalg.norm(rows, axis=1).sum())
            shape = len(values), layer.dim, norm / len(values)
            found.append(TableShape(layer.name, *shape, _abundance(squares)))
    return found


def blocks_of_tables(tables: Sequence[TableShape]) -> list[Block]:
    """Returns a table of them."""
    if not tables:
        return []
    header = ["table", "rows", "dim", "mean norm", "information abundance"]
    rows = [
        [t.name, f"{t.rows:,}", str(t.dim), f"{t.norm:.4f}", f"{t.abundance:.2f}"]
        for t in tables
    ]
    note = (
        "Information abundance is the width where a table uses all directions alike, "
        "and 1 where all its rows lie on a line."
    )
    return [Heading("Embeddings"), Text(note), Grid(header, rows)]


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
    return _abundance(table.T @ table)


def _abundance(squares: NDArray[np.float64]) -> float:
    """The same of `table.T @ table`, `dim` by `dim` numbers, however many the rows."""
    values = np.sqrt(np.linalg.eigvalsh(squares).clip(min=0))
    return float(values.sum() / values.max()) if values.max() else float("nan")
