"""A fitted pipeline as a folder of readable files.

pipeline.yaml              the schema, the statistics, and what is in the vocabularies
vocabulary/<name>.parquet  value and count; the first row has id 2
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from recsys.data.fitted import Fitted, owners
from recsys.feature.schema import Schema

FORMAT = "recsys.FeaturePipeline 1"


def write_pipeline(path: str | Path, schema: Schema, fitted: Fitted) -> None:
    """Writes a folder that `read_pipeline` reads; whole or not at all.

    Raises:
        FileExistsError: If the path exists and is anything but a saved pipeline.
    """
    path = Path(path)
    if path.exists() and not _is_replaceable(path):
        raise FileExistsError(
            f"{path} must not exist, or be a saved pipeline and nothing else"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = (path.parent / f".{path.name}-{uuid.uuid4().hex}" for _ in range(2))
    try:
        _write(new, schema, fitted)
        if path.exists():
            os.rename(path, old)
        os.rename(new, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.rename(old, path)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yields where to write a file that appears under its name when it is whole.

    Any number of threads and processes may write one file: the last one stays.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_pipeline(path: str | Path) -> tuple[Schema, Fitted]:
    """Reads a folder that `write_pipeline` wrote.

    Raises:
        ValueError: If the folder is missing, is something else or is damaged.
    """
    path = Path(path)
    try:
        saved = yaml.safe_load((path / "pipeline.yaml").read_text(encoding="utf-8"))
        schema, sizes = _checked(saved)
        vocabularies = {
            name: _read_vocabulary(path, name, size) for name, size in sizes.items()
        }
        unseen = {
            name: words["unseen"] for name, words in saved["vocabularies"].items()
        }
        fitted = Fitted(saved["families"], vocabularies, unseen, saved["statistics"])
        fitted.check(schema)
        return schema, fitted
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
        pa.ArrowException,
    ) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path} must be a folder that FeaturePipeline.save wrote. "
            f"Received: {reason}"
        ) from error


def _checked(saved: Any) -> tuple[Schema, dict[str, int]]:
    """The schema of a file, and the sizes of its vocabularies.

    Their names become those of files: they are none but those of the schema.
    """
    found = saved.get("format") if isinstance(saved, dict) else None
    name, _, version = str(found).rpartition(" ")
    known, _, newest = FORMAT.rpartition(" ")
    if name == known and version.isdecimal() and int(version) > int(newest):
        raise ValueError(
            f"a newer deep-rec-kit wrote it, in format {version}; this one reads "
            f"formats up to {newest}"
        )
    if found != FORMAT:
        raise ValueError(f"pipeline.yaml must begin with 'format: {FORMAT}'")
    schema = Schema.from_dict(saved["schema"])
    vocabularies = saved["vocabularies"]
    if {*vocabularies} != {*owners(schema)}:
        raise ValueError(
            f"vocabularies must be those of {sorted(owners(schema))}, as the schema "
            f"says. Received: {sorted(map(str, vocabularies))}"
        )
    return schema, {name: words["size"] for name, words in vocabularies.items()}


def _write(path: Path, schema: Schema, fitted: Fitted) -> None:
    (path / "vocabulary").mkdir(parents=True)
    for name, words in fitted.vocabularies.items():
        pq.write_table(words, _file(path, name), write_page_checksum=True)
    saved: dict[str, Any] = {
        "format": FORMAT,
        "schema": schema.to_dict(),
        "families": dict(fitted.families),
        "vocabularies": {
            name: {"size": len(words), "unseen": fitted.unseen[name]}
            for name, words in fitted.vocabularies.items()
        },
        "statistics": dict(fitted.statistics),
    }
    text = yaml.safe_dump(saved, sort_keys=False, allow_unicode=True)
    (path / "pipeline.yaml").write_text(text, encoding="utf-8")


def _read_vocabulary(path: Path, name: str, size: int) -> pa.Table:
    words = pq.read_table(_file(path, name), page_checksum_verification=True)
    if words.column_names != ["value", "count"] or len(words) != size:
        raise ValueError(f"the vocabulary of {name!r} must have {size} rows")
    return words


def _file(path: Path, name: str) -> Path:
    return path / "vocabulary" / f"{name}.parquet"


def _is_replaceable(path: Path) -> bool:
    """Whether nothing is lost that `read_pipeline` does not know."""
    if not path.is_dir():
        return False
    names = [p.relative_to(path).as_posix() for p in path.rglob("*")]
    if not names:
        return True
    known = {"pipeline.yaml", "vocabulary"}
    try:
        known |= {
            f"vocabulary/{name}.parquet" for name in read_pipeline(path)[1].vocabularies
        }
    except ValueError:
        return False
    return set(names) <= known
