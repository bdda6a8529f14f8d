"""Events of all files, joined with items and users."""

import gzip

import pytest

from recsys.feature.schema.schema import Schema
from recsys.runs.samples.events import read_events
from recsys.runs.samples.wanted import Wanted
from tests.runs.samples.configs import COLUMNS, config, write

PLAIN = {"user": [1, 2, None], "item": ["x", "y", "z"], "time": [3, 2, 1]}
LOG = {**PLAIN, "click": [1, 0, 1]}
GENRE = [*COLUMNS, {"kind": "categorical", "name": "genre", "belong": "item"}]
AGE = [*COLUMNS, {"kind": "numeric", "name": "age", "fill": 0.0}]


def events(tmp_path, engine, *args, **sections):
    run = config(*args, **sections)
    wanted = Wanted(run, Schema.from_dict(run.declared))
    return read_events(wanted, tmp_path, engine)


def rows(found, engine):
    return engine.run(found.table.order_by("//row")).to_pydict()


def test_rows_have_what_is_known_of_items_and_users(tmp_path, engine):
    write(tmp_path, events=LOG)
    write(tmp_path, items={"item": ["y", "x", "w"], "genre": ["b", "a", "c"]})
    write(tmp_path, users={"user": [2, 9], "age": [30.5, 7.0], "unread": [1, 1]})
    data = {"items": "items.parquet", "users": "users.parquet"}
    found = events(tmp_path, engine, [*GENRE, AGE[-1]], data=data)
    assert rows(found, engine) == {
        "//row": [0, 1, 2],
        **LOG,
        "genre": ["a", "b", None],
        "age": [None, 30.5, None],
    }
    assert found.rows == [3]
    assert engine.rows(found.items) == 3


def test_files_of_the_parts_follow_each_other_and_have_common_types(tmp_path, engine):
    with gzip.open(tmp_path / "events.tsv.gz", "wt") as file:
        file.write("user\titem\ttime\tclick\n1\t7\t3\t1\n2\t8\t2\t0\n")
    (tmp_path / "v.csv").write_text("item,user,time,click\nx,3,1,1\n")
    (tmp_path / "t.csv").write_text("item,user,time,click\n9,3,1.5,1\n9,4,0,0\n")
    split = {"by": "files", "valid_files": "v.csv", "test_files": ["t.csv"]}
    found = events(tmp_path, engine, data={"files": "*.tsv.gz"}, split=split)
    got = rows(found, engine)
    assert got["//row"] == [0, 1, 2, 3, 4] and found.rows == [2, 1, 2]
    assert got["item"] == ["7", "8", "x", "9", "9"]
    assert got["user"] == [1, 2, 3, 3, 4]
    assert got["time"] == [3.0, 2.0, 1.0, 1.5, 0.0]


def test_labels_are_made(tmp_path, engine):
    write(tmp_path, events={**LOG, "rating": [5, None, 1]})
    found = events(
        tmp_path, engine, labels=["like"], samples={"labels": {"like": "rating > 2"}}
    )
    got = rows(found, engine)
    assert got["like"] == [1, None, 0] and "click" not in got
    write(tmp_path, events=PLAIN)
    found = events(tmp_path, engine, samples={"negatives": {"label": "click"}})
    assert rows(found, engine)["click"] == [1, 1, 1]


def test_an_id_twice_names_file_and_id(tmp_path, engine):
    write(tmp_path, events=LOG)
    write(tmp_path, i1={"item": ["a", "b"], "genre": ["b", "a"]})
    write(tmp_path, i2={"item": ["c", "d", "c"], "genre": ["b", "a", "b"]})
    data = {"items": ["i1.parquet", "i2.parquet"]}
    with pytest.raises(ValueError, match=r"i2.parquet: each row .* own 'item'") as told:
        events(tmp_path, engine, GENRE, data=data)
    assert str(told.value).endswith("Received: 'c' in 2 rows")
    assert "i1" not in str(told.value)
    write(tmp_path, i2={"item": ["c", "a", None], "genre": ["b", "a", "b"]})
    with pytest.raises(ValueError, match=r"'item'. Received: 'a' in 2 rows"):
        events(tmp_path, engine, GENRE, data=data)
    with pytest.raises(ValueError, match=r"'item'. Received: none in 1 rows"):
        events(tmp_path, engine, GENRE, data={"items": "i2.parquet"})


def test_sides_that_do_not_fit_are_named(tmp_path, engine):
    write(tmp_path, events={**LOG, "Genre": ["p", "q", "r"]})
    write(tmp_path, items={"item": [1, 2], "genre": ["b", "a"]})
    data = {"items": "items.parquet"}
    with pytest.raises(ValueError, match="one type on both sides.*string in .*integer"):
        events(tmp_path, engine, GENRE, data=data)
    write(tmp_path, items={"item_id": ["x"], "genre": ["b"]})
    with pytest.raises(ValueError, match=r"Received: data.items \(.*items.parquet\)"):
        events(tmp_path, engine, GENRE, data=data)
    write(tmp_path, items={"item": ["x"], "genre": ["b"]})
    assert rows(events(tmp_path, engine, GENRE, data=data), engine)["genre"][0] == "b"
    write(tmp_path, events={**LOG, "genre": ["p", "q", "r"]})
    with pytest.raises(
        ValueError, match="on one side only.*'genre' in .*events.*items"
    ):
        events(tmp_path, engine, GENRE, data=data)


def test_columns_that_are_not_there_say_who_reads_them(tmp_path, engine):
    write(tmp_path, events=LOG)
    for who, column, sections in (
        ("Categorical 'genre'", "genre", {"columns": GENRE}),
        ("Label 'clik'", "clik", {"labels": ["clik"]}),
        ("data.time", "tim", {"data": {"time": "tim"}}),
        ("Group 'g'", "usr", {"schema": {"groups": {"g": "usr"}}}),
        (
            "samples.labels 'like'",
            "stars",
            {"labels": ["like"], "samples": {"labels": {"like": "stars > 1"}}},
        ),
    ):
        wanted = f"^{who}: the data must have a column {column!r}\\. Received: "
        with pytest.raises(ValueError, match=wanted):
            events(tmp_path, engine, **sections)


def test_a_label_that_is_there_is_not_made(tmp_path, engine):
    write(tmp_path, events=LOG)
    with pytest.raises(
        ValueError, match="'click' must not be made, as the data has it"
    ):
        events(tmp_path, engine, samples={"labels": {"click": "time > 1"}})
    with pytest.raises(
        ValueError, match="'click' must not be made, as the data has it"
    ):
        events(tmp_path, engine, samples={"negatives": {"label": "click"}})
    with pytest.raises(ValueError, match="must be read by the schema.*'like'"):
        events(tmp_path, engine, samples={"labels": {"like": "time > 1"}})


@pytest.mark.parametrize(
    "sections, wanted",
    [
        ({"split": {"by": "ratio", "gap": 3.0}}, "split.gap must be left out.*'ratio'"),
        ({"split": {"valid_files": "x"}}, "split.valid_files must be left out"),
        ({"split": {"by": "files", "test_files": "x"}}, "split.valid_files must name"),
        (
            {
                "samples": {
                    "labels": {"click": "t > 1"},
                    "negatives": {"label": "click"},
                }
            },
            "label must be made by no rule of samples.labels. Received: 'click'",
        ),
        ({"split": {"valid": 0.5, "test": 0.5}}, "sum to less than 1. Received: 0.5"),
        ({"data": {"time": None}}, "data.time must name .* for split.by 'time'"),
        ({"data": {"user": None}, "split": {"by": "users"}}, "data.user must name"),
        ({"data": {"item": None, "items": "i"}}, "data.item must name.* data.items"),
        ({"data": {"user": None}, "samples": {"min_user_events": 2}}, "min_user_ev"),
    ],
)
def test_sections_that_contradict_each_other(sections, wanted):
    run = config(**sections)
    with pytest.raises(ValueError, match=wanted):
        Wanted(run, Schema.from_dict(run.declared))
