"""Parquet and CSV files as one Ibis table, whose types are compared before it is read.

An engine by itself casts all files to the types of the first, and rounds what does not
fit. It takes names of folders for columns, the first rows of a CSV file for all of
them, and either of 01/02 for the day.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from recsys.data.files.csv import read_csv
from recsys.data.files.legs import one_table
from recsys.data.files.parquet import read_parquet
from recsys.data.files.paths import CSV, PARQUET, named
from recsys.data.files.types import zoned


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
        legs, types = read_parquet(files, connection, columns)
    elif files and all(file.endswith(CSV) for file in files):
        legs, types = read_csv(files, connection, columns)
    else:
        of_kind = [[f for f in files if f.endswith(kind)] for kind in (PARQUET, CSV)]
        most = max(of_kind, key=len)
        others = [file for file in files if file not in most]
        raise ValueError(
            f"Files must all end in one of {PARQUET}, or all in one of {CSV}. "
            f"Received: {named(others)}" + (f" beside {named(most)}" if most else "")
        )
    return one_table(legs, types, columns), zoned(types)
