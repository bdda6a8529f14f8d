"""From a configuration to a run: its folder, its rows, its models, its report."""

import datetime
import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from recsys.data.files.paths import find_files
from recsys.data.pipeline import FeaturePipeline
from recsys.data.progress import working
from recsys.feature.schema.schema import Schema
from recsys.runs import folder as places
from recsys.runs.config import Config
from recsys.runs.finished import Run
from recsys.runs.reading import Read, read_config
from recsys.runs.shown import as_yaml


class Stopped(Exception):
    """Somebody has stopped a run; it says how to go on."""


def run(
    source: str | Path | Mapping[str, Any],
    *,
    name: str | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    runs: str | Path = places.RUNS,
    console: Console | None = None,
    samples: Path | None = None,
) -> Run:
    """Makes the rows, trains, tests and reports, all into one folder.

    Args:
        source: A YAML file as `recsys init` writes it, or what one would hold.
        name: Name of the run in `runs`. Default: that of the file, with a number
            behind it if there is one.
        settings: Values that take the place of the file's: "training.epochs=3".
        resume: Whether to go on with a run of this name that was stopped.
        runs: Folder of all runs.
        console: Where to tell what goes on. Default: the terminal.
        samples: Folder of the rows, for runs of the same ones; made if it is not there.
            Default: one of its own, which is removed in the end.

    Returns:
        The run, which has ended.

    Raises:
        FileNotFoundError, ValueError: If the configuration or the data cannot be right,
            or there is a run of that name.
    """
    console = console or Console()
    read = read_config(source, settings)
    from recsys.runs.building import check_names  # what loads TensorFlow waits

    check_names(read)
    here = _placed(read, name, Path(runs), resume)
    with places.held(here):
        try:
            _run(_begin(read, here, resume), here, samples, console)
        except KeyboardInterrupt:
            if not (here / places.RECORD).is_file():
                shutil.rmtree(here)
                raise Stopped("Stopped before anything was made.") from None
            config = here / places.CONFIG
            raise Stopped(
                f"Stopped. `recsys train {config} --resume` goes on where it stands."
            ) from None
        except Exception as error:
            kept = [places.METRICS]
            if not isinstance(error, ValueError):  # a full disk, for example
                kept.append(places.STATE)
            if not resume and not any((here / each).exists() for each in kept):
                shutil.rmtree(here)  # nothing is there to go on with
            raise
    console.print(f"{here / places.REPORT}", highlight=False)
    return Run(here)


def _run(read: Read, here: Path, shared: Path | None, console: Console) -> None:
    from recsys.runs.evaluation.evaluating import print_block
    from recsys.runs.matching.kept import keep
    from recsys.runs.matching.kind import is_match
    from recsys.runs.report import of_test_rows, write_report
    from recsys.runs.samples.checks import check_samples
    from recsys.runs.samples.vectors import files_of_vectors
    from recsys.runs.samples.write import write_samples
    from recsys.runs.training import train

    console.rule(f"{here}")
    samples = shared or here / places.SAMPLES
    if not samples.is_dir():
        with working("Making the rows"):
            written = write_samples(read.config, Path(), samples)
        for part, rows in written.rows.items():
            console.print(f"{part}: {rows:,} rows", highlight=False)
        for note in written.notes:
            console.print(note, highlight=False, markup=False, soft_wrap=True)
    warnings = check_samples(read.config, samples)
    for warning in warnings:
        text = f"Warning: {warning}"
        console.print(text, style="yellow", markup=False, soft_wrap=True)
    if not (here / places.PIPELINE).is_dir():
        schema = Schema.from_dict(read.config.declared)
        pipeline = FeaturePipeline(
            schema.columns, schema.labels, schema.sample_weight, schema.groups
        )
        items = files_of_vectors(read, schema)
        pipeline.fit(str(samples / "train.parquet"), items).save(here / places.PIPELINE)
    begun = time.perf_counter()
    for place, seed in enumerate(read.config.training.seeds):
        at = here if not place else here / f"seed-{seed}"
        if not (at / places.METRICS).is_file():
            train(read, samples, at, here / places.PIPELINE, seed, console)
    shown = keep(read, samples, here) if is_match(read.config) else []
    found = write_report(here, read, warnings, shown)
    console.print("Test rows:")
    print_block(of_test_rows(read, found), console)
    events = samples / places.EVENTS
    if events.exists():
        shutil.copy(events, here / places.EVENTS)
    _finish(here, time.perf_counter() - begun)


def _placed(read: Read, name: str | None, runs: Path, resume: bool) -> Path:
    """The folder of the run, made if it is new."""
    stem = "run" if read.origin.path is None else read.origin.path.stem
    if name is not None and (name == places.LATEST or Path(name).name != name):
        raise ValueError(
            "The name of a run must be that of a folder, and not 'latest'. "
            f"Received: {name!r}"
        )
    if resume:
        if read.origin.path is not None and read.origin.path.name == places.CONFIG:
            here = read.origin.path.parent if name is None else runs / name
        else:
            here = runs / (name or stem)
        if not (here / places.RECORD).is_file():
            raise ValueError(
                f"--resume must be of a run that was stopped. Received: no run {here}"
            )
        if places.is_finished(here):
            raise ValueError(
                f"--resume must be of a run that was stopped. Received: {here}, which "
                "has ended"
            )
        return here
    runs.mkdir(parents=True, exist_ok=True)
    while name is None:
        here = runs / places.free_name(stem, runs)
        with suppress(FileExistsError):  # another process was faster
            here.mkdir()
            return here
    here = runs / name
    if here.exists() and not places.is_begun(here):
        ended = (here / places.RECORD).is_file() and places.is_finished(here)
        raise ValueError(
            f"{here} must be new: --name gives another name"
            + ("" if ended else ", --resume goes on with one that was stopped")
            + ". Received: a folder that is there"
        )
    here.mkdir(exist_ok=True)
    return here


def _begin(read: Read, here: Path, resume: bool) -> Read:
    """Writes what the run is of; names of files are whole from here on."""
    config = as_used(read)
    text = as_yaml(config)
    path = here / places.CONFIG
    if resume:
        check_same(path, config)
    else:
        path.write_text(text, encoding="utf-8")
        record = {
            "name": here.name,
            "finished": False,
            "begun": datetime.datetime.now().astimezone().isoformat("T", "seconds"),
            "versions": places.versions(),
            "data": _checksums(config),
            "seeds": list(config.training.seeds),
        }
        places.write_json(here / places.RECORD, record)
    return Read(config, read.schema, read.origin)


def as_used(read: Read) -> Config:
    """Returns a configuration whose names of files are seen from anywhere."""
    return read.config.model_copy(
        update={
            "data": _whole(read, "data", ("files", "items", "users")),
            "split": _whole(read, "split", ("valid_files", "test_files")),
        }
    )


def check_same(path: Path, config: Config) -> None:
    """Raises `ValueError` if a run's file says something else; with the keys."""
    differing = _differing(read_config(path).config.plain(), config.plain())
    if differing:
        raise ValueError(
            f"{path} is of a run that is there, and the configuration must be the same "
            f"(--set included); --name makes another. Received: other "
            f"{', '.join(differing)}"
        )


def _whole(read: Read, section: str, keys: Sequence[str]) -> Any:
    """A section whose names of files are seen from anywhere."""
    at = getattr(read.config, section)
    base = read.origin.folder
    return at.model_copy(
        update={
            key: [str((base / each).absolute()) for each in getattr(at, key)]
            for key in keys
        }
    )


def _checksums(config: Config) -> dict[str, str]:
    found = {}
    names = [*config.data.files, *config.data.items, *config.data.users]
    names += [*config.split.valid_files, *config.split.test_files]
    with working("Reading the files"):
        for file in (each for name in names for each in find_files(name)):
            with open(file, "rb") as opened:
                found[file] = hashlib.file_digest(opened, "sha256").hexdigest()
    return found


def _differing(one: Any, other: Any, path: str = "") -> list[str]:
    """The keys of what differs in two configurations."""
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return [] if one == other else [path]
    return [
        found
        for key in dict.fromkeys((*one, *other))
        for found in _differing(
            one.get(key), other.get(key), f"{path}.{key}".lstrip(".")
        )
    ]


def _finish(here: Path, seconds: float) -> None:
    for left in (here / places.SAMPLES, *here.glob(f"**/{places.STATE}")):
        shutil.rmtree(left, ignore_errors=True)
    record = places.read_record(here)
    record |= {"finished": True, "seconds": round(seconds, 1)}
    places.write_json(here / places.RECORD, record)
    places.point_latest(here)
