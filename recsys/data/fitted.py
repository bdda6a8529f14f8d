"""What a pipeline learned from the data of `fit`."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.feature.schema import (
    FIRST_ID,
    Bucketed,
    Column,
    Hashed,
    Numeric,
    Vocabulary,
)

LARGEST = float(np.finfo("float32").max)
SMALLEST = float(np.finfo("float32").tiny)


@dataclass(frozen=True)
class Fitted:
    """Vocabularies and statistics.

    Args:
        families: Column -> type of its raw values: `integer`, `string`, `boolean` or
            `date`.
        vocabularies: Column -> Arrow table of `value` and `count`, the value of id 2
            first.
        unseen: Column -> how many values got the id of unseen ones.
        statistics: Column -> its `mean` and `std`, and the `edges` of its buckets or
            bins in raw units.
    """

    families: Mapping[str, str]
    vocabularies: Mapping[str, pa.Table]
    unseen: Mapping[str, int]
    statistics: Mapping[str, Mapping[str, Any]]

    @cached_property
    def fingerprint(self) -> str:
        """What changes when ids or numbers of the model input change their meaning.

        How often values occur does not count. Edges count to their last digit. Those
        of sums depend on the order of the rows: a standard deviation counts to four
        digits, and a mean to about 1e-4 of it.
        """
        statistics = [
            (name, _scale(of), [float(edge) for edge in of.get("edges", ())])
            for name, of in sorted(self.statistics.items())
        ]
        digest = hashlib.sha256(
            repr([sorted(self.families.items()), statistics]).encode()
        )
        for name, words in sorted(self.vocabularies.items()):
            digest.update(name.encode())
            for start in range(0, len(words), 2**16):
                values = words["value"].slice(start, 2**16).to_pylist()
                digest.update(repr(values).encode())
        return digest.hexdigest()

    def vocabulary_size(self, owner: Column) -> int:
        """Returns the number of ids of a table, 0 and 1 included; 1 for a number."""
        if isinstance(owner, Vocabulary):
            return FIRST_ID + len(self.vocabularies[owner.name])
        if isinstance(owner, Hashed):
            return FIRST_ID + owner.num_buckets
        if isinstance(owner, Bucketed):
            return FIRST_ID + len(self.statistics[owner.name]["edges"]) + 1
        return 1

    def bins(self, column: Column) -> Sequence[float] | None:
        """Returns the edges of the bins of a number in the model input, if any."""
        if not isinstance(column, Numeric) or column.bins is None:
            return None
        of = self.statistics[column.name]
        edges = np.array(of["edges"], "float64")
        if column.log1p:
            edges = np.sign(edges) * np.log(np.abs(edges) + 1)
        if column.standardize:
            edges = (edges - of["mean"]) / (of["std"] or 1.0)
        # Float32 holds the width of a bin between halves of its largest numbers, and
        # between multiples of its smallest normal one.
        most = LARGEST / 2
        edges = np.clip(np.round(edges / SMALLEST) * SMALLEST, -most, most)
        edges = np.unique(edges.astype("float32"))
        if len(edges) < 2:
            edges = np.array([edges[0], edges[0] + max(1, abs(edges[0]) / 2**22)])
        return [float(edge) for edge in edges]

    def counts(self, owner: Column) -> np.ndarray | None:
        """Returns how often `fit` saw each id, `(vocabulary_size,)`, if it counted."""
        if not isinstance(owner, Vocabulary):
            return None
        counts = self.vocabularies[owner.name]["count"].to_numpy()
        return np.concatenate([[0, self.unseen[owner.name]], counts])


def _scale(statistics: Mapping[str, Any]) -> list[str]:
    """The mean and standard deviation of a column, if any, without rounding errors."""
    if "std" not in statistics:
        return []
    mean, std = statistics["mean"], statistics["std"]
    if not std:
        return [f"{mean:.4g}"]
    rounded = f"{std:.3e}"
    places = 4 - int(rounded.partition("e")[2])
    return [rounded, f"{round(mean, places) + 0.0}"]  # -0 is 0
