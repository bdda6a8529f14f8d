"""Files of samples: whole, in order, the same in each run."""

import itertools
from collections import Counter, defaultdict

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data import embedded
from recsys.runs.config import Config
from recsys.runs.samples import write_samples
from tests.runs.samples.configs import COLUMNS, config, read, write

HISTORY = {"kind": "history", "name": "past", "of": ["item", "genre"], "length": 5}
HISTORY |= {"user": "user", "time": "time", "where": {"action": "buy"}}
RICH = [
    *COLUMNS,
    {"kind": "categorical", "name": "genre", "belong": "item"},
    {"kind": "numeric", "name": "price", "belong": "item", "fill": 0.0},
    {"kind": "categorical", "name": "place"},
    HISTORY,
]
PARTS = ("train", "valid", "test")


def log(n=600, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "user": rng.integers(0, 25, n),
        "item": rng.integers(0, 60, n),
        "time": rng.integers(0, 300, n),
        "place": rng.choice(["home", "work"], n),
        "price": rng.random(n),
        "rating": rng.integers(1, 6, n).astype(float),
        "action": rng.choice(["buy", "see"], n),
        "unread": np.arange(n),
    }


def items(n=80):
    return {"item": np.arange(n), "genre": [f"g{i % 7}" for i in range(n)]}


def run(by="time", negatives=None, **samples):
    labels = ["like"]
    if negatives is not None:
        samples["negatives"] = {"label": "click", **negatives}
        labels = ["click", "like"]
    samples = {"labels": {"like": "rating >= 4"}, **samples}
    data = {"items": "items.parquet"}
    split = {"by": by, "valid": 0.2, "test": 0.2}
    split = {"by": by} if by == "leave_one_out" else split
    return config(RICH, labels, data=data, samples=samples, split=split)


def rows_of(folder, names=PARTS):
    return {n: pq.read_table(folder / f"{n}.parquet").to_pylist() for n in names}


def test_rows_are_those_of_the_files_in_their_order(tmp_path):
    events = log()
    write(tmp_path, events=events, items=items())
    written = write_samples(run(where={"action": "buy"}), tmp_path, tmp_path / "out")
    buys = events["action"] == "buy"
    times = np.sort(events["time"][buys])
    part = np.zeros(600, int)
    for share in (0.6, 0.8):  # of the rows are before
        part += [(times < t).sum() >= share * len(times) for t in events["time"]]
    got = rows_of(tmp_path / "out")
    for place, name in enumerate(PARTS):
        rows = np.flatnonzero(buys & (part == place))
        assert written.rows[name] == len(rows)
        for key in ("user", "item", "time", "place", "price", "rating", "action"):
            assert [row[key] for row in got[name]] == events[key][rows].tolist()
        for row in got[name]:
            assert row["genre"] == f"g{row['item'] % 7}"
            assert row["like"] == (row["rating"] >= 4)
            assert "unread" not in row and not any(key[0] == "/" for key in row)
    assert written.notes == [
        f"samples.where left out {600 - buys.sum()} of 600 events."
    ]
    past = read(tmp_path / "out", "events")
    assert {*past} == {"user", "time", "action", "item", "genre"}
    assert past["item"] == events["item"].tolist()  # all of them
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "events.parquet",
        "items.parquet",
        "out",
    ]


@pytest.mark.parametrize("by", ["ratio", "leave_one_out", "user_time", "users"])
def test_histories_of_a_split_without_times_hold_what_trains(tmp_path, by):
    write(tmp_path, events=log(), items=items())
    written = write_samples(run(by), tmp_path, tmp_path / "out")
    past, train = (read(tmp_path / "out", name) for name in ("events", "train"))
    assert sum(written.rows.values()) == 600
    if by == "ratio":
        assert past["item"] == train["item"] and past["time"] == train["time"]
    else:
        assert len(past["item"]) == 600
    if by == "users":
        users = [{*read(tmp_path / "out", name)["user"]} for name in PARTS]
        assert not any(a & b for a, b in itertools.combinations(users, 2))


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_negatives_are_behind_their_event(tmp_path, by):
    events = log()
    write(tmp_path, events=events, items=items())
    chosen = {*zip(events["user"].tolist(), events["item"].tolist(), strict=True)}
    config_ = run(negatives={"per_event": 3, "by": by}, where={"action": "buy"})
    written = write_samples(config_, tmp_path, tmp_path / "out")
    got = rows_of(tmp_path / "out")
    first = {}
    for item, price, action in zip(
        events["item"].tolist(), events["price"], events["action"], strict=True
    ):
        if action == "buy":
            first.setdefault(item, price)
    trained = {row["item"] for row in got["train"] if row["click"]}
    for name in PARTS:
        assert (
            written.rows[name]
            == len(got[name])
            == 4 * sum(row["click"] for row in got[name])
        )
        for begin in range(0, len(got[name]), 4):
            event, *others = got[name][begin : begin + 4]
            assert event["click"] == 1 and event["like"] == (event["rating"] >= 4)
            assert len({row["item"] for row in others}) == 3
            for row in others:
                assert row["click"] == 0 and row["like"] is None
                assert (row["user"], row["item"]) not in chosen
                assert row["genre"] == f"g{row['item'] % 7}"
                # Prices are said by events: those of the item's first one.
                assert row["price"] == first[row["item"]]
                for key in ("user", "time", "place", "rating", "action"):
                    assert row[key] == event[key]
                assert by == "uniform" or row["item"] in trained
    unseen = 80 - len(first)
    assert written.notes[1:] == [
        f"Negatives are not drawn from {unseen} items of data.items without an event, "
        "of which nothing says 'price'."
    ]


def test_an_item_is_not_drawn_before_it_was_there(tmp_path):
    """By one cut in time; where each user has a cut, nobody knows when it came."""
    events = log()
    events["item"] = np.where(events["time"] > 230, events["item"] + 60, events["item"])
    write(tmp_path, events=events, items=items(120))
    for by, wanted in (("time", False), ("user_time", True)):
        config_ = run(by, negatives={"per_event": 5})
        write_samples(config_, tmp_path, tmp_path / "out")
        got = rows_of(tmp_path / "out")
        there = {row["item"] for row in got["train"] if row["click"]}
        others = {row["item"] for row in got["train"]} - there
        assert bool(others) == wanted
        for name in ("valid", "test"):
            there |= {row["item"] for row in got[name] if row["click"]}
            assert wanted or {row["item"] for row in got[name]} <= there
        assert max({row["item"] for row in got["test"] if not row["click"]}) >= 60


def test_items_without_an_event_are_drawn_where_all_is_known_of_them(tmp_path):
    events = log()
    del events["price"]
    write(tmp_path, events=events, items=items(500))
    columns = [c for c in RICH if c["name"] != "price"]
    samples = {"negatives": {"label": "click"}}
    data = {"items": "items.parquet"}
    for least, most in ((1, 499), (2, 59)):
        config_ = config(
            columns, data=data, samples={**samples, "min_item_events": least}
        )
        written = write_samples(config_, tmp_path, tmp_path / "out")
        drawn = Counter(r["item"] for r in rows_of(tmp_path / "out")["train"])
        assert max(drawn) == pytest.approx(most, abs=5) and written.notes == []


def test_one_result_whatever_the_threads(tmp_path, monkeypatch):
    write(tmp_path, events=log(1500), items=items())
    config_ = run("user_time", {"by": "popularity"}, min_user_events=2)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(embedded, "MOST_THREADS", threads)
        monkeypatch.setattr(embedded.os, "cpu_count", lambda: 8)
        write_samples(config_, tmp_path, tmp_path / "out")
        found.append(rows_of(tmp_path / "out", (*PARTS, "events")))
    assert found[0] == found[1]
    other = config_.model_copy(
        update={"samples": config_.samples.model_copy(update={"seed": 1})}
    )
    write_samples(other, tmp_path, tmp_path / "out")
    assert rows_of(tmp_path / "out") != found[0]


def test_pipelines_read_what_is_written(tmp_path):
    from recsys.data import FeaturePipeline, Schema

    write(tmp_path, events=log(), items=items())
    config_ = run(negatives={})
    write_samples(config_, tmp_path, tmp_path / "out")
    train, past = (str(tmp_path / "out" / f"{n}.parquet") for n in ("train", "events"))
    schema = Schema.from_dict(config_.declared)
    pipeline = FeaturePipeline(schema.columns, schema.labels).fit(train)
    got = pipeline.transform(train, events=past).to_pydict()
    log_of = defaultdict(list)
    columns = read(tmp_path / "out", "events")
    for user, time, item, action in zip(
        *(columns[key] for key in ("user", "time", "item", "action")), strict=True
    ):
        if action == "buy":
            log_of[user].append((time, item))
    rows = read(tmp_path / "out", "train")
    for user, time, past in zip(
        rows["user"], rows["time"], got["past_item"], strict=True
    ):
        earlier = sum(t < time for t, _ in log_of[user])
        assert sum(i > 0 for i in past) == min(earlier, 5)


def test_nothing_is_there_after_an_error(tmp_path):
    write(tmp_path, events=log(3), items=items())
    with pytest.raises(ValueError, match="each part must have rows"):
        write_samples(run(), tmp_path, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    write(tmp_path, events=log())
    with pytest.raises(FileExistsError, match=r"Received: mine.txt"):
        write_samples(run(), tmp_path, tmp_path / "out")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"events.parquet", "items.parquet", "out"}


@pytest.mark.parametrize(
    "told",
    [
        duckdb.IOException('Could not write file "x": No space left on device'),
        duckdb.OutOfMemoryException("failed to offload data block of size 256.0 KiB"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_files(tmp_path, monkeypatch, told):
    write(tmp_path, events=log(), items=items())

    def full(*args):
        raise told

    monkeypatch.setattr("ibis.backends.duckdb.Backend.create_table", full)
    with pytest.raises(OSError, match="The disk must have room: "):
        write_samples(run(), tmp_path, tmp_path / "out")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"events.parquet", "items.parquet"}


def test_types_of_time_and_of_missing_stay(tmp_path):
    times = pa.array(np.arange(10) * 86400, pa.timestamp("s"))
    users = pa.array([1.0, 1, 1, 1, None, 2, 2, 2, 2, 2])  # as pandas has a gap
    table = {"user": users, "item": [*"abcdefghij"], "time": times}
    write(tmp_path, events={**table, "click": [True, False] * 5})
    written = write_samples(config(), tmp_path, tmp_path / "out")
    assert written.rows == {"train": 8, "valid": 1, "test": 1}
    got = pq.read_table(tmp_path / "out" / "train.parquet")
    assert got.schema.field("user").type == pa.int64()
    assert pa.types.is_timestamp(got.schema.field("time").type)
    assert got["user"].to_pylist() == [1, 1, 1, 1, None, 2, 2, 2]
    assert got["time"].cast(pa.timestamp("s")).to_pylist() == times[:8].to_pylist()
    assert not (tmp_path / "out" / "events.parquet").exists()


@pytest.mark.parametrize("by", ["uniform", "popularity"])
def test_what_is_later_than_a_run_is_as_if_it_were_not(tmp_path, by):
    """Rows, negatives, k-core and histories are those of files that end there."""
    events = log(900)
    events["time"].sort()
    write(tmp_path, all=events, items=items())
    write(tmp_path, early={n: v[events["time"] < 200] for n, v in events.items()})
    base = run(negatives={"by": by}, min_user_events=18, min_item_events=5)
    found = {}
    for name, until in (("all", 200), ("early", None)):
        given = base.plain()
        given["data"]["files"] = [f"{name}.parquet"]
        given["split"]["until"] = until
        written = write_samples(
            Config.model_validate(given), tmp_path, tmp_path / f"{name}-out"
        )
        rows = rows_of(tmp_path / f"{name}-out", (*PARTS, "events"))
        found[name] = rows, written.notes
    assert found["all"][0] == found["early"][0]
    later = 900 - len(found["early"][0]["events"])
    notes = [f"split.until left out {later} of 900 events.", *found["early"][1]]
    assert found["all"][1] == notes
    assert any("k-core left out" in note for note in notes)
