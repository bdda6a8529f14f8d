"""Which files there are, and which one an error is of."""

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

PARQUET = (".parquet", ".pq")


CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


MOST_NAMED, MOST_SHOWN = 3, 200


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
