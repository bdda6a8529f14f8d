"""What a pipeline learned from the data of `fit`."""

import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.item_vectors import ItemVectors
from recsys.feature._constraints import Integer
from recsys.feature.schema.columns import (
    FIRST_ID,
    LARGEST,
    Bucketed,
    Column,
    Hashed,
    Numeric,
    Vocabulary,
)
from recsys.feature.schema.schema import Schema

FAMILIES = {
    "integer": pa.types.is_int64,
    "string": pa.types.is_string,
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date32,
}
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
        vectors: Column -> the vectors of the items that it is of.
    """

    families: Mapping[str, str]
    vocabularies: Mapping[str, pa.Table]
    unseen: Mapping[str, int]
    statistics: Mapping[str, Mapping[str, Any]]
    vectors: Mapping[str, ItemVectors] = field(default_factory=dict)

    def check(self, schema: Schema) -> None:
        """Checks that `fit` may have learned this with a schema.

        Raises:
            ValueError: If names, types or values are not those of the schema.
        """
        columns = [c for c in schema.columns if isinstance(c, (Vocabulary, Hashed))]
        _require(
            "families", {*self.families} == {c.name for c in columns}, self.families
        )
        for column in columns:
            family = self.families[column.name]
            _require(f"family of {column.name!r}", family in FAMILIES, family)
        for name, words in self.vocabularies.items():
            value, count = words["value"], words["count"]
            typed = FAMILIES[self.families[name]](value.type)
            _require(f"type of vocabulary {name!r}", typed, value.type)
            once = not value.null_count and pc.count_distinct(value).as_py() == len(
                value
            )
            _require(f"values of vocabulary {name!r}", once, "missing or equal ones")
            counts = pa.types.is_int64(count.type) and not count.null_count
            least = pc.min(count).as_py() if counts and len(count) else 1
            least += any(vector.of == name for vector in schema.vectors)
            _require(f"counts of vocabulary {name!r}", counts and least > 0, count.type)
            _require(
                f"unseen of {name!r}", _is_count(self.unseen[name]), self.unseen[name]
            )
        wanted = {c.name: names for c in schema.columns if (names := _learned(c))}
        found = {name: {*of} for name, of in self.statistics.items()}
        _require("statistics", found == wanted, found)
        for name, of in self.statistics.items():
            for key, value in of.items():
                holds = _rises(value) if key == "edges" else _is_number(value)
                holds = holds and (key != "std" or value >= 0)
                _require(f"{key} of {name!r}", holds, value)
            given = getattr(schema.column(name), "edges", None)
            _require(f"edges of {name!r}", given in (None, (*of.get("edges", ()),)), of)

        for vector in schema.vectors:
            size = FIRST_ID + len(self.vocabularies[str(vector.of)])
            self.vectors[vector.name].check(vector, size)

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
                values = _listed(words["value"].slice(start, 2**16))
                digest.update(repr(values).encode())
        for name, of in sorted(self.vectors.items()):
            digest.update(f"{name} {of.num_rows}".encode())
            digest.update(of.vectors.tobytes())
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


def _listed(values: pa.ChunkedArray) -> list[Any]:
    """Values as Python has them; it has no date after the year 9999, but its number."""
    try:
        listed: list[Any] = values.to_pylist()
    except (OverflowError, ValueError):
        listed = values.cast("int32").to_pylist()
    return listed


def owners(schema: Schema) -> list[str]:
    """Returns the names of the columns that have a vocabulary of their own."""
    vocabularies = [c for c in schema.columns if isinstance(c, Vocabulary)]
    return [column.name for column in vocabularies if column.emb == column.name]


def _learned(column: Column) -> set[str]:
    """What `fit` measures of a column."""
    if isinstance(column, Bucketed):
        return {"edges"}
    if not isinstance(column, Numeric):
        return set()
    scaled = column.standardize or column.fill == "mean"
    names = {"mean", "std"} if scaled else set()
    return names | ({"edges"} if column.bins is not None else set())


def _require(what: str, holds: bool, received: Any) -> None:
    if not holds:
        raise ValueError(
            f"{what} must be such as `fit` learns with this schema. "
            f"Received: {received!r}"
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return Integer(-(2**63), 2**63 - 1).accepts(value)


def _rises(values: Any) -> bool:
    """Whether it is a list of numbers, each larger than the one before."""
    listed = isinstance(values, list) and len(values) > 0
    if not listed or not all(map(_is_number, values)):
        return False
    return all(a < b for a, b in itertools.pairwise(values))


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
