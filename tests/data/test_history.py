"""Histories against an oracle in plain Python: nothing of the present or future."""

import datetime

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data import Bucketed, Categorical, FeaturePipeline, Hashed, History

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
