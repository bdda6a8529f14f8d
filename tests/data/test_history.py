"""Histories against an oracle in plain Python: nothing of the present or future."""

import datetime
import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    Hashed,
    History,
    MultiValue,
)
from recsys.data.reader import as_arrow

CONNECTION = ibis.duckdb.connect()
EVENTS = st.lists(
    st.tuples(
        st.none() | st.integers(1, 3),  # user
        st.none() | st.integers(0, 6),  # time: many are equal
        st.none() | st.integers(10, 14),  # item
        st.integers(0, 2),  # kind
    ),
    min_size=1,
    max_size=25,
)
NAMES = ("user", "time", "item", "kind")


def table(rows: list[tuple]) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            name: pa.array(values, pa.int64())
            for name, values in zip(NAMES, columns, strict=True)
        }
    )


def build(length: int, **options) -> FeaturePipeline:
    history = History(
        "past", of=["item", "kind"], length=length, user="user", time="time", **options
    )
    columns = [Categorical("item", belong="item"), Categorical("kind"), history]
    return FeaturePipeline(columns, connection=CONNECTION)


def ids_of(pipeline: FeaturePipeline, name: str) -> dict:
    words = pipeline.vocabulary(name).to_pylist()
    return {word["value"]: word["id"] for word in words}


def oracle(row, events, length, items, kinds, wanted) -> tuple[list, list]:
    past = sorted(
        (time, items.get(item, 1), kinds[kind])
        for user, time, item, kind in events
        if None not in (user, time, row[0], row[1])
        and user == row[0]
        and time < row[1]
        and kind in wanted
    )[-length:]
    padding = [0] * (length - len(past))
    return [p[1] for p in past] + padding, [p[2] for p in past] + padding


@settings(max_examples=60, deadline=None)
@given(rows=EVENTS, length=st.integers(1, 4), data=st.data())
def test_history_is_that_of_the_oracle(rows, length, data) -> None:
    separate = data.draw(st.booleans())
    wanted = data.draw(st.sampled_from([None, [1], [0, 2]]))
    options = {} if wanted is None else {"where": {"kind": wanted}}
    pipeline = build(length, **options).fit(table(rows))
    events = rows
    if separate:
        kinds = {row[3] for row in rows}
        log = data.draw(EVENTS)
        events = [event for event in log if event[3] in kinds] or rows
    got = pipeline.transform(table(rows), events=table(events) if separate else None)
    items, kinds = ids_of(pipeline, "item"), ids_of(pipeline, "kind")
    expected = [
        oracle(row, events, length, items, kinds, wanted or (0, 1, 2)) for row in rows
    ]
    assert got["past_item"].to_pylist() == [items for items, _ in expected]
    assert got["past_kind"].to_pylist() == [kinds for _, kinds in expected]


START = datetime.datetime(2020, 1, 1)
CLOCKS = {  # from the tenths of the unit that an event has to its time, and its type
    "integer": (lambda tenths: tenths, pa.int64()),
    "floating": (lambda tenths: tenths / 10, pa.float64()),
    "timestamp": (
        lambda tenths: START + datetime.timedelta(microseconds=100_000 * tenths),
        pa.timestamp("us"),
    ),
    "date": (
        lambda tenths: START.date() + datetime.timedelta(tenths),
        pa.date32(),
    ),
}


def since(earlier, later) -> float:
    """Time between two moments, as a `History` counts it."""
    passed = later - earlier
    if isinstance(passed, datetime.timedelta):
        return passed / datetime.timedelta(seconds=1)
    return passed


def past_by_loop(row, log: list[dict], ids: Callable, history: History) -> dict:
    """What a history says of one row: one event after the other."""
    log = [e for e in log if None not in (e["user"], e["time"])]
    log = sorted(
        ({"time": e["time"], **ids(e)} for e in log if e["user"] == row["user"]),
        key=lambda e: (e["time"], e["item"], e["tags"]),
    )
    for i, event in enumerate(log):
        event["session"] = 0
        if i:
            apart = since(log[i - 1]["time"], event["time"]) > history.session_gap
            event["session"] = log[i - 1]["session"] + apart
    known = None not in (row["user"], row["time"])
    past = [e for e in log if known and e["time"] < row["time"]][-history.length :]
    for event in past:
        passed = since(event["time"], row["time"])
        event["age"] = min(1 + math.floor(math.log2(1 + passed)), history.ages - 1)
    sessions = [past[-1]["session"] - event["session"] + 1 for event in past]
    padding = [0] * (history.length - len(past))
    return {
        "past_tags": [e["tags"] for e in past] + [[0, 0] for _ in padding],
        "past_item": [e["item"] for e in past] + padding,
        "past_age": [e["age"] for e in past] + padding,
        "past_session": sessions + padding,
    }


@pytest.mark.parametrize("clock", CLOCKS)
@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.none() | st.integers(1, 2),  # user
            st.none() | st.integers(0, 40),  # time
            st.integers(10, 12),  # item
            st.none() | st.lists(st.sampled_from("abc"), max_size=3),  # tags
        ),
        min_size=1,
        max_size=20,
    ),
    length=st.integers(1, 4),
    ages=st.integers(3, 7),
    gap=st.integers(1, 10),
)
def test_ages_sessions_and_lists_are_those_of_a_loop(
    clock: str, rows, length: int, ages: int, gap: int
) -> None:
    to_time, kind = CLOCKS[clock]
    users, tenths, items, tags = zip(*rows, strict=True)
    times = [None if t is None else to_time(t) for t in tenths]
    log = pa.table(
        {
            "user": pa.array(users, pa.int64()),
            "time": pa.array(times, kind),
            "item": items,
            "tags": pa.array(tags, pa.list_(pa.string())),
        }
    )
    # Gaps of the data, so that many are equal to it.
    history = History(
        "past",
        of=["tags", "item"],
        length=length,
        user="user",
        time="time",
        ages=ages,
        session_gap=since(to_time(0), to_time(gap)),
    )
    columns = [Categorical("item"), MultiValue("tags", length=2), history]
    pipeline = FeaturePipeline(columns, connection=CONNECTION).fit(log)
    item_ids, tag_ids = ids_of(pipeline, "item"), ids_of(pipeline, "tags")

    def ids(event: dict) -> dict:
        tags = [tag_ids[tag] for tag in (event["tags"] or [])[:2]]
        # An order of padded lists is that of lists, for a list is below a longer one.
        return {"item": item_ids[event["item"]], "tags": (tags + [0, 0])[:2]}

    table = pipeline.transform(log)
    assert table.column_names[-4:] == list(history.outputs)
    events = log.to_pylist()
    wanted = [past_by_loop(row, events, ids, history) for row in events]
    got = table.select(history.outputs).to_pylist()
    assert got == [{name: row[name] for name in history.outputs} for row in wanted]


def test_ages_and_sessions_by_hand() -> None:
    times = [0, 10, 21, 21, 31, 31 + 1000]
    log = {"user": [1] * 6, "time": times, "item": [7] * 6}
    history = History("past", of=["item"], length=4, user="user", time="time",
                      ages=5, session_gap=10)  # fmt: skip
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(log)
    table = pipeline.transform(log)
    assert table["past_age"].to_pylist() == [
        [0, 0, 0, 0],
        [4, 0, 0, 0],  # 1 + log2(1 + 10) = 4.4
        [4, 4, 0, 0],
        [4, 4, 0, 0],
        [4, 4, 4, 4],
        [4, 4, 4, 4],
    ]
    assert table["past_session"].to_pylist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 0, 0],  # 10 is not above the gap
        [1, 1, 0, 0],
        [2, 2, 1, 1],  # 11 is
        [2, 1, 1, 1],
    ]
    near = pipeline.transform(
        {"user": [1] * 4, "time": [33, 34, 37, 38], "item": [7] * 4}, events=log
    )
    assert [ages[3] for ages in near["past_age"].to_pylist()] == [2, 3, 3, 4]


def test_session_starts_in_the_whole_log_that_counts() -> None:
    """An event left out by `where` joins no sessions, one beyond `length` does."""
    log = {"user": [1] * 5, "time": [0, 6, 12, 18, 19], "item": [1, 1, 0, 1, 1]}
    history = History("past", of=["item"], length=2, user="user", time="time",
                      session_gap=6, where={"item": 1})  # fmt: skip
    got = FeaturePipeline([Categorical("item"), history]).fit(log).transform(log)
    assert got["past_session"].to_pylist()[3:] == [[1, 1], [2, 1]]


def nested() -> tuple[pa.Table, FeaturePipeline]:
    """Films with genres, watched in sessions; one without any genre."""
    random = np.random.default_rng(0)
    genres = ["a|b|c", "b", "", "c|a"]
    films = random.integers(0, 4, 700)
    log = pa.table(
        {
            "user": random.integers(0, 9, 700),
            "time": random.integers(0, 300, 700),
            "film": films,
            "genres": [genres[film] for film in films],
            "seen": np.ones(700),
        }
    )
    columns = [
        Categorical("film", belong="item"),
        MultiValue("genres", belong="item", length=2, separator="|", pooling="sum"),
        History(
            "past",
            of=["film", "genres"],
            length=3,
            user="user",
            time="time",
            ages=12,
            session_gap=20,
        ),
    ]
    return log, FeaturePipeline(columns, labels=["seen"], connection=CONNECTION).fit(
        log
    )


def test_fields_of_ages_sessions_and_lists() -> None:
    _, pipeline = nested()
    film, genres, past_film, past_genres, age, session = pipeline.fields(dim=8)
    for field in (past_film, past_genres, age, session):
        assert (field.belong, field.group, field.length) == ("history", "past", 3)
        assert (field.dtype, field.dim) == ("int32", 8)
    assert [f.role for f in (past_film, past_genres)] == ["attribute"] * 2
    assert (past_film.values, past_film.emb) == (1, "film")
    assert (past_genres.values, past_genres.emb) == (2, "genres")
    assert past_genres.pooling == genres.pooling == "sum"
    assert past_genres.vocabulary_size == genres.vocabulary_size == 5
    assert (age.name, age.emb, age.role) == ("past_age", "past_age", "time")
    assert (session.name, session.role) == ("past_session", "session")
    assert session.emb == "past_session"
    assert (age.vocabulary_size, session.vocabulary_size) == (12, 4)
    widths = {"film": 2, "genres": 3, "past_age": 4, "past_session": 5}
    dims = [field.dim for field in pipeline.fields(dim=widths)]
    assert dims == [2, 3, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="a width for the table 'past_age'"):
        pipeline.fields(dim={"film": 2, "genres": 3})


@pytest.mark.parametrize("streaming", [False, True])
def test_batches_of_ages_sessions_and_lists(streaming: bool) -> None:
    log, pipeline = nested()
    table = pipeline.transform(log)
    pair = pa.list_(pa.int32(), 2)
    assert table.schema.field("past_genres").type == pa.list_(pair, 3)
    got = list(pipeline.dataset(log, 300, streaming=streaming))
    for field in pipeline.fields():
        x = np.concatenate([batch[0][field.name] for batch in got])
        past, several = field.belong == "history", field.values > 1
        shape = (3,) * past + (2,) * several
        assert x.shape[1:] == (shape or (field.length,)[: field.length > 1])
        assert x.dtype == field.dtype
        assert 0 < x.max() < field.vocabulary_size
        np.testing.assert_array_equal(x.tolist(), table[field.name].to_pylist())


def test_lists_are_those_of_the_events() -> None:
    log, pipeline = nested()
    table = pipeline.transform(log)
    of_film = dict(
        zip(table["film"].to_pylist(), table["genres"].to_pylist(), strict=True)
    )
    films, genres = table["past_film"].to_pylist(), table["past_genres"].to_pylist()
    for past, lists in zip(films, genres, strict=True):
        assert lists == [of_film.get(film, [0, 0]) for film in past]
    only = pipeline.transform(log, columns=["past"])
    assert only.equals(table.select(only.column_names))


@pytest.mark.parametrize("streaming", [False, True])
def test_histories_of_another_log_are_cut_in_blocks(monkeypatch, streaming) -> None:
    log, pipeline = nested()
    rows, others = log.slice(0, 100), log.slice(50)
    whole = pipeline.transform(rows, events=others)
    monkeypatch.setattr("recsys.data.history.BLOCK_ROWS", 7)
    assert pipeline.transform(rows, events=others).equals(whole)
    (batch,) = pipeline.dataset(rows, 100, events=others, streaming=streaming)
    for name in ("past_film", "past_genres", "past_age", "past_session"):
        np.testing.assert_array_equal(batch[0][name], whole[name].to_pylist())


def test_saved_ages_sessions_and_lists(tmp_path: Path) -> None:
    log, pipeline = nested()
    pipeline.save(tmp_path / "p")
    again = FeaturePipeline.load(tmp_path / "p", CONNECTION)
    assert again.schema == pipeline.schema
    assert again.fields() == pipeline.fields()
    assert again.transform(log).equals(pipeline.transform(log))


def test_lists_in_the_buckets_of_a_hash() -> None:
    log = pa.table(
        {"u": [1, 1], "t": [1, 2], "b": ["x", "y"], "a": [["x", None, "y"], []]}
    )
    columns = [
        Hashed("b", num_buckets=40),
        MultiValue("a", emb="b", length=4),
        History("past", of=["a"], length=1, user="u", time="t"),
    ]
    table = FeaturePipeline(columns).fit(log).transform(log)
    x, y = table["b"].to_pylist()
    assert table["past_a"].to_pylist() == [[[0, 0, 0, 0]], [[x, 1, y, 0]]]


def test_by_hand() -> None:
    rows = [
        (1, 5, 11, 0),
        (1, 5, 10, 0),  # the same time: neither sees the other
        (2, 6, 13, 0),  # another user
        (1, 7, 12, 0),
        (1, 8, 10, 0),
    ]
    pipeline = build(3).fit(table(rows))
    ids = ids_of(pipeline, "item")
    ten, eleven, twelve = ids[10], ids[11], ids[12]
    assert ten < eleven  # it is more frequent, and so comes first among equal times
    assert pipeline.transform(table(rows))["past_item"].to_pylist() == [
        [0, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [ten, eleven, 0],
        [ten, eleven, twelve],
    ]


def test_order_of_the_files_does_not_matter() -> None:
    random = np.random.default_rng(0)
    rows = [tuple(map(int, row)) for row in random.integers(0, [3, 9, 5, 2], (200, 4))]
    pipeline = build(5).fit(table(rows))
    straight = pipeline.transform(table(rows)).to_pylist()
    order = random.permutation(len(rows))
    mixed = pipeline.transform(table([rows[i] for i in order])).to_pylist()
    assert [straight[i] for i in order] == mixed


def test_identical_events_are_all_kept() -> None:
    rows = [(1, 1, 10, 0)] * 3 + [(1, 2, 10, 0)]
    pipeline = build(5).fit(table(rows))
    assert pipeline.transform(table(rows))["past_item"].to_pylist()[3] == [
        2,
        2,
        2,
        0,
        0,
    ]


def test_an_active_user_costs_no_more() -> None:
    """A list per user would hold 10^10 values here; this takes a second."""
    num = 100_000
    rows = {
        "user": np.ones(num, "int64"),
        "time": np.arange(num),
        "item": np.arange(num) % 7,
        "kind": np.zeros(num, "int64"),
    }
    pipeline = build(2).fit(rows)
    got = np.stack(pipeline.transform(rows)["past_item"].to_numpy())
    ids = pipeline.transform(rows)["item"].to_numpy()
    np.testing.assert_array_equal(got[2:], np.stack([ids[:-2], ids[1:-1]], axis=1))


def test_rows_need_no_more_than_user_and_time() -> None:
    rows = [(1, 1, 10, 1), (1, 2, 11, 0)]
    history = History("past", of=["item"], length=2, user="user", time="time",
                      where={"kind": 1})  # fmt: skip
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(table(rows))
    requests = pa.table({"user": [1, 1, 9], "time": [1, 9, 9], "item": [10, 10, 10]})
    got = pipeline.transform(requests, events=table(rows))
    assert got["past_item"].to_pylist() == [[0, 0], [2, 0], [0, 0]]


@pytest.mark.parametrize(
    "times",
    [
        [0.5, float("nan"), 1.5],
        [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 2)],
        [
            datetime.datetime(2020, 1, 1, 10),
            None,
            datetime.datetime(2020, 1, 1, 10, 0, 1),
        ],
    ],
)
def test_kinds_of_time(times: list) -> None:
    data = pa.table({"user": ["u"] * 3, "time": times, "item": [1, 2, 3]})
    history = History("past", of=["item"], length=2, user="user", time="time")
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(data)
    got = pipeline.transform(data)["past_item"].to_pylist()
    assert got == [[0, 0], [0, 0], [2, 0]]


def units(unit: str) -> np.ndarray:
    return np.datetime64("2020-01-01", unit) + np.arange(2)


MOMENTS = {
    **{f"NumPy {unit}": units(unit) for unit in ("ns", "us", "ms", "s", "D")},
    **{f"pandas {unit}": pd.Series(units(unit)) for unit in ("ns", "us", "ms", "s")},
    **{
        f"{unit} in Tokyo": pa.array(units(unit)).cast(pa.timestamp(unit, "Asia/Tokyo"))
        for unit in ("ns", "us", "ms", "s")
    },
    "100 ns": units("ns") + np.array([0, 99], "timedelta64[ns]"),
    "timestamps of pandas": [*map(pd.Timestamp, units("ns"))],
    "those in Tokyo": [pd.Timestamp(t, tz="Asia/Tokyo") for t in units("ns")],
    "days": [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    "large integers": [2**53, 2**53 + 1],
    "floating seconds": [1.6e9, np.nextafter(1.6e9, 2e9)],
    "float32": np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], "float32"),
    "decimals": [Decimal("12345678901234567.01"), Decimal("12345678901234567.02")],
}


@pytest.mark.parametrize("moments", MOMENTS)
def test_times_as_near_as_their_type_can_tell_are_in_order(moments: str) -> None:
    data = as_arrow({"user": ["u", "u"], "item": [1, 2], "time": MOMENTS[moments]})
    history = History(
        "past", of=["item"], length=2, user="user", time="time", ages=3, session_gap=9e9
    )
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(data)
    for events in (None, data):
        got = pipeline.transform(data, events=events).to_pydict()
        assert got["past_item"] == [[0, 0], [2, 0]]
        assert got["past_session"] == [[0, 0], [1, 0]]
        assert got["past_age"][0] == [0, 0] and got["past_age"][1][0] > 0


FAR = {  # three times; from first to second, first to third, second to third
    "integers": (
        pa.array([-(2**63), 2**63 - 99, 2**63 - 1]),
        (2**64 - 99, 2**64 - 1, 98),
    ),
    "floating": (pa.array([-1.7e308, 1.7e308, 1.75e308]), (math.inf, math.inf, 5e306)),
    "days": (
        pa.array([-(2**30), 2**30, 2**30 + 1], pa.int32()).cast(pa.date32()),
        (2**31 * 86400, (2**31 + 1) * 86400, 86400),
    ),
    "microseconds": (
        pa.array([-(2**62), 2**62, 2**62 + 10**8]).cast(pa.timestamp("us")),
        (2**63 / 1e6, 2**63 / 1e6 + 100, 100),
    ),
    "nanoseconds": (
        pa.array([-(2**62), 2**62, 2**62 + 10**11]).cast(pa.timestamp("ns")),
        (2**63 / 1e9, 2**63 / 1e9 + 100, 100),
    ),
    "decimals": (
        pa.array([Decimal(-(10**25)), Decimal(10**25), Decimal(3 * 10**25)]),
        (2e25, 4e25, 2e25),
    ),
}


@pytest.mark.parametrize("moments", FAR)
def test_times_as_far_as_their_type_can_tell(moments: str) -> None:
    (first, middle, last), passed = FAR[moments]
    log = pa.table({"user": ["u"] * 3, "item": [1, 2, 2],
                    "time": pa.array([first, middle, last])})  # fmt: skip
    history = History(
        "past", of=["item"], length=2, user="user", time="time", ages=200, session_gap=9
    )
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(log)
    oldest = [min(199, 1 + int(min(math.log2(1 + p), 999))) for p in passed]
    for events in (None, log):
        got = pipeline.transform(log, events=events).to_pydict()
        assert got["past_age"] == [[0, 0], [oldest[0], 0], oldest[1:]]
        assert got["past_session"] == [[0, 0], [1, 0], [2, 1]]


def test_sessions_and_ages_in_nanoseconds() -> None:
    times = units("ns")[0] + np.array([0, 400, 1000], "timedelta64[ns]")
    data = {"user": [1, 1, 1], "item": [1, 2, 3], "time": times}
    history = History(
        "past", of=["item"], length=2, user="user", time="time", session_gap=5e-7
    )
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(data)
    later = {"user": [1], "item": [1], "time": times[-1:] + 1}
    got = pipeline.transform(later, events=data)["past_session"].to_pylist()
    assert got == [[2, 1]]


def test_rows_and_events_of_different_units() -> None:
    events = {"user": [1, 1], "item": [1, 2], "time": units("ns")}
    history = History("past", of=["item"], length=2, user="user", time="time")
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(events)
    for unit in ("s", "us"):
        rows = {"user": [1, 1], "item": [1, 1], "time": units(unit)}
        got = pipeline.transform(rows, events=events)["past_item"].to_pylist()
        assert got == [[0, 0], [2, 3]]


def test_attributes_by_hash_and_bucket() -> None:
    data = pa.table(
        {"user": [1, 1], "time": [1, 2], "item": [7, 8], "price": [1.0, 9.0]}
    )
    history = History("past", of=["item", "price"], length=2, user="user", time="time")
    pipeline = FeaturePipeline(
        [Hashed("item", num_buckets=50), Bucketed("price", num_buckets=2), history]
    ).fit(data)
    (_, second) = pipeline.transform(data).to_pylist()
    (first, _) = pipeline.transform(data).to_pylist()
    assert second["past_item"] == [first["item"], 0]
    assert second["past_price"] == [first["price"], 0]


def test_table_in_no_order_keeps_rows_and_histories_together() -> None:
    rows = [(user, time, 10 + user, 0) for user in range(20) for time in range(20)]
    pipeline = build(19).fit(table(rows))
    shuffled = ibis.memtable(table(rows)).order_by(ibis.random())
    got = pipeline.transform(shuffled)
    for item, past in zip(got["item"].to_pylist(), got["past_item"].to_pylist(),
                          strict=True):  # fmt: skip
        assert {*past} <= {item, 0}


BAD = [
    ({"user": "usr"}, {}, "History 'past': the data must have a column 'usr'"),
    (
        {"time": "tim"},
        {},
        "column 'tim'. Received: item, kind, time, user (nearest: time",
    ),
    ({"where": {"clicked": 1}}, {}, "the data must have a column 'clicked'"),
    ({}, {"item": None}, "Categorical 'item': the data must have a column 'item'"),
    ({}, {"user": None}, "History 'past': the data must have a column 'user'"),
    (
        {},
        {"user": ["a"]},
        "user must be of one type in rows and events. Received: int64 ",
    ),
    (
        {},
        {"time": ["a"]},
        "raw column 'time' must be of type integer, floating, decimal,",
    ),
    ({}, {"time": [0.5]}, "time must be of one type in rows and events"),
    (
        {},
        {"item": ["a"]},
        "'item' must be of type integer, as `fit` saw it. Received: st",
    ),
]


@pytest.mark.parametrize(("options", "events", "text"), BAD)
def test_bad_history(options, events, text) -> None:
    rows = table([(1, 1, 10, 0)])
    names = {"user": "user", "time": "time", **options}
    history = History("past", of=["item"], length=2, **names)
    pipeline = FeaturePipeline([Categorical("item"), history], connection=CONNECTION)
    log = {name: rows[name] for name in NAMES} | events
    log = {name: values for name, values in log.items() if values is not None}
    with pytest.raises(ValueError) as error:
        pipeline.fit(rows).transform(rows, events=pa.table(log) if events else None)
    assert text in str(error.value)


@pytest.mark.parametrize("text", ["2020-01-05", "2020-01-05T10:00:00", "1578182400"])
def test_times_given_as_text_are_one_error(text: str) -> None:
    history = History("past", of=["item"], length=2, user="user", time="time")
    log = {"user": [1], "item": [1], "time": [datetime.datetime(2020, 1, 1)]}
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(log)
    rows = [{"user": 1, "item": 1, "time": text}]
    wanted = "History 'past': raw column 'time' must be of type .*date, timestamp. Rec"
    for data, events in ((rows, None), (rows, log), (log, rows)):
        with pytest.raises(ValueError, match=wanted):
            pipeline.transform(data, events=events)


CLOCK = [datetime.datetime(2024, 1, 3, hour) for hour in (5, 6)]
NAIVE = {unit: pa.array(CLOCK, pa.timestamp(unit)) for unit in ("us", "ns")}
ZONED = {
    unit: times.cast(pa.timestamp(unit, "Asia/Shanghai"))
    for unit, times in NAIVE.items()
}
PAST = History("past", of=["item"], length=2, user="user", time="time")


@pytest.mark.parametrize("unit", ["us", "ns"])
@pytest.mark.parametrize("other", ["us", "ns"])
@pytest.mark.parametrize("kind", ["frame", "parquet", "csv"])
def test_times_with_a_zone_beside_times_without(
    tmp_path: Path, kind: str, unit: str, other: str
) -> None:
    def given(times: pa.Array) -> pa.Table | Path:
        log = pa.table({"user": [1, 1], "item": [1, 2], "time": times})
        path = tmp_path / f"{times.type}.{kind}".replace("/", " ")
        if kind == "parquet":
            pq.write_table(log, path)
        if kind == "csv":
            log.to_pandas().to_csv(path, index=False)
        return log if kind == "frame" else path

    naive, zoned = given(NAIVE[unit]), given(ZONED[other])
    pipeline = FeaturePipeline([Categorical("item"), PAST]).fit(naive)
    for rows, events in ((naive, zoned), (zoned, naive)):
        with pytest.raises(ValueError, match="'time': times must have a zone in rows"):
            pipeline.transform(rows, events=events)
    wanted = [[0, 0], [2, 0]]
    for both in (naive, zoned):
        got = pipeline.transform(both, events=both)
        assert got["past_item"].to_pylist() == wanted


def test_a_column_without_times_has_no_zone() -> None:
    log = pa.table({"user": [1, 1], "item": [1, 2], "time": ZONED["us"]})
    pipeline = FeaturePipeline([Categorical("item"), PAST]).fit(log)
    none = log.set_column(2, "time", pa.nulls(2, pa.timestamp("ns")))
    got = pipeline.transform(none, events=log)["past_item"].to_pylist()
    assert got == [[0, 0]] * 2
    assert pipeline.transform(log, events=none)["past_item"].to_pylist() == got


SOME_ZONES = [CLOCK[0], CLOCK[1].replace(tzinfo=datetime.UTC)]


@pytest.mark.parametrize(
    "values",
    [
        SOME_ZONES,
        np.array(SOME_ZONES, object),
        [*map(pd.Timestamp, SOME_ZONES)],
        pd.Series(SOME_ZONES, dtype=object),
    ],
    ids=["list", "array", "pandas", "series"],
)
def test_some_times_with_a_zone_are_no_column(values) -> None:
    columns = {"user": [1, 1], "item": [1, 2], "time": values}
    frame = pd.DataFrame({**columns, "time": pd.Series(values, dtype=object)})
    for log in (columns, frame):
        with pytest.raises(ValueError, match="Column 'time': times must all have a z"):
            FeaturePipeline([Categorical("item"), PAST]).fit(log)


WHERES = [
    ("text", "1", 1), ("text", ["1", ""], 2), ("text", 1, None),
    ("text", True, None), ("integer", 1, 1), ("integer", 1.0, 1),
    ("integer", [1.5, 2**60], 0), ("integer", True, 1), ("integer", "1", None),
    ("flag", True, 1), ("flag", 1, 1), ("flag", [0, 1.0], 2),
    ("flag", "true", None), ("number", 1.5, 1), ("number", 2, 0),
    ("number", "x", None), ("day", datetime.date(2024, 1, 3), 1),
    ("day", "2024-01-03", None), ("day", CLOCK[0], None), ("clock", CLOCK[0], 1),
    ("clock", SOME_ZONES[1], None), ("clock", datetime.date(2024, 1, 3), None),
    ("zoned", SOME_ZONES[1], 1), ("zoned", CLOCK[0], None), ("list", 1, None),
]  # fmt: skip


@pytest.mark.parametrize(("source", "wanted", "found"), WHERES)
def test_where_has_values_of_the_type_of_its_column(source, wanted, found) -> None:
    log = pa.table(
        {
            "user": [1, 1, 1],
            "item": ["x", "y", "z"],
            "time": [1, 2, 3],
            "text": ["1", "", "2"],
            "integer": [1, 0, 2**53],
            "flag": [True, False, None],
            "number": [1.5, None, -1.0],
            "day": [datetime.date(2024, 1, day) for day in (3, 4, 5)],
            "list": [[1], [2], [3]],
        }
    )
    for name, clock in (("zoned", SOME_ZONES[1]), ("clock", CLOCK[0])):
        log = log.append_column(name, [[clock, None, None]])
    history = History(
        "past", of=["item"], length=4, user="user", time="time", where={source: wanted}
    )
    pipeline = FeaturePipeline([Categorical("item"), history]).fit(log)
    later = log.slice(0, 1).set_column(2, "time", [[9]])
    if found is None:
        text = f"History 'past': where must have values .*'{source}'.* Received: "
        with pytest.raises(ValueError, match=text):
            pipeline.transform(log)
        with pytest.raises(ValueError, match=text):
            pipeline.transform(later, events=log)
    else:
        got = pipeline.transform(later, events=log)["past_item"].to_pylist()[0]
        assert sum(map(bool, got)) == found
