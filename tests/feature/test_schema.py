"""The schema: what it refuses, and that its file says all of it."""

import dataclasses
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.feature._names import nearest
from recsys.feature.schema.columns import (
    LARGEST,
    Bucketed,
    Categorical,
    Hashed,
    Label,
    MultiValue,
    Numeric,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import KINDS, Schema
from recsys.feature.schema.vector import Vector

WHOLE = Schema(
    columns=[
        Categorical("user_id", min_count=2),
        Categorical("item_id", belong="item", max_size=10, source="item"),
        Hashed("device", num_buckets=7, belong="context"),
        Numeric("price", log1p=True, standardize=True, fill=0.5),
        Numeric("age", fill="mean"),
        Numeric("height", log1p=True, bins=8),
        Bucketed("age_bucket", source="age", num_buckets=4),
        Bucketed("age_group", source="age", edges=[18, 65.5]),
        MultiValue("tags", length=3, separator="|", weight="tag_weights"),
        Vector("text", 8, separator=" "),
        Vector("image", 4, of="user_id", fuse="concat", id_dropout=0.2),
        MultiValue("seen", emb="item_id", length=5, belong="history", group="seen"),
        History(
            "clicked",
            of=["item_id", "device", "tags"],
            length=4,
            user="user_id",
            time="time",
            where={"action": ["click", "buy"], "rating": 5},
            ages=20,
            session_gap=1800,
        ),
    ],
    labels=[
        Label("click"),
        Label("stars", source="rating", belong="multiclass", num_classes=6),
    ],
    sample_weight="weight",
    groups={"user": "user_id"},
)


def test_every_kind_survives_its_file(tmp_path: Path) -> None:
    assert {type(column) for column in WHOLE.columns} == set(KINDS.values())
    WHOLE.to_yaml(tmp_path / "schema.yaml")
    assert Schema.from_yaml(tmp_path / "schema.yaml") == WHOLE


def test_file_leaves_out_defaults() -> None:
    plain = Schema([Categorical("item_id"), MultiValue("tags", length=2)])
    assert plain.to_dict() == {
        "columns": [
            {"kind": "categorical", "name": "item_id"},
            {"kind": "multivalue", "name": "tags", "length": 2},
        ]
    }


def test_short_forms(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(
        "columns: [{kind: numeric, name: price}]\nlabels: [click]\ngroups: [user_id]"
    )
    assert Schema.from_yaml(path) == Schema(
        [Numeric("price")], labels=[Label("click")], groups={"user_id": "user_id"}
    )


@given(
    min_count=st.integers(1, 9),
    max_size=st.none() | st.integers(1, 9),
    fill=st.none() | st.just("mean") | st.floats(-LARGEST, LARGEST),
)
def test_any_value_survives(
    min_count: int, max_size: int | None, fill: float | str | None
) -> None:
    schema = Schema(
        [
            Categorical("a", min_count=min_count, max_size=max_size),
            Numeric("b", fill=fill),  # type: ignore[arg-type]
        ]
    )
    assert Schema.from_dict(schema.to_dict()) == schema


def test_declarations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Categorical("a").min_count = 3  # type: ignore[misc]


NAN = float("nan")
BAD_COLUMNS = [
    (lambda: Categorical("a/b"), "name must be a non-empty string without '/' and '.'"),
    (lambda: Categorical(""), "name must be a non-empty"),
    (lambda: Categorical("a", min_count=0), "min_count must be an integer of at least"),
    (lambda: Categorical("a", min_count=True), "min_count must be an integer"),
    (lambda: Categorical("a", max_size=0), "max_size must be an integer of at least 1"),
    (lambda: Categorical("a", belong="usr"), "belong must be one of ('history', "),
    (lambda: Categorical("a", source=3), "source must be a non-empty string"),
    (lambda: Categorical("a", emb="b", min_count=2), "must be left to 'b'"),
    (lambda: Categorical("a", emb="b", max_size=2), "must be left to 'b'"),
    (lambda: Hashed("a", num_buckets=0), "num_buckets must be an integer of at least"),
    (lambda: Bucketed("a", num_buckets=1), "num_buckets must be an integer of at leas"),
    (lambda: Bucketed("a"), "num_buckets must be given, or else edges. Received: num_"),
    (lambda: Bucketed("a", num_buckets=2, edges=[1.0]), "must be given, or else edges"),
    (lambda: Bucketed("a", edges=[]), "edges must be finite numbers that rise"),
    (lambda: Bucketed("a", edges=[1, 1]), "edges must be finite numbers that rise"),
    (lambda: Bucketed("a", edges=[NAN]), "edges must be finite numbers that rise"),
    (lambda: Bucketed("a", edges="12"), "edges must be finite numbers that rise"),
    (lambda: Numeric("a", bins=1), "bins must be an integer of at least 2"),
    (lambda: Numeric("a", log1p="yes"), "log1p must be true or false"),
    (lambda: Numeric("a", fill="median"), "fill must be a finite number of at least -"),
    (lambda: Numeric("a", fill=float("nan")), "at most 3.40282e+38 or 'mean'"),
    (lambda: Numeric("a", fill=1e39), "at most 3.40282e+38 or 'mean'"),
    (lambda: MultiValue("a", length=1), "length must be an integer of at least 2"),
    (lambda: MultiValue("a", length=2, separator=""), "separator must be a non-empty"),
    (lambda: MultiValue("a", length=2, pooling="min"), "pooling must be one of"),
    (
        lambda: History("a", of="b", length=2, user="u", time="t"),
        "of must be a list of names of columns",
    ),
    (
        lambda: History("a", of=["b"], length=0, user="u", time="t"),
        "length must be an integer of at least 1",
    ),
    (
        lambda: History("a", of=["b"], length=2, user="u", time="t", where="x=1"),
        "where must be a mapping",
    ),
    (
        lambda: History("a", of=["b"], length=2, user="u", time="t", ages=2),
        "History 'a': ages must be an integer of at least 3. Received: ages=2",
    ),
    *(
        (
            lambda gap=gap: History(
                "a", of=["b"], length=2, user="u", time="t", session_gap=gap
            ),
            "History 'a': session_gap must be a finite number above 0. Received: sessi",
        )
        for gap in (0, -1.5, "60", True, float("inf"), float("nan"))
    ),
    (lambda: Label("a", belong="multiclass"), "num_classes must be 2 or more"),
]


WHERES = [None, [], [None], 2**70, [1, -(2**63) - 1], float("nan"), float("inf"), b"x"]


@pytest.mark.parametrize("value", WHERES)
def test_a_where_that_no_event_has_is_refused(value) -> None:
    with pytest.raises(ValueError, match="History 'a': where must be .* integer of 64"):
        History("a", of=["b"], length=2, user="u", time="t", where={"c": value})


def test_values_of_where_become_plain() -> None:
    time = pd.Timestamp("2024-01-05 10:00")
    where = {"a": {"x"}, "b": (np.int64(3), np.float32(0.5)), "c": True}
    where |= {"d": np.str_("y"), "e": time}
    history = History("h", of=["b"], length=2, user="u", time="t", where=where)
    others = {"d": "y", "e": time.to_pydatetime()}
    assert history.where == {"a": ["x"], "b": [3, 0.5], "c": True} | others
    assert [type(history.where[name]) for name in "de"] == [str, datetime]
    assert [type(value) for value in history.where["b"]] == [int, float]
    assert where["a"] == {"x"}


@pytest.mark.parametrize(("make", "text"), BAD_COLUMNS)
def test_bad_declaration(make, text: str) -> None:
    with pytest.raises(ValueError) as error:
        make()
    assert text in str(error.value)
    assert "Received: " in str(error.value)


def test_history_of_one_event_is_allowed() -> None:
    assert MultiValue("a", length=1, belong="history").length == 1


ITEM = Categorical("item")
BAD_SCHEMAS = [
    ([], {}, "there must be at least one column"),
    ([ITEM, ITEM], {}, "names must differ, case aside. Received twice: 'item'"),
    ([ITEM, Numeric("Item")], {}, "Received twice: 'item'"),
    ([ITEM], {"labels": [Label("item")]}, "Received twice: 'item'"),
    ([ITEM], {"groups": {"item": "item"}}, "groups={'item_key': 'item'}"),
    ([ITEM, MultiValue("t", length=2, weight="item")], {}, "Received twice: 'item'"),
    (
        [Categorical("a", emb="itm"), ITEM],
        {},
        "emb must be one of a, item (nearest: it",
    ),
    (
        [ITEM, Categorical("a", emb="item"), Categorical("b", emb="a")],
        {},
        "Categorical 'b': emb must name a column that owns",
    ),
    ([Numeric("n"), Categorical("a", emb="n")], {}, "emb must name a column that owns"),
    (
        [ITEM, History("h", of=["itm"], length=2, user="u", time="t")],
        {},
        "History 'h': of must be one of h, item (nearest: item). Received: 'itm'",
    ),
    (
        [Numeric("n"), History("h", of=["n"], length=2, user="u", time="t")],
        {},
        "one id per row, or several but no history. Received: 'n', which is Numeric",
    ),
    (
        [
            MultiValue("m", length=2, belong="history"),
            History("h", of=["m"], length=2, user="u", time="t"),
        ],
        {},
        "or several but no history. Received: 'm', which is a history",
    ),
    (
        [
            Categorical("age"),
            History("h", of=["age"], length=2, user="u", time="t", ages=9),
        ],
        {},
        "names must differ, case aside. Received twice: 'h_age'",
    ),
    (
        [ITEM, History("h", of=["item", "item"], length=2, user="u", time="t")],
        {},
        "names must differ, case aside. Received twice: 'h_item'",
    ),
]


@pytest.mark.parametrize(("columns", "options", "text"), BAD_SCHEMAS)
def test_bad_schema(columns, options, text: str) -> None:
    with pytest.raises(ValueError) as error:
        Schema(columns, **options)
    assert text in str(error.value)


BAD_FILES = [
    ("columns: [", "cannot be read"),
    ("- a", "must be a mapping with the key 'columns'"),
    ("columns: item", "columns must be a list of declarations"),
    ("labels: [a]", "Schema: columns must be given"),
    ("columns: [{kind: cat, name: a}]", "a kind of ('categorical', "),
    ("columns: [{kind: hashed, name: a}]", "Hashed 'a': num_buckets must be given"),
    (
        "columns: [{kind: categorical, name: a, mincount: 2}]",
        "(nearest: min_count). Received: 'mincount'",
    ),
    (
        "columns: [{kind: numeric, name: a}]\nlabel: b",
        "(nearest: labels). Received: 'label'",
    ),
    ("columns: [{kind: numeric, name: a}]\ngroups: 3", "groups must be a mapping"),
    (
        "columns:\n- kind: numeric\n  name: a\n  fill: 0\n  fill: 1",
        "key 'fill' stands twice",
    ),
    ("columns: [{kind: numeric, name: a}]\ncolumns: []", "key 'columns' stands twice"),
]


@pytest.mark.parametrize(("content", "text"), BAD_FILES)
def test_bad_file_is_named(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "schema.yaml"
    path.write_text(content)
    with pytest.raises(ValueError) as error:
        Schema.from_yaml(path)
    assert text in str(error.value)
    assert str(path) in str(error.value)


def test_missing_file() -> None:
    with pytest.raises(ValueError, match="'nowhere.yaml' cannot be read"):
        Schema.from_yaml("nowhere.yaml")


def test_owner_and_outputs() -> None:
    seen, clicked = WHOLE.columns[11:13]
    assert WHOLE.owner(seen).name == "item_id"
    assert WHOLE.owner(WHOLE.columns[0]) is WHOLE.columns[0]
    attributes = ("clicked_item_id", "clicked_device", "clicked_tags")
    assert clicked.outputs == (*attributes, "clicked_age", "clicked_session")
    assert WHOLE.columns[8].outputs == ("tags", "tag_weights")


def test_nearest_lists_all_names() -> None:
    assert nearest("itm", ["user", "item"]) == "item, user (nearest: item)"
    assert nearest("zzz", ["user", "item"]) == "item, user"


def test_edges_of_buckets_may_be_an_array() -> None:
    assert Bucketed("a", edges=np.array([18, 65])) == Bucketed("a", edges=[18, 65])
    assert Bucketed("a", edges=np.float32([0.5])).edges == (0.5,)
    for edges in (np.array([]), np.array([[1, 2]]), np.array(["a"]), np.array(3)):
        with pytest.raises(ValueError, match="Bucketed 'a': edges must be finite num"):
            Bucketed("a", edges=edges)
