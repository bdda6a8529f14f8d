"""CSV files: texts, and what all of them look like."""

import csv
import gzip
import io
import zlib
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product
from operator import or_
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt

from recsys.data.files.legs import NO_FOLDERS, Leg, common, literally, runs, types_of
from recsys.data.files.paths import naming
from recsys.data.files.types import EXACT, Types, as_read, common_type, plain
from recsys.data.reader import refuse_duplicates

FILLED = "!string"  # as Ibis says that nothing is null


# DuckDB is left nothing to guess, or it takes ragged rows to be of one column, '#' for
# a comment and the first rows for all.
DIALECT = {
    "header": True,
    "quote": '"',
    "escape": '"',
    "comment": "",
    "auto_detect": False,
    **NO_FOLDERS,
}


DAY = r"\d{4}-\d\d-\d\d"


CLOCK = rf"{DAY}[T ]\d\d:\d\d(:\d\d(\.\d{{1,6}})?)?"


FINE = rf"{DAY}[T ]\d\d:\d\d:\d\d\.\d{{7,9}}"


ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"


INTEGER = r"-?(0|[1-9]\d*)"


FLOAT = r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)|nan"


# What a text in a CSV file looks like, and the type of a column of such texts: 007 and
# 1e5 are no numbers, and a date has one reading, that of ISO 8601.
LOOKS: Sequence[tuple[str, dt.DataType]] = (
    (rf"^\s*({INTEGER})\s*$", dt.int64),
    (rf"(?i)^\s*({FLOAT})\s*$", dt.float64),
    ("(?i)^(true|false)$", dt.boolean),
    (f"^{DAY}$", dt.date),
    (f"^{CLOCK}$", dt.Timestamp(scale=6)),
    (f"^{FINE}$", dt.Timestamp(scale=9)),
    (f"^{CLOCK}{ZONE}$", dt.Timestamp("UTC", scale=6)),
)


TEXT, WIDE, POINT, FRACTION = (2 ** (len(LOOKS) + more) for more in range(4))


# What a type that is wanted holds, and how its values may look. Flags may be numbers,
# if all are flags: an error is of what is neither, before it is of a flag.
HOLDS: Mapping[str, tuple[str, Sequence[tuple[int, ...]]]] = {
    "int64": ("integers", [(1, 1 | WIDE, 2, 2 | POINT)]),
    "boolean": ("true or false", [(4,)]),
    "date": ("dates", [(8,)]),
    "float64": ("numbers", [(2, 4), (2,)]),
}


WITH_POINT = r"\d\.0*\s*$"
WITH_FRACTION = r"\.\d*[1-9]"
A_LOOK = r"(?i)^\s*[\-.0-9tfn]"  # how all that are no text begin


def read_csv(
    files: Sequence[str], connection: Any, columns: Mapping[str, str]
) -> tuple[Sequence[Leg], Types]:
    if connection.name != "duckdb":  # others take neither a dialect nor types
        legs = []
        for file in files:
            _csv_head(file)
            table = connection.read_csv(file)
            legs.append(Leg([file], table, types_of(table, columns)))
        return common(legs, connection, columns)
    heads = {file: _csv_head(file) for file in files}
    legs = [_looked_at(file, *heads[file], connection, columns) for file in files]
    for name, wanted in columns.items():
        texts = [leg for leg in legs if leg.types.get(name) == dt.string]
        if wanted in HOLDS and texts:
            _refuse_texts(texts, name, wanted, connection)
    types = {**common(legs, connection, columns, text=True)[1]}
    for name, dtype in types.items():
        if dtype.is_null():
            types[name] = plain(dt.dtype(columns[name] or "string"))
    legs = []
    for run in runs(files, heads.__getitem__, connection):
        table = _csv_table(run, *heads[run[0]], connection, types)
        read = {n: as_read(table[n]) for n in types if not types[n].is_string()}
        # Not by DuckDB's force_not_null, which takes one column for another.
        read |= {n: table[n].fill_null("") for n in types if columns[n] == FILLED}
        legs.append(Leg(run, table.mutate(**read), types))
    return legs, types


def _looked_at(
    file: str,
    names: Sequence[str],
    dialect: Mapping[str, Any],
    connection: Any,
    columns: Mapping[str, str],
) -> Leg:
    """A CSV file as texts, with the types that all of its values look like."""
    here = [name for name in columns if name in names]
    texts = [name for name in here if columns[name] in ("string", FILLED)]
    table = _csv_table([file], names, dialect, connection, {})
    looks = {
        name: _look(table[name], columns[name]).bit_or()
        for name in here
        if name not in texts
    }
    types: dict[str, dt.DataType] = dict.fromkeys(texts, dt.string)
    wide, integers, pointed = [], [], []
    if looks:
        with naming([file]):
            found = connection.to_pyarrow(table.aggregate(**looks)).to_pylist()[0]
        for name, look in found.items():
            types[name] = _type_of(look, columns[name])
            wide += [name] if look and look & WIDE else []
            integers += [name] if look and look & 1 else []
            pointed += [name] if look and look & POINT else []
    of_names = {name: types[name] for name in here}
    return Leg([file], table, of_names, wide, integers, pointed)


def _look(text: Any, wanted: str) -> Any:
    """What a text looks like: the bit of its place in `LOOKS`, or `TEXT`."""
    if wanted == "float64":  # which 007 and 1e5 are, too
        return ibis.cases(
            (text.isnull(), ibis.null("int32")),
            (text.try_cast("float64").notnull(), 2),
            (text.lower().isin(["true", "false"]), 4),
            else_=TEXT,
        )
    number = text.try_cast("int64")
    exact = number.between(1 - EXACT, EXACT - 1)
    (integer, _), *others = LOOKS
    return ibis.cases(
        (text.isnull(), ibis.null("int32")),
        (text.re_search(integer) & number.notnull(), exact.ifelse(1, 1 | WIDE)),
        (text.re_search(integer), TEXT),  # ids of 64 bits without a sign, or more
        (~text.re_search(A_LOOK), TEXT),
        *(
            (
                text.re_search(pattern) & text.try_cast(dtype).notnull(),
                ibis.cases(
                    (text.re_search(WITH_POINT), 2 | POINT),
                    (text.re_search(WITH_FRACTION), 2 | FRACTION),
                    else_=2,
                )
                if dtype.is_floating()
                else 2**place,
            )
            for place, (pattern, dtype) in enumerate(others, 1)
        ),
        else_=TEXT,
    )


def _type_of(look: int | None, wanted: str) -> dt.DataType:
    """The type of a column, given the bits of all its values.

    It is text, too, where one of them is not of the type that is wanted.
    """
    if look is None:
        return dt.null
    kinds = [dtype for place, (_, dtype) in enumerate(LOOKS) if look & 2**place]
    known = reduce(or_, HOLDS[wanted][1][0]) if wanted in HOLDS else look
    found = None if look & (TEXT | ~known) else common_type(kinds)
    return dt.string if found is None else found


def _refuse_texts(legs: Sequence[Leg], name: str, wanted: str, connection: Any) -> None:
    """Raises `ValueError` with the first value that is not of a type.

    DuckDB's casts round numbers, and take `yes`, `0x10` and `007`.
    """
    what, ways = HOLDS[wanted]
    for looks, leg in product(ways, legs):
        text = leg.table[name]
        look = _look(text, wanted)
        table = leg.table.select(text=text, look=look, row=ibis.row_number())
        odd = connection.to_pyarrow(table.filter(~table.look.isin(looks)).limit(1))
        for found in odd.to_pylist():
            raise ValueError(
                f"{leg.files[0]}: column {name!r} must hold {what}. Received: "
                f"{found['text']!r} in row {found['row']}"
            )


def _csv_table(
    files: Sequence[str],
    names: Sequence[str],
    dialect: Mapping[str, Any],
    connection: Any,
    types: Types,
) -> Any:
    written = connection.compiler.type_mapper.to_string
    with naming(files):
        return connection.read_csv(
            literally(files, connection),
            columns={name: written(types.get(name, dt.string)) for name in names},
            **DIALECT,
            **dialect,
        )


def _csv_head(file: str) -> tuple[list[str], dict[str, Any]]:
    """The names of the columns, what stands between them, and the empty lines above."""
    opener = gzip.open if file.endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            skip, first = 0, lines.readline()
            while first and not first.strip():
                skip, first = skip + 1, lines.readline()
            while first.count('"') % 2 and (more := lines.readline()):
                first += more
        if file.endswith(".gz"):  # DuckDB does not look at its checksum
            with gzip.open(file) as content:
                while content.read(2**20):
                    pass
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"Cannot read {file} as CSV: {error}") from error
    usual = "\t,;|" if ".tsv" in Path(file).suffixes else ",\t;|"
    heads = {
        each: next(csv.reader(io.StringIO(first, ""), delimiter=each), [])
        for each in usual
    }
    delimiter = max(usual, key=lambda each: len(heads[each]))
    refuse_duplicates(heads[delimiter], file)
    names = [name or f"column{place}" for place, name in enumerate(heads[delimiter])]
    return names, {"delim": delimiter, "skip": skip}
