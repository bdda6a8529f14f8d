"""The demo on a small made-up log."""

import json

import numpy as np
import pyarrow as pa
import pytest

from recsys import load_model
from recsys.cli import demo, demo_data
from recsys.data import FeaturePipeline
from recsys.data.movielens import MovieLens

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


@pytest.fixture(params=[False, True], ids=["cut for each user", "one cut for all"])
def films(monkeypatch, request):
    user, item, time = _log()
    rng = np.random.default_rng(0)
    if request.param:  # then the last users are known from no training row
        cut = demo_data.split_by_time
        monkeypatch.setattr(
            demo_data, "split_by_time", lambda users, times: cut(None, times)
        )
    data = MovieLens(
        pa.table(
            {
                "user_id": user,
                "item_id": item,
                "rating": item % 5 + 1,
                "timestamp": time,
            }
        ),
        pa.table(
            {
                "item_id": np.arange(1, ITEMS + 1),
                "title": [f"Film {i}" for i in range(1, ITEMS + 1)],
                "year": pa.array([None] + [1990 + i for i in range(1, ITEMS)]),
                "genres": [
                    ["even", "drama"] if i % 2 else ["odd"] for i in range(ITEMS)
                ],
            }
        ),
        pa.table(
            {
                "user_id": np.arange(1, USERS + 1),
                "age": rng.integers(18, 60, USERS),
                "gender": rng.choice(["F", "M"], USERS),
                "occupation": rng.choice(["artist", "writer"], USERS),
                "zip_code": ["0"] * USERS,
            }
        ),
    )
    monkeypatch.setattr(demo, "load_movielens_100k", lambda: data)
    monkeypatch.setattr(demo, "K", 5)
    return demo_data.Films(data)


def test_the_log_is_like_real_ones(films, request):
    train, test, every = films.of(0), films.of(2), films.events
    if "one cut" in request.node.name:
        assert set(LATE) <= {*np.setdiff1d(test.user, train.user)}
    else:
        assert set(NEW) <= {*np.setdiff1d(test.item, train.item)}
    assert np.bincount(every.user)[ONCE] == 1
    moments = np.unique(np.stack([every.user, every.time]), axis=1)
    assert moments.shape[1] < len(every.user)


def test_the_whole_job(films, request, tmp_path, capsys):
    folder = tmp_path / "runs" / "demo"
    demo.run(folder)
    names = {"report.html", "metrics.json", "match.keras", "rank.keras", "pipeline"}
    assert {path.name for path in folder.iterdir()} == names
    assert [path.name for path in folder.parent.iterdir()] == ["demo"]
    scores = json.loads((folder / "metrics.json").read_text())
    assert set(scores["match"]) == {"youtube_dnn", "most popular"}
    assert set(scores["match"]["youtube_dnn"]) == {"Recall@5", "NDCG@5"}
    assert set(scores["rank"]["din"]) == {"AUC", "GAUC", "LogLoss"}
    for family in scores.values():
        for values in family.values():
            assert all(np.isfinite(value) for value in values.values())
    page = (folder / "report.html").read_text()
    users = 1 if "one cut" in request.node.name else 3  # with films before and after
    assert page.count("<svg") == 4 and page.count("<h3>User") == users
    printed = capsys.readouterr().out
    assert "Watched last" in printed and "Film" in printed

    pipeline = FeaturePipeline.load(folder / "pipeline")
    rows = pipeline.transform(
        films.joined(films.of(2)), events=films.joined(films.events)
    )
    assert load_model(folder / "rank.keras").predict(rows, verbose=0).shape[1] == 1
    ids, _ = load_model(folder / "match.keras").recommend(rows, k=3)
    assert ids.min() >= 2

    if users == 1:  # an earlier run is replaced
        (folder / "report.html").write_text("old")
        demo.run(folder)
        assert (folder / "report.html").read_text() != "old"


def test_a_folder_of_something_else_is_left_alone(films, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        demo.run(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_negatives_were_never_rated_and_histories_are_strictly_earlier(films):
    rows = films.labelled(films.of(1), seed=0)
    rated = set(
        zip(films.events.user.tolist(), films.events.item.tolist(), strict=True)
    )
    pairs = zip(
        rows["user_id"].to_pylist(),
        rows["item_id"].to_pylist(),
        rows["watched"].to_pylist(),
        strict=True,
    )
    assert all(((user, item) in rated) == bool(label) for user, item, label in pairs)
    again = films.labelled(films.of(1), seed=0)
    assert rows.equals(again)
    before, after = films.of(0), films.of(1, 2)
    for user in np.intersect1d(before.user, after.user):
        later = after.time[after.user == user]
        assert before.time[before.user == user].max() < later.min()
