"""Parts of the events, beside NumPy."""

import datetime
import hashlib

import ibis
import numpy as np
import pyarrow as pa
import pytest

from recsys.data.splits import leave_one_out, split_by_time
from recsys.runs.config import Split
from recsys.runs.samples.split import with_parts


def keys_of(users, times, engine):
    table = {"//row": pa.array(np.arange(len(times))), "//time": times}
    if users is not None:
        table["//user"] = users
    return engine.keep(ibis.memtable(pa.table(table)))


def parts(keys, engine, rows=(), **options):
    found, notes = with_parts(keys, Split(**options), rows, engine)
    found = engine.run(found).to_pydict()
    return dict(zip(found["//row"], found["//part"], strict=True)), notes


def log(seed, n=400, span=60):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 20, n), rng.integers(0, span, n)


@pytest.mark.parametrize("valid, test", [(0.1, 0.1), (0.3, 0.2), (0.05, 0.6)])
@pytest.mark.parametrize("seed", [0, 1])
def test_by_time_as_numpy_does_it(engine, valid, test, seed):
    users, times = log(seed)
    keys = keys_of(users, times, engine)
    shares = (1 - valid - test, valid, test)
    for by, of in (("time", None), ("user_time", users)):
        got, notes = parts(keys, engine, by=by, valid=valid, test=test)
        wanted = split_by_time(of, times, shares)
        assert got == dict(enumerate(wanted.tolist()))
        assert notes == []


def test_ties_stay_together_in_the_earlier_part(engine):
    times = [1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 4]
    got, _ = parts(keys_of(None, times, engine), engine, valid=0.2, test=0.1)
    assert [got[row] for row in range(11)] == [0] * 9 + [1, 2]


def test_leave_one_out_as_numpy_does_it(engine):
    users, times = log(2, span=8)  # ties
    users[:7] = [77, 88, 99, 99, 66, 66, 66]  # of one event, of two and of three
    got, _ = parts(keys_of(users, times, engine), engine, by="leave_one_out")
    assert got == dict(enumerate(leave_one_out(users, times).tolist()))
    assert [got[row] for row in range(4)] == [0] * 4
    assert sorted(got[row] for row in range(4, 7)) == [0, 1, 2]


@pytest.mark.parametrize("by", ["ratio", "users"])
@pytest.mark.parametrize("seed", [0, 5])
def test_at_random_by_a_hash_that_all_machines_have(engine, by, seed):
    users = [f"u{i % 97}" for i in range(500)]
    keys = keys_of(users, np.zeros(500, int), engine)
    got, _ = parts(keys, engine, by=by, valid=0.2, test=0.3, seed=seed)
    of = range(500) if by == "ratio" else users

    def part(value):
        text = f"split/{seed}/{value}".encode()
        share = int(hashlib.md5(text).hexdigest()[:13], 16) / 16**13
        return 0 if share < 0.5 else 1 if share < 0.7 else 2

    assert [got[row] for row in range(500)] == [part(value) for value in of]
    sizes = np.bincount([*got.values()]) / 500
    assert (np.abs(sizes - [0.5, 0.2, 0.3]) < 0.1).all()


def test_files_say_what_their_rows_are(engine):
    got, _ = parts(
        keys_of(None, np.zeros(10), engine),
        engine,
        rows=[5, 2, 3],
        by="files",
        valid_files=["v"],
        test_files=["t"],
    )
    assert got == dict(enumerate([0] * 5 + [1] * 2 + [2] * 3))


def day(number):
    return datetime.date(2024, 1, 1) + datetime.timedelta(number)


@pytest.mark.parametrize(
    "times, unit",
    [
        (pa.array(np.arange(100)), 1),
        (pa.array(np.arange(100) / 4), 0.25),
        (pa.array([day(i) for i in range(100)]), 86400),
        (pa.array(np.arange(100) * 500_000, pa.timestamp("us")), 0.5),
        (pa.array(np.arange(100) * 500_000_000, pa.timestamp("ns")), 0.5),
        (pa.array(np.arange(100) * 60, pa.timestamp("s", "UTC")), 60),
    ],
    ids=["integers", "floats", "dates", "microseconds", "nanoseconds", "zone"],
)
def test_a_gap_before_each_cut_is_left_out(engine, times, unit):
    keys = keys_of(None, times, engine)
    got, notes = parts(keys, engine, valid=0.2, test=0.2, gap=2.5 * unit)
    # Nearer than 2.5 to 60 are 58 and 59; to 80 are 78 and 79.
    wanted = {row: 0 if row < 58 else 1 if row < 78 else 2 for row in range(100)}
    assert got == {r: p for r, p in wanted.items() if r not in (58, 59, 78, 79)}
    assert notes == ["split.gap left out 4 of 100 events."]
    exactly, _ = parts(keys, engine, valid=0.2, test=0.2, gap=2.0 * unit)
    assert 58 in exactly and 59 not in exactly


def test_rows_that_cannot_be_placed_are_left_out_and_counted(engine):
    users = pa.array([1, 2, None, *range(9)])
    times = pa.array([None, None, *map(float, range(10))])
    keys = keys_of(users, times, engine)
    got, notes = parts(keys, engine, by="time")
    assert 0 not in got and 1 not in got and 2 in got
    assert notes == [
        "2 of 12 events have no time, by which the split is, and were left out."
    ]
    got, notes = parts(keys, engine, by="users", valid=0.3, test=0.3)
    assert 0 in got and 2 not in got
    assert notes == [
        "1 of 12 events have no user, by which the split is, and were left out."
    ]
    got, notes = parts(keys, engine, by="ratio", valid=0.3, test=0.3)
    assert len(got) == 12 and notes == []


def test_an_empty_part_is_an_error_that_names_it_with_the_numbers(engine):
    keys = keys_of(None, [1, 1, 1, 2], engine)
    wanted = "but valid and test have none. Received: 4 in train, 0 in valid, 0 in test"
    with pytest.raises(ValueError, match=f"each part must have rows, {wanted}, of 4 "):
        parts(keys, engine, by="time")
    keys = keys_of(None, np.arange(100), engine)
    with pytest.raises(
        ValueError, match="train and valid have none.*gap left out 90 of"
    ):
        parts(keys, engine, by="time", gap=1000)


ZONE = datetime.UTC


@pytest.mark.parametrize(
    "times, cuts",
    [
        (pa.array(np.arange(100)), (60, 80)),
        (pa.array(np.arange(100)), (59.5, 79.5)),
        (pa.array(np.arange(100) / 4), (15, 20.0)),
        (pa.array([day(i) for i in range(100)]), (day(60), day(80))),
        (
            pa.array([day(i) for i in range(100)]).cast(pa.timestamp("s")),
            (day(60), datetime.datetime(2024, 3, 20, 18)),  # row 79 is of its morning
        ),
        (
            pa.array(np.arange(100) * 60, pa.timestamp("s", "UTC")),
            [datetime.datetime(1970, 1, 1, 1, m, tzinfo=ZONE) for m in (0, 20)],
        ),
    ],
    ids=["integers", "between", "floats", "dates", "timestamps", "zone"],
)
def test_a_part_begins_when_it_is_said_to(engine, times, cuts):
    keys = keys_of(None, times, engine)
    got, notes = parts(keys, engine, valid_from=cuts[0], test_from=cuts[1])
    assert got == {r: 0 if r < 60 else 1 if r < 80 else 2 for r in range(100)}
    assert notes == []


@pytest.mark.parametrize(
    "times, cuts, wanted",
    [
        ([1, 2, 3], (day(1), day(2)), "a number, as .* int64. Received: 2024-01-02"),
        ([day(1), day(2)], (1, 2), "a date, as .* date. Received: 1"),
        (
            pa.array([1, 2], pa.timestamp("s", "UTC")),
            (day(1), day(2)),
            "a timestamp with a zone",
        ),
        (
            pa.array([1, 2], pa.timestamp("s")),
            [datetime.datetime(2024, 1, d, tzinfo=ZONE) for d in (1, 2)],
            "a date, or one with a time, as",
        ),
    ],
)
def test_times_of_another_kind_are_refused(engine, times, cuts, wanted):
    keys = keys_of(None, times, engine)
    with pytest.raises(ValueError, match=f"split.valid_from must be {wanted}"):
        parts(keys, engine, valid_from=cuts[0], test_from=cuts[1])
