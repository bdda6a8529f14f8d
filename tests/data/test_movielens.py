"""Both formats of MovieLens-100K give the same tables; fetching is all or nothing."""

import zipfile
from pathlib import Path

import pyarrow.compute as pc
import pytest

from recsys.data import movielens
from recsys.data.movielens import (
    GENRES,
    load_movielens_100k,
    parse_official,
    parse_package,
)

FILMS = [  # id, title as in u.item, as in the package, year there, genres
    (1, "A Day at Sea (1995)", "A Day at Sea", "1995", ["Animation", "Children's"]),
    (6, "Lune, La (Moon, The) (1994)", "Lune, La (Moon, The)", "1994", ["Film-Noir"]),
    (267, "unknown", "unkonwn", "unkonwn", ["unknown"]),
    (1373, "Dawn (1971)", "Dawn", "1971", ["unknown"]),
    (1412, "Bears II: Home (1995) (V)", "Bears II: Home (1995)", "V", ["Sci-Fi"]),
    (543, "Élan  vital, L' (1990) ", "Élan vital, L'", "1990", ["Drama", "War"]),
]
RATINGS = [(7, 1, 3, 900), (5, 6, 5, 800), (7, 267, 1, 800)]
USERS = [(7, 24, "F", "artist", "V3N4P"), (5, 31, "M", "none", "00123")]


@pytest.fixture
def official(tmp_path: Path) -> Path:
    def film(number, title, genres) -> str:
        flags = ["1" if genre in genres else "0" for genre in GENRES]
        dates = ["", ""] if title == "unknown" else ["01-Jan-1995", ""]
        link = "" if title == "unknown" else "http://example.com/?A%20(1995)"
        return "|".join([str(number), title, *dates, link, *flags])

    def lines(rows, separator: str) -> str:
        return "".join(separator.join(map(str, row)) + "\n" for row in rows)

    path = tmp_path / "official.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-100k/u.data", lines(RATINGS, "\t"))
        archive.writestr("ml-100k/u.user", lines(USERS, "|"))
        items = "\n".join(film(n, title, genres) for n, title, _, _, genres in FILMS)
        archive.writestr("ml-100k/u.item", (items + "\n").encode("latin-1"))
        archive.writestr("ml-100k/README", "not read")
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    contents = {
        "inter": (
            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
            RATINGS,
        ),
        "item": (
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
            [(n, title, year, " ".join(genres)) for n, _, title, year, genres in FILMS],
        ),
        "user": ("user_id:token\tage:token\tgender:token\toccupation:token", USERS),
    }
    path = tmp_path / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (head, rows) in contents.items():
            text = head + "\n" + "".join("\t".join(map(str, r)) + "\n" for r in rows)
            folder = "recbole/dataset_example/ml-100k"
            archive.writestr(f"{folder}/ml-100k.{name}", text.encode())
    return path


def test_both_formats_give_the_same_tables(official: Path, package: Path) -> None:
    with zipfile.ZipFile(official) as one, zipfile.ZipFile(package) as two:
        first, second = parse_official(one), parse_package(two)
    for table, other in zip(first, second, strict=True):
        assert table.equals(other)
    assert first.ratings.to_pylist() == [
        {"user_id": user, "item_id": item, "rating": rating, "timestamp": timestamp}
        for user, item, rating, timestamp in (RATINGS[1], RATINGS[2], RATINGS[0])
    ]
    assert first.items.to_pydict() == {
        "item_id": [1, 6, 267, 543, 1373, 1412],
        "title": [
            "A Day at Sea", "Lune, La (Moon, The)", "unknown", "Élan vital, L'", "Dawn",
            "Bears II: Home",
        ],
        "year": [1995, 1994, None, 1990, 1971, 1995],
        "genres": [
            ["Animation", "Children's"], ["Film-Noir"], ["unknown"], ["Drama", "War"],
            ["unknown"], ["Sci-Fi"],
        ],
    }  # fmt: skip
    assert first.users.to_pylist()[0] == {
        "user_id": 5,
        "age": 31,
        "gender": "M",
        "occupation": "none",
        "zip_code": "00123",
    }


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("RECSYS_DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def refuse(folder: Path) -> Path:
    raise OSError("no network")


def serve(monkeypatch, official: Path | None) -> None:
    """Lets the official source answer with a file, or nothing answer."""
    monkeypatch.setattr(movielens, "_fetch_package", refuse)
    if official is None:
        monkeypatch.setattr(movielens, "_fetch_official", refuse)
    else:
        content = official.read_bytes()
        digest = movielens.hashlib.md5(content, usedforsecurity=False).hexdigest()
        monkeypatch.setattr(movielens, "OFFICIAL", official.as_uri())
        monkeypatch.setattr(movielens, "OFFICIAL_MD5", digest)


def test_fetched_once(cache: Path, official: Path, monkeypatch) -> None:
    serve(monkeypatch, official)
    first = load_movielens_100k()
    assert [file.name for file in cache.iterdir()] == ["ml-100k.zip"]
    official.unlink()
    monkeypatch.setattr(movielens, "_fetch_official", refuse)
    assert load_movielens_100k().items.equals(first.items)


def test_damaged_cache_is_fetched_anew(
    cache: Path, official: Path, monkeypatch
) -> None:
    serve(monkeypatch, official)
    cache.mkdir()
    (cache / "ml-100k.zip").write_bytes(b"damaged")
    assert len(load_movielens_100k().ratings) == 3
    assert (cache / "ml-100k.zip").read_bytes() == official.read_bytes()


def test_second_source(cache: Path, package: Path, monkeypatch) -> None:
    digests = {}
    with zipfile.ZipFile(package) as archive:
        for name in movielens.PACKAGE_SHA256:
            content = archive.read(f"recbole/dataset_example/ml-100k/ml-100k.{name}")
            digests[name] = movielens.hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(movielens, "PACKAGE_SHA256", digests)
    monkeypatch.setattr(movielens, "_fetch_official", refuse)
    monkeypatch.setattr(movielens, "_fetch_package", lambda folder: package)
    assert len(load_movielens_100k().items) == 6
    assert [file.name for file in cache.iterdir()] == ["ml-100k-recbole.zip"]
    assert len(load_movielens_100k().items) == 6


def test_wrong_checksums_are_refused(
    cache: Path, official: Path, package: Path, monkeypatch
) -> None:
    monkeypatch.setattr(movielens, "_fetch_official", lambda folder: official)
    monkeypatch.setattr(movielens, "_fetch_package", lambda folder: package)
    with pytest.raises(
        RuntimeError, match="must have the checksum 0e33.*checksum 4edb"
    ):
        load_movielens_100k()
    assert not [*cache.iterdir()]


def test_neither_source_answers(cache: Path, monkeypatch) -> None:
    serve(monkeypatch, None)
    with pytest.raises(RuntimeError) as error:
        load_movielens_100k()
    for part in (movielens.OFFICIAL, movielens.PACKAGE, "no network"):
        assert part in str(error.value)
    assert not [*cache.iterdir()]


def test_package_that_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("other", "")
    for name in ("a.whl", "b.whl"):
        with pytest.raises(ValueError, match=f"{name} must be the package recbole"):
            movielens.read_package(tmp_path / name)


def test_the_real_data() -> None:
    try:
        ratings, items, users = load_movielens_100k()
    except RuntimeError as error:
        pytest.skip(f"MovieLens-100K is not to be had: {error}")
    assert (len(ratings), len(items), len(users)) == (100_000, 1682, 943)
    assert pc.sum(ratings["rating"]).as_py() == 352_986
    assert items["item_id"].to_pylist() == list(range(1, 1683))
    assert users["user_id"].to_pylist() == list(range(1, 944))
    assert items.filter(pc.is_null(items["year"]))["item_id"].to_pylist() == [267]
    title = {row["item_id"]: (row["title"], row["year"]) for row in items.to_pylist()}
    assert title[1] == ("Toy Story", 1995)
    assert title[6] == ("Shanghai Triad (Yao a yao yao dao waipo qiao)", 1995)
    assert title[543] == ("Misérables, Les", 1995)
    assert title[1412][0] == "Land Before Time III: The Time of the Great Giving"
