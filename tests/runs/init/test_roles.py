"""Which file is what."""

import pytest

from recsys.runs.init.roles import roles_of
from recsys.runs.init.rows import database
from tests.runs.init.log import opened, write

EVENTS = {"user_id": [1, 1, 2, 3], "item_id": [7, 8, 7, 7], "y": [0, 1, 1, 0]}
ITEMS = {"item_id": [7, 8, 9], "brand": ["a", "b", "c"]}
USERS = {"user_id": [1, 2, 3, 4, 5], "age": [20, None, 40, 50, 60]}


def roles(*files):
    with database() as connection:
        return roles_of(files, connection, connection.to_pyarrow)


def test_items_and_users_beside_events_in_any_order(tmp_path):
    events = write(tmp_path / "e.parquet", EVENTS)
    items = write(tmp_path / "i.csv", ITEMS)
    users = write(tmp_path / "u.csv", USERS)
    for files in ((events, items, users), (users, items, events)):
        found = roles(*files)
        paths = {home: table.paths for home, table in found.tables.items()}
        assert paths == {"events": [events], "items": [items], "users": [users]}
        assert found.keys == {"items": "item_id", "users": "user_id"}
    with opened(users, events, items) as rows:
        table = rows.run(rows.table.order_by("//row")).to_pydict()
        assert (rows.total, rows.is_all) == (4, True)
    assert table["brand"] == ["a", "b", "a", "a"] and table["age"] == [20, 20, None, 40]


def test_files_of_the_same_columns_are_one_table(tmp_path):
    files = [write(tmp_path / f"day{i}.csv", EVENTS) for i in range(2)]
    assert roles(*files).tables["events"].paths == files
    with opened(*files) as rows:
        assert rows.total == 8


def test_parts_by_their_names(tmp_path):
    train, valid, test = (
        write(tmp_path / f"{name}.csv", EVENTS) for name in ("train", "dev", "x-test")
    )
    items = write(tmp_path / "items.csv", ITEMS)
    found = roles(test, train, items, valid)
    assert found.tables["events"].paths == [train]
    assert (found.valid, found.test, found.left_out) == ([valid], [test], {})
    assert found.tables["items"].paths == [items]
    assert roles(test).tables["events"].paths == [test]  # alone it is no part


def test_a_part_without_the_others_is_left_out(tmp_path):
    train = write(tmp_path / "train.csv", EVENTS)
    valid = write(tmp_path / "valid.csv", EVENTS)
    bare = {name: EVENTS[name] for name in ("user_id", "item_id")}
    test = write(tmp_path / "test.csv", bare)
    for files in ((train, valid), (train, valid, test)):
        found = roles(*files)
        assert found.tables["events"].paths == [train]
        assert (found.valid, found.test) == ([], [])
        assert [*found.left_out] == [*files[1:]]


def test_what_is_no_set_of_events_is_one_error(tmp_path):
    events = write(tmp_path / "e.csv", EVENTS)
    items = write(tmp_path / "i.csv", ITEMS)
    twice = write(tmp_path / "twice.csv", {"item_id": [7, 7, 8], "brand": [*"aab"]})
    prices = write(tmp_path / "p.csv", {"item_id": [7, 8, 9], "price": [1, 2, 3]})
    both = write(tmp_path / "both.csv", {"item_id": [7, 8, 9], "y": [1, 2, 3]})
    texts = write(tmp_path / "t.csv", {"item_id": ["7a", "8", "9"], "z": [1, 2, 3]})
    for files, wanted in (
        ((events, twice), "FILES must be events.*twice.csv with item_id, brand"),
        ((events, events), f"each once. Received: {events} twice"),
        ((), "one or more, each once. Received: none"),
        ((events, items, prices), "one table of items at most. .*i.csv by 'item_id'"),
        ((events, both), "'y' must be in one table alone.* it in .*e.csv and .*both"),
        ((events, texts), "'item_id' must be of one type.* integer in .*string in"),
    ):
        with pytest.raises(ValueError, match=wanted):
            roles(*files)
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.csv"):
        roles(str(tmp_path / "none.csv"))
    empty = tmp_path / "empty.csv"
    empty.write_text("user_id,item_id\n")
    with pytest.raises(ValueError, match=r"empty.csv must have rows. Received: none"):
        opened(str(empty)).__enter__()


def test_numbers_that_csv_has_as_texts(tmp_path):
    columns = {
        "rate": ["1e-05", "0.5", None, "-2.5E+3"],
        "hash": ["1e5", "007", "3", "4"],
        "code": ["1e5", "x", "3", "4"],
        "plain": ["0.5", "1.5", "2", "3"],
    }
    for name, rate in (("a.csv", "float64"), ("a.parquet", "string")):
        with opened(write(tmp_path / name, columns)) as rows:
            types = {name: str(rows.table[name].type()) for name in columns}
            values = rows.run(rows.table)["rate"].to_pylist()
        assert types["rate"] == rate and types["hash"] == types["code"] == "string"
        if rate == "float64":
            assert values == [1e-05, 0.5, None, -2500.0]
            assert types["plain"] == "float64"
