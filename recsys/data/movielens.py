"""MovieLens-100K: 100,000 ratings of 1,682 films by 943 people, 1997 and 1998.

Harper and Konstan, ACM TiiS 2015, https://doi.org/10.1145/2827872. For research; not to
be passed on without permission, so it is fetched and never shipped.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from recsys.data.progress import working

OFFICIAL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
OFFICIAL_MD5 = "0e33842e24a9c977be4e0107933c0723"
PACKAGE = "recbole==1.2.1"
PACKAGE_SHA256 = {
    "inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery",
    "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


class MovieLens(NamedTuple):
    """Three Arrow tables.

    Args:
        ratings: `user_id`, `item_id`, `rating` (1 to 5), `timestamp` (seconds), in
            order of time.
        items: `item_id`, `title` (without the year), `year` (null if not known),
            `genres` (list of names).
        users: `user_id`, `age`, `gender`, `occupation`, `zip_code`.
    """

    ratings: pa.Table
    items: pa.Table
    users: pa.Table


def load_movielens_100k() -> MovieLens:
    """Returns MovieLens-100K, fetched on first use and from a cache afterwards.

    It comes from its official address or, if that does not answer, from the copy in
    the package `recbole`, which `pip` downloads but does not install. Either must have
    its checksum; both give the same tables.

    The cache is the folder `RECSYS_DATA_DIR`, by default `recsys` in the cache folder
    of the user.

    Raises:
        RuntimeError: If the cache has no copy and neither source gives one.
    """
    cache = Path(os.environ.get("RECSYS_DATA_DIR") or _user_cache())
    sources = (
        ("ml-100k.zip", _fetch_official, read_official),
        ("ml-100k-recbole.zip", _fetch_package, read_package),
    )
    for name, _, read in sources:
        try:
            return read(cache / name)
        except (OSError, ValueError):
            continue  # not there, or damaged: fetched anew
    reasons = []
    cache.mkdir(parents=True, exist_ok=True)
    for name, fetch, read in sources:
        try:
            with (
                working("Fetching MovieLens-100K"),
                tempfile.TemporaryDirectory(dir=cache) as folder,
            ):
                fetched = fetch(Path(folder))
                tables = read(fetched)
                os.replace(fetched, cache / name)
            return tables
        except (OSError, ValueError, HTTPException) as error:
            reasons.append(f"{error}")
    raise RuntimeError(
        f"MovieLens-100K cannot be fetched, neither from {OFFICIAL} ({reasons[0]}) nor "
        f"from the package {PACKAGE} ({reasons[1]})"
    )


def read_official(path: Path) -> MovieLens:
    """Reads the official archive.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not the archive it should be.
    """
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    _compare(path, digest, OFFICIAL_MD5)
    with zipfile.ZipFile(path) as archive:
        return parse_official(archive)


def read_package(path: Path) -> MovieLens:
    """Reads the package that has a copy, like `read_official`."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name, wanted in PACKAGE_SHA256.items():
                content = archive.read(_in_package(name))
                _compare(path, hashlib.sha256(content).hexdigest(), wanted)
            return parse_package(archive)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path} must be the package {PACKAGE}: {error}") from error


def parse_official(archive: zipfile.ZipFile) -> MovieLens:
    """Returns the tables of `u.data`, `u.item` and `u.user`."""
    data, item, user = (
        archive.read(f"ml-100k/u.{name}").decode("latin-1").splitlines()
        for name in ("data", "item", "user")
    )
    items = []
    for line in item:
        number, title, _, _, _, *flags = line.split("|")
        genres = [name for name, flag in zip(GENRES, flags, strict=True) if flag == "1"]
        items.append((number, title, genres))
    return _tables(
        (line.split("\t") for line in data), items, (line.split("|") for line in user)
    )


def parse_package(archive: zipfile.ZipFile) -> MovieLens:
    """Returns the tables of the copy in the package, equal to the official ones."""
    inter, item, user = (
        archive.read(_in_package(name)).decode("utf-8").splitlines()[1:]
        for name in ("inter", "item", "user")
    )
    items = []
    for line in item:
        number, title, year, genres = line.split("\t")
        # The copy cut titles at the last parenthesis, and misspells the one without.
        whole = "unknown" if year == "unkonwn" else f"{title} ({year})"
        items.append((number, whole, genres.split()))
    return _tables(
        (line.split("\t") for line in inter), items, (line.split("\t") for line in user)
    )


def _tables(
    ratings: Iterable[list[str]],
    items: Iterable[tuple[str, str, list[str]]],
    users: Iterable[list[str]],
) -> MovieLens:
    events = [tuple(map(int, row)) for row in ratings]
    events.sort(key=lambda event: (event[3], *event))
    films = []
    for number, title, genres in items:
        name, year = _split_title(title)
        films.append((int(number), name, year, sorted(genres, key=GENRES.index)))
    return MovieLens(
        _table(
            events,
            user_id=pa.int64(),
            item_id=pa.int64(),
            rating=pa.int64(),
            timestamp=pa.int64(),
        ),
        _table(
            sorted(films),
            item_id=pa.int64(),
            title=pa.string(),
            year=pa.int64(),
            genres=pa.list_(pa.string()),
        ),
        _table(
            sorted((int(user), int(age), *rest) for user, age, *rest in users),
            user_id=pa.int64(),
            age=pa.int64(),
            gender=pa.string(),
            occupation=pa.string(),
            zip_code=pa.string(),
        ),
    )


def _split_title(title: str) -> tuple[str, int | None]:
    """`Toy Story (1995)` -> `Toy Story`, 1995; a `(V)` for video may follow."""
    title = " ".join(title.split())
    found = re.fullmatch(r"(.*) \((\d{4})\)( \(V\))?", title)
    return (found[1], int(found[2])) if found else (title, None)


def _table(rows: Iterable[Iterable[object]], **types: pa.DataType) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            name: pa.array(values, kind)
            for (name, kind), values in zip(types.items(), columns, strict=True)
        }
    )


def _fetch_official(folder: Path) -> Path:
    path = folder / "ml-100k.zip"
    with urllib.request.urlopen(OFFICIAL, timeout=20) as answer:
        path.write_bytes(answer.read())
    return path


def _fetch_package(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    command += ["--retries=1", "--timeout=20", f"--dest={folder}", PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if done.returncode or not found:
        raise OSError(f"pip: {done.stderr.strip().rpartition(chr(10))[2]}")
    return found[0]


def _in_package(name: str) -> str:
    return f"recbole/dataset_example/ml-100k/ml-100k.{name}"


def _compare(path: Path, digest: str, wanted: str) -> None:
    if digest != wanted:
        raise ValueError(f"{path} must have the checksum {wanted}. Received: {digest}")


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "recsys"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "recsys"
