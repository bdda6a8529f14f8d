"""Files that are read alike, and their rows as one table."""

import glob
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from recsys.data.files.paths import naming
from recsys.data.files.types import (
    EXACT,
    Types,
    common_type,
    element,
    is_number,
    of_engines,
    plain,
)

NO_FOLDERS = {"hive_partitioning": False}  # else 'a=1/' overrules a file's column 'a'


@dataclass(frozen=True)
class Leg:
    """Files that follow each other and are read alike.

    Args:
        files: Their paths.
        table: Their rows.
        types: Types of the columns that will be read; null of those without values.
        wide: Those of them with integers that a double does not hold.
        integers: Those of them with integers as one writes them.
        pointed: Those of them with integers written with a point, as 7.0.
    """

    files: Sequence[str]
    table: Any
    types: Types
    wide: Collection[str] = ()
    integers: Collection[str] = ()
    pointed: Collection[str] = ()


def runs(
    files: Sequence[str], key: Callable[[str], Any], connection: Any
) -> list[list[str]]:
    """Files that follow each other and are alike; other engines take one at a time."""
    if connection.name != "duckdb":
        return [[file] for file in files]
    return [[*group] for _, group in groupby(files, key)]


def without_folders(connection: Any) -> dict[str, bool]:
    return NO_FOLDERS if connection.name == "duckdb" else {}


def literally(files: Sequence[str], connection: Any) -> Any:
    """Files as an engine takes them; some take each for a pattern."""
    if connection.name == "pyspark":
        return re.sub(r"([\\*?\[\]{}])", r"\\\1", files[0])
    if connection.name != "duckdb":
        return files[0]
    return [glob.escape(file) for file in files]


def types_of(table: Any, columns: Collection[str]) -> Types:
    return {name: plain(table[name].type()) for name in columns if name in table}


def common(
    legs: Sequence[Leg], connection: Any, columns: Collection[str], text: bool = False
) -> tuple[Sequence[Leg], Types]:
    """What legs hold, and the types that hold it.

    Args:
        legs: The files, with the types that they say they have.
        connection: The Ibis backend.
        columns: Raw columns that will be read.
        text: Whether a type is but how text looks, of which all is looked at.
    """
    for name in columns:
        lacking = [leg for leg in legs if name not in leg.types]
        if 0 < len(lacking) < len(legs):
            having = next(leg for leg in legs if name in leg.types)
            raise ValueError(
                f"Column {name!r}: all files must have it, or none. Received: "
                f"{having.files[0]} with it, {lacking[0].files[0]} without"
            )
    names = [name for name in columns if name in legs[0].types]
    differing = [n for n in names if len({leg.types[n] for leg in legs}) > 1]
    if differing and not text:
        legs = [_looked_into(leg, differing, connection) for leg in legs]
    return legs, {name: _common_of(name, legs, text) for name in names}


def _looked_into(leg: Leg, names: Sequence[str], connection: Any) -> Leg:
    """What values say of a type: that there are none, or integers too large."""
    wanted = {}
    for name in names:
        value, dtype = leg.table[name], leg.types[name]
        known = is_number(value) if dtype.is_floating() else value.notnull()
        wanted[f"{name}/values"] = known.sum()
        if element(dtype).is_integer():
            listed = dtype.is_array()
            least, most = (value.mins(), value.maxs()) if listed else (value, value)
            wanted[f"{name}/wide"] = (least.min() <= -EXACT) | (most.max() >= EXACT)
    with naming(leg.files):
        found = connection.to_pyarrow(leg.table.aggregate(**wanted)).to_pylist()[0]
    empty = {name: dt.null for name in names if not found[f"{name}/values"]}
    wide = [name for name in names if found.get(f"{name}/wide")]
    return replace(leg, types={**leg.types, **empty}, wide=wide)


def _common_of(name: str, legs: Sequence[Leg], text: bool) -> dt.DataType:
    types: dict[dt.DataType, Leg] = {}
    for leg in legs:
        types.setdefault(leg.types[name], leg)
    if text and dt.string in types:
        whole = [leg.files[0] for leg in legs if name in leg.integers]
        pointed = [leg.files[0] for leg in legs if name in leg.pointed]
        texts = [leg.files[0] for leg in legs if leg.types[name].is_string()]
        # One file may have both in a column that is text by itself.
        several = len({*whole, *pointed}) > 1
        if whole and pointed and (several or whole[0] not in texts):
            other = next((file for file in pointed if file != whole[0]), pointed[0])
            one = next((file for file in whole if file != other), other)
            raise ValueError(
                f"Column {name!r}: integers must be written alike in all files where "
                "one has text, or 7 and 7.0 would be two values. Received: integers in "
                f"{one}, integers with a point in {other}"
            )
        return dt.string
    found = common_type(types)
    wide = [leg for leg in legs if name in leg.wide]
    if found is None or (wide and element(found).is_floating()):
        received = [f"{dtype} in {types[dtype].files[0]}" for dtype in types]
        received += [f"integers beyond 2^53 in {leg.files[0]}" for leg in wide[:1]]
        raise ValueError(
            f"Column {name!r}: all files must have one type, or types of which one "
            f"holds the values of all. Received: {', '.join(received)}"
        )
    return found


def one_table(legs: Sequence[Leg], types: Types, columns: Collection[str]) -> Any:
    types = {name: of_engines(dtype) for name, dtype in types.items()}
    if not legs[1:]:
        cast = {name: _cast(legs[0], name, types) for name in types}
        return legs[0].table.mutate(**cast)
    tables = [leg.table for leg in legs]
    names = [name for name in columns if all(name in table for table in tables)]
    if not names:
        return tables[0]
    return _in_order(
        [
            leg.table.select(**{name: _cast(leg, name, types) for name in names})
            for leg in legs
        ]
    )


def _in_order(tables: Sequence[Any]) -> Any:
    """The rows of tables, one after another; Ibis' union of many puts others first."""
    if not tables[1:]:
        return tables[0]
    half = len(tables) // 2
    return _in_order(tables[:half]).union(_in_order(tables[half:]))


def _cast(leg: Leg, name: str, types: Types) -> Any:
    if name not in types or leg.types[name] == types[name]:
        return leg.table[name]
    if leg.types[name].is_null():
        return ibis.null(types[name])
    return leg.table[name].cast(types[name])
