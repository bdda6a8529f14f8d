"""From a configuration to a run: its folder, its rows, its models, its report."""

import datetime
import hashlib
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from recsys.data.files.paths import find_files
from recsys.data.progress import working
from recsys.runs import folder as places
from recsys.runs.config import Config
from recsys.runs.finished import Run
from recsys.runs.page import Block
from recsys.runs.reading import Read, read_config
from recsys.runs.shown import as_yaml

if TYPE_CHECKING:
    from recsys.runs.stages.hard import Candidates


class Stopped(Exception):
    """Somebody has stopped a run; it says how to go on."""


@dataclass(frozen=True)
class _Made:
    """The rows of a run whose models are trained, and what is odd in them."""

    samples: Path
    warnings: Sequence[str]


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
            places.point_latest(here)
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


def run_or_found(
    source: str | Path | Mapping[str, Any],
    name: str,
    settings: Sequence[str],
    runs: Path,
    console: Console,
    samples: Path | None = None,
) -> Run:
    """Returns a run that has ended, one that went on, or else a new one.

    Args:
        source, name, settings, runs, console, samples: As in `run`.

    Raises:
        FileNotFoundError, ValueError: As in `run`; or what is there was made otherwise.
    """
    folder = runs / name
    is_there = (folder / places.RECORD).is_file()
    if is_there and places.is_finished(folder):
        check_same(folder / places.CONFIG, as_used(read_config(source, settings)))
        return Run(folder)
    return run(
        source,
        name=name,
        settings=settings,
        resume=is_there,
        runs=runs,
        console=console,
        samples=samples,
    )


def _run(read: Read, here: Path, shared: Path | None, console: Console) -> None:
    """Goes on with all that is not there yet."""
    from recsys.runs.stages.first import first_stage
    from recsys.runs.stages.hard import Candidates
    from recsys.runs.stages.lists import recommended

    begun = time.perf_counter()
    if read.config.match is None:
        _tell(read, here, _made(read, here, shared, console), [], begun, console)
        return
    at = here / places.MATCH
    at.mkdir(exist_ok=True)
    first = _begin(first_stage(read), at, (at / places.RECORD).is_file())
    made = _made(first, at, None, console)
    hard = None
    negatives = read.config.samples.negatives
    if negatives is not None and negatives.by == "candidates":
        hard = Candidates(first, at, made.samples)
    done = _made(read, here, shared, console, hard)
    lists = recommended(read, here, first, made.samples)
    _tell(first, at, made, [], begun, console)
    _tell(read, here, done, lists, begun, console)


def _made(
    read: Read,
    here: Path,
    shared: Path | None,
    console: Console,
    hard: "Candidates | None" = None,
) -> _Made:
    """Makes the rows and trains."""
    from recsys.runs.preparing import prepare
    from recsys.runs.training import train

    console.rule(f"{here}")
    samples = shared or here / places.SAMPLES
    warnings = prepare(read, samples, here, console, hard)
    for place, seed in enumerate(read.config.training.seeds):
        at = here if not place else here / f"seed-{seed}"
        if not (at / places.METRICS).is_file():
            train(read, samples, at, here / places.PIPELINE, seed, console)
    return _Made(samples, warnings)


def _are_same(one: Any, other: Any) -> bool:
    """Whether values are equal; `False` is not 0."""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return all(map(_are_same, one, other))
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _tell(
    read: Read,
    here: Path,
    made: _Made,
    lists: Sequence[Block],
    begun: float,
    console: Console,
) -> None:
    """Writes the report, and has the run end."""
    from recsys.runs.evaluation.evaluating import print_block
    from recsys.runs.matching.kept import keep
    from recsys.runs.matching.kind import is_match
    from recsys.runs.preparing import warn
    from recsys.runs.report import doubts, of_test_rows, write_report

    shown = keep(read, made.samples, here) if is_match(read.config) else [*lists]
    found = write_report(here, read, made.warnings, shown)
    console.print(f"Test rows of {read.config.model.name}:", highlight=False)
    print_block(of_test_rows(read, found), console)
    for block in lists:
        print_block(block, console)
    warn(doubts(read, found[0]), console)
    events = made.samples / places.EVENTS
    if events.exists():
        shutil.copy(events, here / places.EVENTS)
    _finish(here, time.perf_counter() - begun)


def _placed(read: Read, name: str | None, runs: Path, resume: bool) -> Path:
    """The folder of the run, made if it is new."""
    stem = "run" if read.origin.path is None else read.origin.path.stem
    places.check_name(name)
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


def check_same(path: Path, config: Config, but: str = "tuning") -> None:
    """Raises `ValueError` if a run's file says something else; with the keys.

    Args:
        path: The run's file.
        config: What it should say.
        but: What may be otherwise.
    """
    differing = _differing(read_config(path).config.plain(), config.plain())
    if differing := [key for key in differing if not f"{key}.".startswith(f"{but}.")]:
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
        return [] if _are_same(one, other) else [path]
    return [
        found
        for key in dict.fromkeys((*one, *other))
        for found in _differing(
            one.get(key), other.get(key), f"{path}.{key}".lstrip(".")
        )
    ]


def _finish(here: Path, seconds: float) -> None:
    gone = here / places.GONE
    shutil.rmtree(gone, ignore_errors=True)
    if (here / places.SAMPLES).is_dir():  # rows are there whole, or not at all
        (here / places.SAMPLES).rename(gone)
    for left in (gone, *here.glob(f"**/{places.STATE}")):
        shutil.rmtree(left, ignore_errors=True)
    record = places.read_record(here)
    record |= {"finished": True, "seconds": round(seconds, 1)}
    places.write_json(here / places.RECORD, record)
