"""Files of predictions, checked."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

NUMBERS = ("label", "score", "weight")
NAMES = ("group", "task", "domain")
OPTIONAL = ("group", "weight", "task", "domain")

Array = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """The columns of a file, `(rows,)` each, those that it has."""

    name: str
    label: Array
    score: Array
    group: Array | None = None
    weight: Array | None = None
    task: Array | None = None
    domain: Array | None = None

    def where(self, chosen: Array) -> "Predictions":
        """Some of the rows."""
        columns = {key: column[chosen] for key, column in self.columns().items()}
        return Predictions(self.name, **columns)

    def columns(self) -> dict[str, Array]:
        """The columns by name."""
        names = ("label", "score", *OPTIONAL)
        found = {name: getattr(self, name) for name in names}
        return {name: column for name, column in found.items() if column is not None}

    def rows(self) -> dict[str, Any]:
        """The optional arguments of metrics."""
        given = {"sample_weight": self.weight, "groups": self.group}
        return {key: column for key, column in given.items() if column is not None}


def read(path: Path) -> Predictions:
    """Reads a file of predictions; an empty label is missing.

    Raises:
        ValueError: If there is no such file, it cannot be read, a column is missing or
            there twice, or a value is none that can be evaluated.
    """
    try:
        table = _read_table(path)
        found = table.column_names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        # Arrow counts the rows from 1, with the head.
        reason = re.sub(r"Row #(\d+)", lambda of: f"row {int(of[1]) - 2}", reason)
        raise ValueError(f"Cannot read {path}: {reason}") from error
    columns: dict[str, Array] = {}
    for name in ("label", "score", *OPTIONAL):
        times = found.count(name)
        if not times and name in OPTIONAL:
            continue
        if times != 1:
            raise ValueError(
                f"{path}: there must be one column {name!r}. Received: columns {found}"
            )
        make = _as_numbers if name in NUMBERS else _as_names
        columns[name] = make(f"{path}: column {name!r}", table[name])
    if not len(table):
        raise ValueError(f"{path}: there must be rows. Received: none")
    label, score, weight = columns["label"], columns["score"], columns.get("weight")
    if weight is not None:
        good = np.isfinite(weight) & (weight >= 0)
        _require(f"{path}: weights must be finite and at least 0", good, weight)
    good = np.isin(label, [0, 1]) | np.isnan(label)
    _require(f"{path}: labels must be 0, 1 or empty", good, label)
    if np.isnan(label).all():
        raise ValueError(
            f"{path}: there must be labels. Received: none in {len(label)} rows"
        )
    counts = ~np.isnan(label) & (True if weight is None else weight > 0)
    good = ~np.isnan(score) | ~counts
    _require(f"{path}: scores must be there where labels are", good, score)
    return Predictions(str(path), **columns)


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "none"
        raise FileNotFoundError(f"there must be a file of that name. Received: {found}")
    endings = [ending.lower() for ending in path.suffixes]
    if endings[-1:] in ([".parquet"], [".pq"]):
        return pa.parquet.ParquetFile(path).read()
    tabs = [e for e in endings if e in (".csv", ".tsv")][-1:] == [".tsv"]
    packed = "gzip" if endings[-1:] == [".gz"] else "detect"  # by small letters alone
    with pa.input_stream(str(path), compression=packed) as file:
        return pa.csv.read_csv(
            file,
            read_options=pa.csv.ReadOptions(use_threads=False),  # errors count rows
            parse_options=pa.csv.ParseOptions(delimiter="\t" if tabs else ","),
            convert_options=pa.csv.ConvertOptions(
                column_types={
                    **dict.fromkeys(NUMBERS, pa.float64()),
                    **dict.fromkeys(NAMES, pa.string()),  # else 007 would be 7
                }
            ),
        )


def _as_numbers(who: str, column: pa.ChunkedArray) -> Array:
    try:
        if pa.types.is_temporal(column.type):  # some of them can be cast
            raise pa.ArrowTypeError("times are no numbers")
        numbers: Array = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException as error:
        what, found = "numbers", column.type
        if pa.types.is_integer(column.type):  # beyond, float64 does not have them all
            what = "integers from -2^53 to 2^53"
            found = "{min} to {max}".format(**pc.min_max(column).as_py())
        raise ValueError(f"{who} must hold {what}. Received: {found}") from error
    return numbers


def _as_names(who: str, column: pa.ChunkedArray) -> Array:
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type):  # some of them can be cast
            raise pa.ArrowTypeError("lists are no names")
        texts = column.cast("string")
    except pa.ArrowException as error:
        raise ValueError(f"{who} must hold names. Received: {column.type}") from error
    gaps = column.is_null(nan_is_null=pa.types.is_floating(column.type))
    gaps = pc.or_(gaps, pc.fill_null(pc.equal(texts, ""), True))
    missing = pc.sum(gaps).as_py()
    if missing:
        raise ValueError(f"{who} must have no gaps. Received: {missing} of them")
    if pa.types.is_floating(column.type):
        numbers: Array = column.to_numpy()
        return numbers
    found = {*texts.unique().to_pylist()[:3]}
    flags = {name.lower() for name in found}
    if flags <= {"true", "false"} and len(flags) == len(found):
        texts = pc.utf8_lower(texts)  # pandas writes True, others true
    with suppress(pa.ArrowException):  # so that 9 is before 10
        integers = texts.cast("int64")
        texts = integers if integers.cast("string").equals(texts) else texts
    names: Array = texts.to_numpy()
    return names


def _require(what: str, good: Array, values: Array) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"{what}. Received: {values[row]:g} in row {row} (and "
            f"{(~good).sum() - 1} more of {len(good)} rows)"
        )


def check_files(files: Sequence[Predictions]) -> None:
    """Raises `ValueError` if files are not about the same rows, or are the same."""
    first, *others = files
    for i, other in enumerate(others):
        if any(Path(file.name).samefile(other.name) for file in files[: i + 1]):
            raise ValueError(
                f"Files to compare must differ. Received twice: {other.name}"
            )
        for name in ("label", *OPTIONAL):
            found = _difference(getattr(first, name), getattr(other, name))
            if found:
                raise ValueError(
                    "Files to compare must have the same rows in the same order. "
                    f"Received: column {name!r} is {found[0]} in {first.name}, "
                    f"{found[1]} in {other.name}"
                )


def _difference(a: Array | None, b: Array | None) -> tuple[str, str] | None:
    """What two columns have where they first differ, if they do."""
    if a is None or b is None or len(a) != len(b):
        one, other = (
            "absent" if each is None else f"of {len(each)} rows" for each in (a, b)
        )
        return None if a is b else (one, other)
    if a.dtype != b.dtype:  # NumPy would compare integers with floats as floats
        kind = str if "O" in (a.dtype.kind, b.dtype.kind) else object
        a, b = a.astype(kind), b.astype(kind)
    (where,) = np.nonzero(~((a == b) | ((a != a) & (b != b))))
    if not where.size:
        return None
    row = int(where[0])
    return f"{a[row]!s} in row {row}", f"{b[row]!s}"
