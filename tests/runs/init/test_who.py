"""Guesses at user, item and time, and at whose attributes columns are."""

from datetime import date, datetime, timedelta

import numpy as np
import pytest

from recsys.runs.init.seen import look
from recsys.runs.init.who import time_reading, who_of
from tests.runs.init.log import click_log, opened, write

NUM = 600
RNG = np.random.default_rng(0)
USER, ITEM = RNG.integers(0, 40, NUM), RNG.integers(0, 50, NUM)
SECONDS = RNG.integers(1_600_000_000, 1_700_000_000, NUM)


def who(path, columns):
    with opened(write(path / "log.parquet", columns)) as rows:
        seen = look(rows)
        return who_of(rows, seen, {}), {each.name: each for each in seen}


def test_names_and_values_say_who(tmp_path):
    found, _ = who(tmp_path, click_log())
    assert (found.user, found.item, found.time) == ("user_id", "video_id", "event_time")
    assert found.why["event_time"] == "by its name and values, timestamps"
    assert found.owners == {
        "duration": "item",
        "genres": "item",
        "words": "item",
        "brand": "item",
        "title": "item",
        "vector": "item",
        "gender": "user",
    }


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"user": USER, "movie": ITEM, "ts": SECONDS}, ("user", "movie", "ts")),
        (
            {"uid": USER, "ad_id": USER, "item_id": ITEM, "time_ms": SECONDS * 1000},
            ("uid", "item_id", "time_ms"),
        ),
        # A plain word with few values is a category; ids without one come never again.
        ({"device": USER % 3, "app": ITEM % 5}, (None,) * 3),
        ({"user_id": np.arange(NUM), "item_id": ITEM}, (None, "item_id", None)),
        ({"a": USER, "b": ITEM, "c": SECONDS}, (None, None, None)),
        ({"order_time": SECONDS, "time": SECONDS % 999}, (None, None, "time")),
        ({"order_time": SECONDS, "y": USER}, (None, None, "order_time")),
    ],
)
def test_guesses(tmp_path, columns, wanted):
    found, _ = who(tmp_path, columns)
    assert (found.user, found.item, found.time) == wanted


def test_the_time_of_an_event_before_others(tmp_path):
    start = datetime(2024, 1, 1)
    times = [start + timedelta(seconds=int(s)) for s in RNG.integers(0, 10**6, NUM)]
    columns = {
        "user_id": USER,
        "date": [20240101 + int(t.day) for t in times],
        "click_time": times,
        "event_time": SECONDS,
        "signup_date": [date(2020, 1, 1 + int(u) % 28) for u in USER],
    }
    found, seen = who(tmp_path, columns)
    assert found.time == "event_time" and found.owners == {"signup_date": "user"}
    readings = {name: time_reading(each) for name, each in seen.items()}
    assert readings == {
        "user_id": "",
        "date": "days as 20001231",
        "click_time": "timestamps",
        "event_time": "seconds since 1970",
        "signup_date": "dates",
    }


def test_an_attribute_takes_proof(tmp_path):
    """One value for each item proves little where hardly an item comes again."""
    item = np.arange(NUM)
    item[:8] = item[8:16]
    rare = (np.arange(NUM) > NUM - 20).astype(int)  # 0 in all items that come again
    columns = {"item_id": item, "rare": rare, "cut": [None] * 300 + ["x"] * 300}
    found, _ = who(tmp_path, columns)
    assert found.item == "item_id" and found.owners == {}
    item = ITEM.astype(object)
    half = [f"b{i % 4}" if i % 2 or k % 2 else None for k, i in enumerate(ITEM)]
    found, _ = who(tmp_path, {"item_id": ITEM, "half": half, "b": item % 4})
    assert found.owners == {"b": "item"}  # missing in some rows of an item is another
