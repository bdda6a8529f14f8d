"""Parquet and CSV files as one Ibis table, whose types are compared before it is read.

An engine by itself casts all files to the types of the first, and rounds what does not
fit. It takes names of folders for columns, the first rows of a CSV file for all of
them, and either of 01/02 for the day.
"""

import csv
import glob
import gzip
import io
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.datatypes as dt
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.reader import refuse_duplicates

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
EXACT = 2**53  # doubles hold all integers below
FILLED = "!string"  # as Ibis says that nothing is null
MOST_DIGITS = 38  # of a decimal
MOST_NAMED, MOST_SHOWN = 3, 200
NO_FOLDERS = {"hive_partitioning": False}  # else 'a=1/' overrules a file's column 'a'
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
TEXT, WIDE, POINT = (2 ** (len(LOOKS) + more) for more in range(3))
# What a type that `fit` saw holds, and how its values may look.
HOLDS = {
    "int64": ("integers", (1, 1 | WIDE, 2, 2 | POINT)),
    "boolean": ("true or false", (4,)),
}
WITH_POINT = r"\d\.0*\s*$"
A_LOOK = r"(?i)^\s*[\-.0-9tfn]"  # how all that are no text begin

Types = Mapping[str, dt.DataType]


@dataclass(frozen=True)
class _Leg:
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


def find_files(path: str | Path) -> list[str]:
    """Returns the files of a path, a folder or a pattern, in order of name.

    What exists by a name is meant by it, whatever characters it has.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a file is empty, or a folder has none, or folders in it.
    """
    exists = bool(str(path)) and Path(path).exists()
    found = [str(path)] if exists else sorted(glob.glob(str(path), recursive=True))
    if not found:
        raise FileNotFoundError(f"There is no file {str(path)!r}")
    files = [file for one in found for file in _files_of(one)]
    for file in files:
        if Path(file).is_file() and not Path(file).stat().st_size:
            raise ValueError(f"{file} must not be empty. Received: 0 bytes")
    return files


def read_files(
    files: Sequence[str], connection: Any, columns: Mapping[str, str]
) -> tuple[Any, Collection[str]]:
    """Returns the rows of files, one after another, as an Ibis table.

    A column of several types gets the smallest that holds the values of all of them. A
    file without values in a column has no type there. A CSV file has texts, so that
    text is the type of a column that looks like text in one of them; all rows are
    looked at, and a date or a time is one of ISO 8601.

    What is in a column says its file: names of folders (`day=1/`) say nothing.

    Args:
        files: Their paths.
        connection: The Ibis backend.
        columns: Raw columns that will be read -> their Ibis type in a CSV file where
            it looks like text, or `""` if text is right. `"string"` counts always, and
            `FILLED`, of which an empty field is the empty string.

    Returns:
        The table, and which of its columns are of times with a zone.

    Raises:
        ValueError: If a file is unreadable, has several columns of one name, or lacks a
            column that others have; or if types have nothing lossless in common.
    """
    if files and all(file.endswith(PARQUET) for file in files):
        legs, types = _parquet(files, connection, columns)
    elif files and all(file.endswith(CSV) for file in files):
        legs, types = _csv(files, connection, columns)
    else:
        of_kind = [[f for f in files if f.endswith(kind)] for kind in (PARQUET, CSV)]
        most = max(of_kind, key=len)
        others = [file for file in files if file not in most]
        raise ValueError(
            f"Files must all end in one of {PARQUET}, or all in one of {CSV}. "
            f"Received: {named(others)}" + (f" beside {named(most)}" if most else "")
        )
    return _one_table(legs, types, columns), zoned(types)


@contextmanager
def naming(files: Sequence[str]) -> Iterator[None]:
    """Turns an error of the engine into one that says in which file, and where."""
    try:
        yield
    except duckdb.Error as error:
        told = {*re.split(r'"|\n| = |: ', str(error))}
        found = [file for file in files if {file, glob.escape(file)} & told]
        where = named(found[:1] or _broken(files) or files) or "the data"
        raise ValueError(f"Cannot read {where}: {_reason(error)}") from error


def named(files: Sequence[str]) -> str:
    """Returns the names of files for an error; of many, those of the first."""
    shown, more = ", ".join(files[:MOST_NAMED]), len(files) - MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def arrow_types(schema: pa.Schema, columns: Collection[str], who: str) -> Types:
    """Returns the types of some columns, those that are there.

    Args:
        schema: Of Arrow.
        columns: Their names.
        who: Begins an error.

    Raises:
        ValueError: If engines do not have the type of a column.
    """
    types = {}
    for name in columns:
        if name in schema.names:
            found = schema.field(name).type
            try:
                types[name] = _plain(dt.DataType.from_pyarrow(found))
            except Exception as error:  # Ibis has several for what it does not know
                raise ValueError(
                    f"{who} {name!r} must be of a type that engines have. "
                    f"Received: {found}"
                ) from error
    return types


def as_read(value: Any) -> Any:
    """Returns a column in a form that DuckDB does not see through.

    For a cast of a column of a CSV file it reads the text anew, as the other type: True
    is then no number, ` 7` as text has its blank, and a time has lost its zone.
    """
    return value.notnull().ifelse(value, ibis.null(value.type()))


def is_finite(value: Any) -> Any:
    """Returns whether a number is neither NaN nor infinite.

    DuckDB 2.0 takes `isnan`, and comparisons, of a parquet column to be what the
    column's smallest and largest value make them; those leave NaN out.
    """
    return value - value == 0


def is_number(value: Any) -> Any:
    """Returns whether a floating number is not NaN, as `is_finite` does it."""
    return is_finite(value) | value.isinf()


def zoned(types: Types) -> list[str]:
    """Returns the names of the columns of times with a zone."""
    return [n for n, dtype in types.items() if dtype.is_timestamp() and dtype.timezone]


def common_type(types: Collection[dt.DataType]) -> dt.DataType | None:
    """Returns the smallest type that holds all values of some types, if there is one.

    A double holds integers of 64 bits up to `EXACT` only. A date is no timestamp: its
    events would come before all others of the day.
    """
    kinds = [*({*types} - {dt.null})]
    if len(kinds) <= 1:
        return kinds[0] if kinds else dt.null
    if all(kind.is_array() for kind in kinds):
        inner = common_type([kind.value_type for kind in kinds])
        return None if inner is None else dt.Array(inner)
    if all(kind.is_integer() for kind in kinds):
        unsigned = [kind.nbytes for kind in kinds if kind.is_unsigned_integer()]
        signed = [kind.nbytes for kind in kinds if kind.is_signed_integer()]
        size = max(signed + [2 * size if signed else size for size in unsigned])
        name = f"{'int' if signed else 'uint'}{8 * size}"
        return None if size > 8 else dt.dtype(name)
    if all(kind.is_integer() or kind.is_floating() for kind in kinds):
        return dt.float64
    if all(kind.is_decimal() for kind in kinds):
        scale = max(kind.scale for kind in kinds)
        digits = scale + max(kind.precision - kind.scale for kind in kinds)
        return None if digits > MOST_DIGITS else dt.Decimal(digits, scale)
    if all(kind.is_timestamp() for kind in kinds):
        zones = {kind.timezone for kind in kinds}
        scale = max(kind.scale for kind in kinds)
        return dt.Timestamp(*zones, scale=scale) if len(zones) == 1 else None
    return None


def _files_of(path: str) -> list[str]:
    """A file, or those of a folder; markers such as `_SUCCESS` are not of the data."""
    if not Path(path).is_dir():
        return [path]
    found = sorted(p for p in Path(path).iterdir() if p.name[0] not in "._")
    folders = [str(p) for p in found if p.is_dir()]
    if folders or not found:
        raise ValueError(
            f"Folder {path} must have files and no folders in it; nested files are "
            f"'{path}/**/*.parquet'. Received: {named(folders) or 'no files'}"
        )
    return [str(p) for p in found]


def _runs(
    files: Sequence[str], key: Callable[[str], Any], connection: Any
) -> list[list[str]]:
    """Files that follow each other and are alike; other engines take one at a time."""
    if connection.name != "duckdb":
        return [[file] for file in files]
    return [[*group] for _, group in groupby(files, key)]


def _without_folders(connection: Any) -> dict[str, bool]:
    return NO_FOLDERS if connection.name == "duckdb" else {}


def _literally(files: Sequence[str], connection: Any) -> Any:
    """Files as an engine takes them; DuckDB takes each for a pattern."""
    if connection.name != "duckdb":
        return files[0]
    return [glob.escape(file) for file in files]


def _parquet(
    files: Sequence[str], connection: Any, columns: Collection[str]
) -> tuple[Sequence[_Leg], Types]:
    types = {file: _parquet_types(file, columns) for file in files}
    legs = []
    for run in _runs(files, types.__getitem__, connection):
        with naming(run):
            table = connection.read_parquet(
                _literally(run, connection), **_without_folders(connection)
            )
        legs.append(_Leg(run, table, types[run[0]]))
    return _common(legs, connection, columns)


def _parquet_types(file: str, columns: Collection[str]) -> Types:
    try:
        schema = pq.read_schema(Path(file).absolute())  # else 's3:a' is an address
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"Cannot read {file} as parquet: {error}") from error
    refuse_duplicates(schema.names, file)
    return arrow_types(schema, columns, f"{file}: column")


def _csv(
    files: Sequence[str], connection: Any, columns: Mapping[str, str]
) -> tuple[Sequence[_Leg], Types]:
    if connection.name != "duckdb":  # others take neither a dialect nor types
        legs = []
        for file in files:
            _csv_head(file)
            table = connection.read_csv(file)
            legs.append(_Leg([file], table, _types(table, columns)))
        return _common(legs, connection, columns)
    heads = {file: _csv_head(file) for file in files}
    legs = [_looked_at(file, *heads[file], connection, columns) for file in files]
    types = {**_common(legs, connection, columns, text=True)[1]}
    for name, dtype in types.items():
        if dtype.is_string() and columns[name] in HOLDS:
            _refuse_texts(legs, name, columns[name], connection)
        elif dtype.is_null():
            types[name] = _plain(dt.dtype(columns[name] or "string"))
    legs = []
    for run in _runs(files, heads.__getitem__, connection):
        table = _csv_table(run, *heads[run[0]], connection, types)
        read = {n: as_read(table[n]) for n in types if not types[n].is_string()}
        # Not by DuckDB's force_not_null, which takes one column for another.
        read |= {n: table[n].fill_null("") for n in types if columns[n] == FILLED}
        legs.append(_Leg(run, table.mutate(**read), types))
    return legs, types


def _looked_at(
    file: str,
    names: Sequence[str],
    dialect: Mapping[str, Any],
    connection: Any,
    columns: Mapping[str, str],
) -> _Leg:
    """A CSV file as texts, with the types that all of its values look like."""
    here = [name for name in columns if name in names]
    texts = [name for name in here if columns[name] in ("string", FILLED)]
    table = _csv_table([file], names, dialect, connection, {})
    looks = {
        name: _is_flag(table[name]).all()
        if columns[name] == "float64"
        else _look(table[name]).bit_or()
        for name in here
        if name not in texts
    }
    types: dict[str, dt.DataType] = dict.fromkeys(texts, dt.string)
    wide, integers, pointed = [], [], []
    if looks:
        with naming([file]):
            found = connection.to_pyarrow(table.aggregate(**looks)).to_pylist()[0]
        for name, look in found.items():
            if columns[name] == "float64":
                types[name] = {None: dt.null, True: dt.boolean}.get(look, dt.float64)
                continue
            types[name] = _type_of(look)
            wide += [name] if look and look & WIDE else []
            integers += [name] if look and look & 1 else []
            pointed += [name] if look and look & POINT else []
    of_names = {name: types[name] for name in here}
    return _Leg([file], table, of_names, wide, integers, pointed)


def _is_flag(text: Any) -> Any:
    return text.lower().isin(["true", "false"])


def _look(text: Any) -> Any:
    """What a text looks like: the bit of its place in `LOOKS`, or `TEXT`."""
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
                text.re_search(WITH_POINT).ifelse(2 | POINT, 2)
                if dtype.is_floating()
                else 2**place,
            )
            for place, (pattern, dtype) in enumerate(others, 1)
        ),
        else_=TEXT,
    )


def _type_of(look: int | None) -> dt.DataType:
    """The type of a column, given the bits of all its values."""
    if look is None:
        return dt.null
    kinds = [dtype for place, (_, dtype) in enumerate(LOOKS) if look & 2**place]
    found = None if look & TEXT else common_type(kinds)
    return dt.string if found is None else found


def _refuse_texts(
    legs: Sequence[_Leg], name: str, wanted: str, connection: Any
) -> None:
    """Raises `ValueError` with the first value that is not of a type.

    DuckDB's casts round numbers, and take `yes`, `0x10` and `007`.
    """
    what, looks = HOLDS[wanted]
    for leg in legs:
        text = leg.table[name]
        table = leg.table.select(text=text, look=_look(text), row=ibis.row_number())
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
            _literally(files, connection),
            columns={name: written(types.get(name, dt.string)) for name in names},
            **DIALECT,
            **dialect,
        )


def _types(table: Any, columns: Collection[str]) -> Types:
    return {name: _plain(table[name].type()) for name in columns if name in table}


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


def _plain(dtype: dt.DataType) -> dt.DataType:
    """The type as engines have it, who know no halves and no lengths of lists."""
    if dtype.is_array():
        return dt.Array(_plain(dtype.value_type))
    if dtype.is_decimal() and dtype.precision > MOST_DIGITS:
        raise TypeError(f"{dtype} is too wide")
    if dtype.is_timestamp():
        zone = None if dtype.timezone is None else "UTC"
        return dt.Timestamp(zone, scale=9 if dtype.scale == 9 else 6)
    return dt.float32 if dtype.is_float16() else dtype.copy(nullable=True)


def _common(
    legs: Sequence[_Leg], connection: Any, columns: Collection[str], text: bool = False
) -> tuple[Sequence[_Leg], Types]:
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


def _looked_into(leg: _Leg, names: Sequence[str], connection: Any) -> _Leg:
    """What values say of a type: that there are none, or integers too large."""
    wanted = {}
    for name in names:
        value, dtype = leg.table[name], leg.types[name]
        known = is_number(value) if dtype.is_floating() else value.notnull()
        wanted[f"{name}/values"] = known.sum()
        if _element(dtype).is_integer():
            listed = dtype.is_array()
            least, most = (value.mins(), value.maxs()) if listed else (value, value)
            wanted[f"{name}/wide"] = (least.min() <= -EXACT) | (most.max() >= EXACT)
    with naming(leg.files):
        found = connection.to_pyarrow(leg.table.aggregate(**wanted)).to_pylist()[0]
    empty = {name: dt.null for name in names if not found[f"{name}/values"]}
    wide = [name for name in names if found.get(f"{name}/wide")]
    return replace(leg, types={**leg.types, **empty}, wide=wide)


def _common_of(name: str, legs: Sequence[_Leg], text: bool) -> dt.DataType:
    types: dict[dt.DataType, _Leg] = {}
    for leg in legs:
        types.setdefault(leg.types[name], leg)
    if text and dt.string in types:
        whole = [leg.files[0] for leg in legs if name in leg.integers]
        pointed = [leg.files[0] for leg in legs if name in leg.pointed]
        if len({*whole, *pointed}) > 1 and whole and pointed:
            other = next((file for file in pointed if file != whole[0]), pointed[0])
            one = next(file for file in whole if file != other)
            raise ValueError(
                f"Column {name!r}: integers must be written alike in all files where "
                "one has text, or 7 and 7.0 would be two values. Received: integers in "
                f"{one}, integers with a point in {other}"
            )
        return dt.string
    found = common_type(types)
    wide = [leg for leg in legs if name in leg.wide]
    if found is None or (wide and _element(found).is_floating()):
        received = [f"{dtype} in {types[dtype].files[0]}" for dtype in types]
        received += [f"integers beyond 2^53 in {leg.files[0]}" for leg in wide[:1]]
        raise ValueError(
            f"Column {name!r}: all files must have one type, or types of which one "
            f"holds the values of all. Received: {', '.join(received)}"
        )
    return found


def _had(dtype: dt.DataType) -> dt.DataType:
    """What engines have in place of a type."""
    if dtype.is_array():
        return dt.Array(_had(dtype.value_type))
    if dtype.is_null():
        return dt.float64  # as pandas has no values
    nanoseconds = dtype.is_timestamp() and dtype.scale == 9
    return dt.Timestamp(scale=9) if nanoseconds else dtype  # in UTC if with a zone


def _element(dtype: dt.DataType) -> dt.DataType:
    return dtype.value_type if dtype.is_array() else dtype


def _one_table(legs: Sequence[_Leg], types: Types, columns: Collection[str]) -> Any:
    types = {name: _had(dtype) for name, dtype in types.items()}
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


def _cast(leg: _Leg, name: str, types: Types) -> Any:
    if name not in types or leg.types[name] == types[name]:
        return leg.table[name]
    if leg.types[name].is_null():
        return ibis.null(types[name])
    return leg.table[name].cast(types[name])


def _reason(error: duckdb.Error) -> str:
    """The part of an error that says what is wrong; advice is left out."""
    lines = []
    for line in str(error).splitlines():
        if not line or line.startswith(("Possible", "*", "The search space")):
            break
        lines.append(line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}...")
    return "; ".join(lines)


def _broken(files: Sequence[str]) -> list[str]:
    """The first parquet file that cannot be read to its end."""
    for file in files:
        if file.endswith(PARQUET):
            try:
                for _ in pq.ParquetFile(Path(file).absolute()).iter_batches():
                    pass
            except (OSError, pa.ArrowException):
                return [file]
    return []
