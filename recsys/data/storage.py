"""A fitted pipeline as a folder of readable files.

pipeline.yaml                  the schema, the statistics, what is in the vocabularies,
                               and the number of their folder
vocabulary-<n>/<name>.parquet  value and count; the first row has id 2; a name too long
                               for a file is cut, and its hash added; of vectors of
                               items the vectors, the first row of id 2

`pipeline.yaml` is replaced last: before that the folder is what it was, after that it
is the new one.
"""

import hashlib
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from filelock import FileLock

from recsys.data.fitted import Fitted, owners
from recsys.data.item_vectors import read_vectors
from recsys.data.writing import LEFT, LOCK, sync, whole_file
from recsys.feature._yaml import read_yaml
from recsys.feature.schema.schema import Schema

FORMATS = ("recsys.FeaturePipeline 1", "recsys.FeaturePipeline 2")
MANIFEST = "pipeline.yaml"
KEYS = {
    "format", "folder", "schema", "families", "vocabularies", "statistics", "vectors",
}  # fmt: skip
VERSIONS = "vocabulary-*"
BEFORE = ".lock"  # the lock's name in the first folders of this form
LONGEST = 255 - len(".parquet")  # bytes of a name that file systems take
FOLDER = re.compile(r"vocabulary(-\d+)?")


def write_pipeline(path: str | Path, schema: Schema, fitted: Fitted) -> None:
    """Writes a folder that `read_pipeline` reads; whole or not at all.

    Writers take turns. Readers see one pipeline or the other.

    Raises:
        FileExistsError: If the path exists and is anything but a saved pipeline.
    """
    path = Path(path)
    if path.exists() and not (path / LOCK).exists():  # else others may be writing
        _check_replaceable(path)
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / LOCK):
        _check_replaceable(path)
        kept = _current(path)
        numbers = [int(each.name.rpartition("-")[2]) for each in path.glob(VERSIONS)]
        new = f"vocabulary-{max(numbers, default=0) + 1}"
        try:
            _write_vocabularies(path / new, fitted)
            with whole_file(path / MANIFEST) as part:
                part.write_text(_manifest(new, schema, fitted), encoding="utf-8")
            kept = new
        finally:
            for other in path.glob("vocabulary*"):
                if other.name != kept:
                    shutil.rmtree(other)
            if kept is None:
                shutil.rmtree(path)


def read_pipeline(path: str | Path) -> tuple[Schema, Fitted]:
    """Reads a folder that `write_pipeline` wrote.

    Raises:
        ValueError: If the folder is missing, is something else or is damaged.
    """
    path = Path(path)
    while True:
        text = None
        try:
            text = (path / MANIFEST).read_text(encoding="utf-8")
            return _read(path, text)
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            yaml.YAMLError,
            pa.ArrowException,
        ) as error:
            if text is not None and text != _text(path):
                continue  # it was replaced meanwhile
            reason = f"{type(error).__name__}: {error}"
            raise ValueError(
                f"{path} must be a folder that FeaturePipeline.save wrote. "
                f"Received: {reason}"
            ) from error


def _read(path: Path, text: str) -> tuple[Schema, Fitted]:
    saved = read_yaml(text)
    schema, sizes = _checked(saved)
    folder = path / saved.get("folder", "vocabulary")  # its name in format 1
    vocabularies = {
        name: _read_vocabulary(folder, name, size) for name, size in sizes.items()
    }
    unseen = {name: words["unseen"] for name, words in saved["vocabularies"].items()}
    vectors = {
        column.name: read_vectors(
            folder.absolute() / _file_of(column.name), saved["vectors"][column.name]
        )
        for column in schema.vectors
    }
    statistics = saved["statistics"]
    fitted = Fitted(saved["families"], vocabularies, unseen, statistics, vectors)
    fitted.check(schema)
    return schema, fitted


def _checked(saved: Any) -> tuple[Schema, dict[str, int]]:
    """The schema of a file, and the sizes of its vocabularies.

    Their names become those of files: they are none but those of the schema.
    """
    found = saved.get("format") if isinstance(saved, dict) else None
    name, _, version = str(found).rpartition(" ")
    known, _, newest = FORMATS[-1].rpartition(" ")
    if name == known and version.isdecimal() and int(version) > int(newest):
        raise ValueError(
            f"a newer deep-rec-kit wrote it, in format {version}; this one reads "
            f"formats up to {newest}"
        )
    if found not in FORMATS:
        raise ValueError(f"{MANIFEST} must begin with 'format: {FORMATS[-1]}'")
    if unknown := {*saved} - KEYS:
        raise ValueError(
            f"{MANIFEST} must have no keys but {sorted(KEYS)}. "
            f"Received: {sorted(map(str, unknown))}"
        )
    folder = saved.get("folder", "vocabulary")
    if not FOLDER.fullmatch(str(folder)):
        raise ValueError(f"folder must be 'vocabulary-' and a number, not {folder!r}")
    schema = Schema.from_dict(saved["schema"])
    vocabularies = saved["vocabularies"]
    if {*vocabularies} != {*owners(schema)}:
        raise ValueError(
            f"vocabularies must be those of {sorted(owners(schema))}, as the schema "
            f"says. Received: {sorted(map(str, vocabularies))}"
        )
    return schema, {name: words["size"] for name, words in vocabularies.items()}


def _text(path: Path) -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return (path / MANIFEST).read_text(encoding="utf-8")
    return None


def _current(path: Path) -> str | None:
    """The folder of the vocabularies of the pipeline that is saved there, if any."""
    with suppress(yaml.YAMLError):
        saved = yaml.safe_load(_text(path) or "")
        if isinstance(saved, dict):
            return str(saved.get("folder", "vocabulary"))
    return None


def _write_vocabularies(folder: Path, fitted: Fitted) -> None:
    folder.mkdir()
    folder = folder.absolute()  # else Arrow takes 's3:a' for an address
    for name, words in fitted.vocabularies.items():
        file = folder / _file_of(name)
        pq.write_table(words, file, write_page_checksum=True)
        sync(file)
    for name, vectors in fitted.vectors.items():
        file = folder / _file_of(name)
        vectors.write(file)
        sync(file)
    sync(folder)


def _manifest(folder: str, schema: Schema, fitted: Fitted) -> str:
    saved: dict[str, Any] = {
        "format": FORMATS[-1],
        "folder": folder,
        "schema": schema.to_dict(),
        "families": dict(fitted.families),
        "vocabularies": {
            name: {"size": len(words), "unseen": fitted.unseen[name]}
            for name, words in fitted.vocabularies.items()
        },
        "statistics": dict(fitted.statistics),
    }
    if fitted.vectors:  # else versions that know none read it, too
        saved["vectors"] = {n: of.told() for n, of in fitted.vectors.items()}
    text: str = yaml.safe_dump(saved, sort_keys=False, allow_unicode=True)
    return text


def _read_vocabulary(folder: Path, name: str, size: int) -> pa.Table:
    file = folder.absolute() / _file_of(name)
    words = pq.read_table(file, page_checksum_verification=True)
    if words.column_names != ["value", "count"] or len(words) != size:
        raise ValueError(f"the vocabulary of {name!r} must have {size} rows")
    return words


def _file_of(name: str) -> str:
    """The file of a vocabulary."""
    written = name.encode()
    if len(written) > LONGEST:
        digest = hashlib.sha256(written).hexdigest()[:16]
        name = f"{written[: LONGEST - 17].decode(errors='ignore')}-{digest}"
    return f"{name}.parquet"


def _check_replaceable(path: Path) -> None:
    """Raises `FileExistsError` if there is something that is not of a saved pipeline.

    Where the lock is, other versions and what is hidden are left of writers that were
    killed.
    """
    error = FileExistsError(
        f"{path} must not exist, or be a saved pipeline and nothing else"
    )
    if not path.is_dir():
        raise error
    names = [p.relative_to(path).as_posix() for p in path.rglob("*")]
    known = {MANIFEST, LOCK, BEFORE}
    current = _current(path)
    if MANIFEST in names:
        try:
            fitted = read_pipeline(path)[1]
        except ValueError:
            raise error from None
        files = map(_file_of, (*fitted.vocabularies, *fitted.vectors))
        known |= {str(current), *(f"{current}/{file}" for file in files)}
    left = re.compile(rf"vocabulary-\d+/[^/]+\.parquet|\.{MANIFEST}{LEFT}.*")
    for name in names:
        of_writer = left.fullmatch(name) or (
            FOLDER.fullmatch(name) and (path / name).is_dir()
        )
        of_current = name.partition("/")[0] == current
        if name not in known and (of_current or LOCK not in names or not of_writer):
            raise error
