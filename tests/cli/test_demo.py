"""The demo on a small made-up log."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from recsys.cli.main import app
from recsys.data import movielens
from recsys.data.movielens import MovieLens
from recsys.runs.finished import Run
from recsys.runs.reading import read_config
from tests.check_demo import FILES

USERS, ITEMS = 33, 40
ONCE, LATE = 31, (32, 33)  # a user of one event, and users who come last
NEW = (39, 40)  # films that come last


def _log():
    """Users of even number watch even films; several in the same second."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(1, ONCE):
        films = rng.permutation(np.arange(1, ITEMS // 2 - 1)) * 2 - user % 2
        start = 1000 * user
        rows += [(user, film, start + 3 * i // 5) for i, film in enumerate(films)]
        rows += [(user, film, start + 100) for film in NEW[: user % 3]]
    rows.append((ONCE, 2, 5))
    rows += [(user, film, 10**6 + film) for user in LATE for film in range(1, 15)]
    return np.array(rows).T


@pytest.fixture
def films(monkeypatch):
    user, item, time = _log()
    rng = np.random.default_rng(0)
    ratings = {"user_id": user, "item_id": item, "rating": item % 5 + 1}
    films = {
        "item_id": np.arange(1, ITEMS + 1),
        "title": [f"Film {i}" for i in range(1, ITEMS + 1)],
        "year": pa.array([None] + [1990 + i for i in range(1, ITEMS)]),
        "genres": [["even", "drama"] if i % 2 else ["odd"] for i in range(ITEMS)],
    }
    people = {
        "user_id": np.arange(1, USERS + 1),
        "age": rng.integers(18, 60, USERS),
        "gender": rng.choice(["F", "M"], USERS),
        "occupation": rng.choice(["artist", "writer"], USERS),
        "zip_code": ["0"] * USERS,
    }
    data = MovieLens(
        pa.table({**ratings, "timestamp": time}), pa.table(films), pa.table(people)
    )
    monkeypatch.setattr(movielens, "load_movielens_100k", lambda: data)
    return data


def demo(folder):
    places = ["--folder", str(folder / "demo"), "--runs", str(folder / "runs")]
    return CliRunner().invoke(app, ["demo", *places])


@pytest.mark.filterwarnings("ignore:youtube_dnn does not read:UserWarning")
def test_the_whole_job(films, tmp_path):
    told = demo(tmp_path)
    assert told.exit_code == 0, told.output
    for title in ("Had last", "Match, then rank", "most popular", "rates of items"):
        assert title in told.output
    assert "Film 2" in told.output and ".py" not in told.output
    done = Run("demo", tmp_path / "runs")
    for stage, names in FILES.items():
        assert {path.name for path in (done.folder / stage).iterdir()} == names
        found = json.loads((done.folder / stage / "metrics.json").read_text())
        numbers = [*found["test"].values(), *found["baseline"].values()]
        assert len(numbers) >= 4 and np.isfinite(numbers).all()
    table = done.recommend([3], k=5)
    assert len(table) and table["title"][0].as_py().startswith("Film ")
    assert read_config(tmp_path / "demo" / "demo.yaml").config.match.candidates.k == 50
    ratings = pq.read_table(tmp_path / "demo" / "ratings.parquet")
    assert ratings.equals(films.ratings)


def test_what_a_user_edited_is_left_alone(films, tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.runs.running.run", lambda file, runs: None)
    for _ in range(2):
        assert demo(tmp_path).exit_code == 0
    file = tmp_path / "demo" / "demo.yaml"
    file.write_text(file.read_text().replace("dim: 32", "dim: 64"))
    told = demo(tmp_path)
    assert told.exit_code == 2 and f"recsys train {file}" in told.output
    assert "dim: 64" in file.read_text()


def test_data_that_cannot_be_fetched_is_one_line(tmp_path, monkeypatch):
    def absent():
        raise RuntimeError("MovieLens-100K cannot be fetched")

    monkeypatch.setattr(movielens, "load_movielens_100k", absent)
    told = demo(tmp_path)
    assert told.exit_code == 2
    assert told.output.strip() == "recsys demo: MovieLens-100K cannot be fetched"
    assert not (tmp_path / "demo").exists()
