"""What becomes of each kind of column."""

import numpy as np
import pytest

from recsys.runs.init.answers import answers_of
from recsys.runs.init.kinds import columns_of
from recsys.runs.init.seen import look
from recsys.runs.init.who import who_of
from tests.runs.init.log import NUM, click_log, opened, write


def columns(path, values):
    with opened(write(path / "log.parquet", values)) as rows:
        seen = look(rows)
        who = who_of(rows, seen, {})
        found = columns_of(seen, who, answers_of(rows, seen, who))
    return {column.seen.name: column for column in found}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return columns(tmp_path_factory.mktemp("log"), click_log())


def test_entries_of_the_schema(found):
    ids = {"kind": "categorical", "min_count": 2}
    wanted = {
        "user_id": {**ids, "name": "user_id"},
        "video_id": {**ids, "name": "video_id", "belong": "item"},
        "duration": {"kind": "numeric", "log1p": True, "standardize": True},
        "price": {"kind": "numeric", "standardize": True, "fill": "mean"},
        "genres": {"kind": "multivalue", "separator": "|", "length": 4},
        "words": {"kind": "multivalue", "length": 2},
        "brand": {"kind": "categorical", "belong": "item"},
        "gender": {"kind": "categorical"},
        "hour": {"kind": "categorical", "belong": "context"},
        "city": {"kind": "categorical", "belong": "context"},
        "play_ms": {"kind": "numeric", "belong": "context", "standardize": True},
        "outcome": {"kind": "categorical", "belong": "context"},
        "vector": {"kind": "vector", "length": 3, "of": "video_id", "id_dropout": 0.2},
    }
    for name, entry in wanted.items():
        belong = {"belong": found[name].belong} if found[name].belong != "user" else {}
        assert found[name].entry == {"name": name, **belong, **entry}, name
        assert found[name].is_input
    assert found["price"].belong == "context" and found["genres"].belong == "item"


def test_what_is_left_out_and_why(found):
    reasons = {name: c.left_out for name, c in found.items() if c.left_out}
    for name, word in {
        "click_time": "a further time",
        "title": "almost each item has its own",
        "request": "almost each row has its own",
        "row": "it numbers the rows",
        "same": "it has one value",
        "empty": "it has no values",
        "record": "nothing reads its type, struct",
    }.items():
        assert word in reasons.pop(name), name
    assert reasons == {}
    assert {n for n, c in found.items() if not c.is_input and not c.left_out} == {
        "is_click",
        "buy",
        "event_time",
    }


def test_numbers_and_categories(tmp_path):
    rng = np.random.default_rng(0)
    many = rng.integers(0, 1500, NUM)
    found = columns(
        tmp_path,
        {
            "few": rng.integers(0, 7, NUM),
            "level": rng.integers(0, 500, NUM),
            "shop_code": rng.integers(0, 500, NUM),
            "session_id": rng.integers(0, 500, NUM),
            "even": rng.random(NUM) * 100,
            "below": np.where(
                rng.random(NUM) < 0.1, -1, np.exp(2 * rng.normal(size=NUM))
            ),
            "long": rng.integers(0, 3, NUM) ** rng.integers(0, 9, NUM) + 0.5,
            "part": np.exp(rng.normal(size=NUM)) / 100,
            "many": [f"m{value}" for value in many],
            "text": [" ".join(f"w{k}{v}" for k in range(8)) for v in many],
            "when": [f"{1 + v % 28:02d}/02/2024 1{v % 10}:00" for v in many],
            "when_date": [f"{1 + v % 28:02d}.02.2024" for v in many],
            "day": ["mon" if v % 2 else "tue" for v in many],
        },
    )
    kinds = {name: (c.entry or {}).get("kind") for name, c in found.items()}
    assert kinds == {
        "few": "categorical",
        "level": "numeric",
        "shop_code": "categorical",
        "session_id": "categorical",
        "even": "numeric",
        "below": "numeric",
        "long": "numeric",
        "part": "numeric",
        "many": "hashed",
        "text": None,
        "when": "categorical",
        "when_date": None,
        "day": "categorical",
    }
    assert found["many"].entry["num_buckets"] == 2048
    assert found["session_id"].entry["min_count"] == 2
    assert "min_count" not in found["shop_code"].entry
    logs = {n for n, c in found.items() if c.is_number and c.entry.get("log1p")}
    assert logs == {"long"}  # not below 0, not of small numbers, not of an even spread
    assert "ISO 8601" in found["when_date"].left_out


def test_whose_it_is_by_its_name_where_nobody_is_known(tmp_path):
    rng = np.random.default_rng(0)
    names = ("user_group", "item_brand", "hour")
    values = {name: rng.random(NUM) < 0.5 for name in names}
    found = columns(tmp_path, values)
    assert [column.belong for column in found.values()] == ["user", "item", "user"]
    found = columns(tmp_path, {**values, "user_id": rng.integers(0, 50, NUM)})
    belong = {name: column.belong for name, column in found.items()}
    assert belong == {
        "user_group": "context",  # it changes
        "item_brand": "item",
        "hour": "context",
        "user_id": "user",
    }


def test_names_that_a_schema_has_not(tmp_path):
    value = np.random.default_rng(0).random(NUM)
    found = columns(tmp_path, {"a.b": value, "a/b": value, "a_b": value})
    names = {name: column.entry["name"] for name, column in found.items()}
    assert names == {"a.b": "a_b", "a/b": "a_b_input", "a_b": "a_b_input_input"}
    assert found["a.b"].entry["source"] == "a.b"
