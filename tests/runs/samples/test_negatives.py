"""Items that users did not choose, beside plain Python."""

import hashlib
from collections import Counter

import ibis
import numpy as np
import pyarrow as pa
import pytest

from recsys.runs.samples.negatives import drawn


def draw(events, pool, engine, per_event=3, seed=0, chosen=None):
    """Negatives of each event, in order; notes."""
    users, items = zip(*events, strict=True)
    keys = {"//row": range(len(events)), "//user": users, "//item": items}
    chosen = sorted({*events} if chosen is None else {*chosen})
    pairs = dict(zip(("//user", "//item"), zip(*chosen, strict=True), strict=True))
    places = {"//place": range(len(pool)), "//item": pool}
    tables = [
        ibis.memtable(pa.table({name: pa.array([*v]) for name, v in columns.items()}))
        for columns in (keys, pairs, places)
    ]
    found, notes = drawn(*tables, per_event, seed, engine)
    found = engine.run(found.order_by("//row", "//number")).to_pydict()
    of = {row: [] for row in range(len(events))}
    for row, number, item in zip(
        found["//row"], found["//number"], found["//item"], strict=True
    ):
        of[row].append(item)
        assert number == len(of[row])
    return of, notes


def oracle(events, pool, per_event, seed, tries):
    """One try after another; nothing is drawn when there are no more tries."""
    chosen = {*events}
    found = {}
    for row, (user, _) in enumerate(events):
        of = found[row] = []
        for number in range(tries):
            text = f"negatives/{seed}/{row}/{number}".encode()
            place = int(hashlib.md5(text).hexdigest()[:13], 16) % len(pool)
            item = pool[place]
            if item not in of and (user, item) not in chosen and len(of) < per_event:
                of.append(item)
    return found


def log(seed, users=6, items=30, n=80):
    rng = np.random.default_rng(seed)
    return [
        (f"u{a}", int(b))
        for a, b in zip(
            rng.integers(0, users, n), rng.integers(0, items, n), strict=True
        )
    ]


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("popular", [False, True])
def test_each_draw_is_the_hash_of_seed_row_and_try(engine, seed, popular):
    events = log(seed)
    pool = [item for _, item in events] if popular else [*range(100, 130), *range(30)]
    got, notes = draw(events, pool, engine, 3, seed)
    assert got == oracle(events, pool, 3, seed, tries=3 * (2**8 - 1))
    assert notes == []


def test_draws_are_as_probable_as_the_pool_says(engine):
    pool = [1] * 6 + [2] * 3 + [3]
    events = [(f"u{i}", 0) for i in range(3000)]
    got, _ = draw(events, pool, engine, per_event=2)
    first = Counter(of[0] for of in got.values())
    for item, share in ((1, 0.6), (2, 0.3), (3, 0.1)):
        assert first[item] / 3000 == pytest.approx(share, abs=0.03)
    # The second without the first: 2 after 1 in 3 of 4, and so on.
    both = Counter(tuple(of) for of in got.values())
    assert both[1, 2] / first[1] == pytest.approx(0.75, abs=0.04)
    assert both[2, 1] / first[2] == pytest.approx(6 / 7, abs=0.04)


def test_what_hardly_any_try_finds_is_found_in_the_end(engine, monkeypatch):
    monkeypatch.setattr("recsys.runs.samples.negatives.ROUNDS", 1)
    pool = [0] * 5000 + [1] * 6 + [2] * 3 + [3]
    events = [(f"u{i}", 0) for i in range(2000)]
    got, notes = draw(events, pool, engine, per_event=2)
    assert notes == []
    assert all(len({*of}) == 2 and 0 not in of for of in got.values())
    first = Counter(of[0] for of in got.values())
    for item, share in ((1, 0.6), (2, 0.3), (3, 0.1)):
        assert first[item] / 2000 == pytest.approx(share, abs=0.04)


def test_users_who_chose_nearly_all_have_less_and_it_is_said(engine):
    events = [("all", i) for i in range(8)] + [("most", i) for i in range(6)]
    events += [("few", 0)]
    got, notes = draw(events, [*range(8)], engine)
    for row, (user, _) in enumerate(events):
        items = set(range(8)) - {i for u, i in events if u == user}
        assert len(got[row]) == min(3, len(items)) and {*got[row]} <= items
    assert notes == [
        "14 of 15 events have less than 3 negatives, as there are no more items that "
        "their users did not choose."
    ]
    none, notes = draw([("a", 1), ("b", 1)], [1], engine)
    assert none == {0: [], 1: []} and notes[0].startswith("2 of 2 events")
