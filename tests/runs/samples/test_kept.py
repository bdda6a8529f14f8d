"""Which events become rows."""

import ibis
import numpy as np
import pyarrow as pa
import pytest

from recsys.feature.schema.schema import Schema
from recsys.runs.samples.events import read_events
from recsys.runs.samples.kept import k_core, kept_events
from recsys.runs.samples.wanted import Wanted
from tests.runs.samples.configs import config, write


def oracle(rows, least_user, least_item):
    """The k-core by leaving out one event after another."""
    rows = {i: row for i, row in enumerate(rows) if None not in row}
    while True:
        users = [u for u, _ in rows.values()]
        items = [i for _, i in rows.values()]
        bad = [
            row
            for row, (user, item) in rows.items()
            if users.count(user) < least_user or items.count(item) < least_item
        ]
        if not bad:
            return sorted(rows)
        del rows[bad[0]]


def table_of(rows, engine):
    users, items = zip(*rows, strict=True)
    columns = {"//row": pa.array(range(len(rows))), "//user": pa.array(users)}
    return engine.keep(ibis.memtable(pa.table(columns | {"//item": pa.array(items)})))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("least", [(1, 3), (3, 1), (3, 3), (4, 2)])
def test_the_core_as_one_by_one(engine, seed, least):
    rng = np.random.default_rng(seed)
    rows = [(f"u{a}", int(b)) for a, b in rng.integers(0, 45, (120, 2))]
    keys = table_of(rows, engine)
    wanted = {"//user": least[0], "//item": least[1]}
    wanted = {key: number for key, number in wanted.items() if number > 1}
    got, notes = k_core(keys, wanted, engine)
    assert sorted(engine.run(got)["//row"].to_pylist()) == oracle(rows, *least)
    assert all(note.startswith("The k-core left out") for note in notes)


def test_a_chain_is_followed_to_its_end(engine):
    # Each user shares an item with the next; the first has one event alone.
    chain = [(n + k, n) for n in range(12) for k in (0, 1)]
    core = [(u, i) for u in (100, 101) for i in (200, 201)]
    got, notes = k_core(
        table_of(chain + core, engine), {"//user": 2, "//item": 2}, engine
    )
    rows = sorted(engine.run(got)["//row"].to_pylist())
    assert rows == [24, 25, 26, 27]
    assert notes == [
        "The k-core left out 24 of 28 events, 13 of 15 users, 12 of 14 items."
    ]


def test_missing_ids_are_no_user_of_many_events(engine):
    rows = [(None, 1)] * 5 + [(1, 1)] * 3 + [(1, None)] * 4
    got, notes = k_core(table_of(rows, engine), {"//user": 4}, engine)
    assert sorted(engine.run(got)["//row"].to_pylist()) == [*range(5, 12)]
    assert notes == ["The k-core left out 5 events without an id."]
    got, notes = k_core(table_of(rows, engine), {"//user": 3, "//item": 2}, engine)
    assert sorted(engine.run(got)["//row"].to_pylist()) == [5, 6, 7]
    assert notes == ["The k-core left out 9 events without an id."]


LOG = {
    "user": ["a", "a", "b", "", "c", None],
    "item": [1, 2, 1, 1, None, 3],
    "time": [5, 4, 3, 2, 1, 0],
    "action": ["buy", "see", "buy", "see", None, "buy"],
    "click": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
}


def kept(tmp_path, engine, **samples):
    write(tmp_path, events=LOG)
    run = config(samples=samples, split={"by": "ratio"})
    wanted = Wanted(run, Schema.from_dict(run.declared))
    found, notes = kept_events(read_events(wanted, tmp_path, engine), wanted, engine)
    return engine.run(found.order_by("//row")).to_pydict(), notes


def test_where_as_histories_have_it(tmp_path, engine):
    rows, notes = kept(tmp_path, engine, where={"action": ["buy", ""], "click": 1})
    assert rows["//row"] == [0, 2, 4]
    assert rows["//user"] == ["a", "b", "c"]
    assert notes == ["samples.where left out 3 of 6 events."]
    rows, notes = kept(tmp_path, engine)
    assert rows["//row"] == [0, 1, 2, 3, 4, 5] and notes == []
    assert rows["//user"] == ["a", "a", "b", None, "c", None]


def test_negatives_need_user_and_item(tmp_path, engine):
    write(tmp_path, events={k: v for k, v in LOG.items() if k != "click"})
    run = config(samples={"negatives": {"label": "click"}}, split={"by": "ratio"})
    wanted = Wanted(run, Schema.from_dict(run.declared))
    found, notes = kept_events(read_events(wanted, tmp_path, engine), wanted, engine)
    assert sorted(engine.run(found)["//row"].to_pylist()) == [0, 1, 2]
    assert notes == [
        "3 of 6 events have no 'user' or no 'item', which negatives need, and were "
        "left out."
    ]


def test_what_leaves_nothing_is_an_error(tmp_path, engine):
    with pytest.raises(ValueError, match="must leave events. Received: none of 6"):
        kept(tmp_path, engine, min_user_events=5)
    with pytest.raises(ValueError, match="samples: where must have values.*'soon'"):
        kept(tmp_path, engine, where={"click": "soon"})
    with pytest.raises(
        ValueError, match="samples.where: the data must have a column 'acti"
    ):
        kept(tmp_path, engine, where={"actio": "buy"})
