"""How files and folders are written: whole or not at all, by any number of writers.

What is not yet whole lies in a hidden folder beside its place, with a lock in it that
its writer holds. A folder whose lock is free is left of a process that was killed; the
next writer to the same place removes it.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

LOCK = ".recsys-lock"
SCRATCH = ".recsys-scratch"  # the lock of a temporary folder, and of nothing else
LEFT = ".recsys-"
OLD = "old"


def checked_path(who: str, path: Any) -> Path:
    """Returns a path.

    Raises:
        ValueError: If it is none.
    """
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        name = who.rpartition(" ")[2]
        raise ValueError(f"{who} must be a path. Received: {name}={path!r}")
    return Path(path)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yields where to write a file that appears under its name when it is whole.

    Any number of threads and processes may write one file: the last one stays.

    Raises:
        FileNotFoundError: If there is no folder for it.
        FileExistsError: If it is a folder.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise FileExistsError(f"{path} must not be a folder. Received: one that is")
    with _beside(path) as part:
        yield part
        sync(part)
        os.replace(part, path)
        sync(path.parent)


@contextmanager
def whole_folder(path: str | Path, names: Sequence[str]) -> Iterator[Path]:
    """Yields where to write a folder that appears under its name when it is whole.

    One of its kind that is there is replaced. No call does that at once: readers may
    find neither for a moment.

    Args:
        path: The folder.
        names: What there may be in a folder of its kind, and in those inside it, which
            end in '/'; the first of them must be. `*` and `?` stand for any letters.

    Raises:
        FileNotFoundError: If there is no folder for it.
        FileExistsError: If there is anything but an empty folder, or one of its kind.
    """
    path = Path(path).resolve()
    there = {
        f"{each.relative_to(path).as_posix()}{'/' if each.is_dir() else ''}"
        for each in (path.rglob("*") if path.is_dir() else ())
    }
    known = {n for n in there if any(fnmatchcase(n, pattern) for pattern in names)}
    strange = sorted(there - known or (there if names[0] not in there else ()))
    if strange or (path.exists() and not path.is_dir()):
        raise FileExistsError(
            f"{path} must be new, empty, or a folder of {', '.join(names)} alone, "
            f"which is replaced. Received: {', '.join(strange) or 'a file'}"
        )
    with _beside(path) as part:
        yield part
        for written in part.rglob("*"):
            sync(written)
        old = part.with_name(f"{path.name}-{OLD}")
        while True:
            with suppress(FileNotFoundError):
                os.rename(path, old)
            try:
                os.rename(part, path)
                break
            except OSError as error:  # another writer was between the two
                if error.errno != errno.ENOTEMPTY:
                    raise
                shutil.rmtree(old)
        sync(path.parent)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yields a free path of the same name, in a hidden folder that ends with this."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: {path.parent} must be a folder"
        )
    prefix = f".{path.name}{LEFT}"
    for left in path.parent.glob(f"{escape(prefix)}*"):
        remove_left(left, path)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
        lock = FileLock(folder / LOCK)
        # Another writer may take it for one that is left, at any point.
        with suppress(FileNotFoundError, FileExistsError):
            lock.acquire()
            break
    try:
        yield folder / path.name
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    """Returns a folder that is removed with the object, or the process.

    Those of processes that were killed are removed, too.
    """
    for left in Path(tempfile.gettempdir()).glob("recsys-*"):
        if (left / SCRATCH).is_file():
            remove_left(left, left, SCRATCH)
    while True:
        folder: Any = tempfile.TemporaryDirectory(
            prefix="recsys-", ignore_cleanup_errors=True
        )
        folder.lock = FileLock(Path(folder.name) / SCRATCH, thread_local=False)
        with suppress(FileNotFoundError, FileExistsError):
            folder.lock.acquire()
            if (Path(folder.name) / SCRATCH).is_file():
                found: tempfile.TemporaryDirectory[str] = folder
                return found
        folder.cleanup()  # another thread took it for one that is left


def remove_left(folder: Path, path: Path, lock: str = LOCK) -> None:
    """Removes what a killed process left; first gives back the only copy there is.

    Args:
        folder: With a lock in it.
        path: What was to be written.
        lock: Name of the lock.
    """
    with suppress(Timeout, OSError), FileLock(folder / lock, blocking=False):
        for old in folder.glob(f"*-{OLD}"):
            if not path.exists():
                os.rename(old, path)
        shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
