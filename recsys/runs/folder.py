"""The folder of a run: what is in it, and how it is found."""

import difflib
import json
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recsys.data.writing import whole_file

OURS = version("deep-rec-kit")
RUNS, LATEST = Path("runs"), "latest"
RECORD, CONFIG, REPORT, METRICS = (
    "run.json",
    "config.yaml",
    "report.html",
    "metrics.json",
)
STUDY, BEST = "study.db", "best.yaml"
MODEL, LAST, EPOCHS = "model.keras", "last.keras", "epochs.json"
PIPELINE, SAMPLES, STATE = "pipeline", "samples", "state"
GONE = ".gone"  # rows that are being removed
PREDICTIONS, EVENTS = "predictions.parquet", "events.parquet"
TENSORBOARD, MLFLOW = "tensorboard", "mlflow.txt"
LISTS = "lists.json"  # of two stages
MATCH = "match"  # the first of two stages: a run's folder in that of the second
USERS, ITEMS, SEEN = "users.parquet", "items.parquet", "seen.parquet"
_LOCK = ".lock"
_PACKAGES = ("tensorflow", "keras", "numpy", "duckdb", "ibis-framework", "pyarrow")


def versions() -> dict[str, str]:
    """Returns what a run was made with."""
    found = {name: version(name) for name in _PACKAGES}
    return {"recsys": OURS, "python": platform.python_version(), **found}


def check_name(name: str | None) -> None:
    """Raises `ValueError` if the name that is given to a run is none of a folder."""
    if name is not None and (name == LATEST or Path(name).name != name):
        raise ValueError(
            "The name of a run must be that of a folder, and not 'latest'. "
            f"Received: {name!r}"
        )


def read_record(folder: Path) -> dict[str, Any]:
    """Returns what is known of a run.

    Raises:
        ValueError: If the folder is none of a run.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder} must be the folder of a run. Received: {error}"
        ) from error
    return record


def write_json(path: Path, values: Any) -> None:
    """Writes a file that appears when it is whole."""
    with whole_file(path) as part:
        part.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def is_finished(folder: Path) -> bool:
    """Whether there is a run whose training and report are done."""
    return (folder / RECORD).is_file() and bool(read_record(folder).get("finished"))


def is_begun(folder: Path) -> bool:
    """Whether a folder is what a process left that was killed as it began a run."""
    names = {each.name for each in folder.iterdir()}
    return {name for name in names if not name.startswith(".")} <= {CONFIG}


def find_run(name: str | Path, runs: Path = RUNS) -> Path:
    """Returns the folder of a finished run.

    Args:
        name: A folder, the name of one in `runs`, or `latest`.
        runs: Where runs are.

    Raises:
        ValueError: If there is none, or it has not ended.
    """
    choices = [Path(name), runs / name]
    for folder in choices:
        if (folder / RECORD).is_file():
            if not is_finished(folder):
                raise ValueError(
                    f"{folder} must be a run that has ended. Received: one that has "
                    f"not; `recsys train {folder / CONFIG} --resume` goes on with it"
                )
            return folder.resolve() if folder.name == LATEST else folder
    known = names_of(runs)
    near = difflib.get_close_matches(str(name), known, 3)
    raise ValueError(
        f"There must be a run {str(name)!r}: a folder, or a name in {runs}/. "
        f"Received: {', '.join(near or known) or 'no runs'} there"
    )


def is_run(name: str, runs: Path = RUNS) -> bool:
    """Whether a name is that of a run, ended or not, and of no file."""
    return any((at / RECORD).is_file() for at in (Path(name), runs / name))


def names_of(runs: Path) -> list[str]:
    """Returns the names of all runs, ended or not."""
    found = (each.parent for each in runs.glob(f"*/{RECORD}"))
    return sorted(each.name for each in found if not each.is_symlink())


def free_name(stem: str, runs: Path) -> str:
    """Returns `stem`, or `stem-2`, `stem-3` and so on, that no run has."""
    taken = {each.name for each in runs.iterdir()} if runs.is_dir() else set()
    if stem not in taken:
        return stem
    numbers = [
        int(found[1])
        for each in taken
        if (found := re.fullmatch(rf"{re.escape(stem)}-(\d+)", each))
    ]
    return f"{stem}-{max([1, *numbers]) + 1}"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a run's folder, which no other process may train in meanwhile.

    Raises:
        ValueError: If another process does.
    """
    try:
        with FileLock(folder / _LOCK, blocking=False):
            yield
    except Timeout as error:
        raise ValueError(
            f"{folder} must not be trained by two processes. Received: another one"
        ) from error


def point_latest(folder: Path) -> None:
    """Has `runs/latest` lead to a run."""
    link = folder.parent / LATEST
    part = folder.parent / f".{LATEST}-{os.getpid()}"
    with suppress(FileNotFoundError):
        part.unlink()
    part.symlink_to(folder.name)
    os.replace(part, link)
