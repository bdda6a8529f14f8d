"""A declaration says what it was made with, and no more."""

from dataclasses import MISSING, fields

import pytest

from recsys import Field, Task
from recsys.data import (
    Bucketed,
    Categorical,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
    Schema,
)

DECLARED = [
    Task("click"),
    Task("stars", "multiclass", num_classes=5),
    Task("ctr", return_logit=True),
    Field("user"),
    Field("товар(№)", vocabulary_size=9, dim=8, belong="item", l2_reg=0.1),
    Field("seen", emb="item", belong="history", length=3, role="time", values=1),
    Field("price", edges=[0, 0.5, 1]),
    Field("item", vocabulary_size=3, counts=[0, 4, 5], fingerprint="a"),
    Categorical("item", emb="other", source="raw"),
    MultiValue("tags", length=3, weight="w"),
    Numeric("price", fill="mean", bins=16),
    Bucketed("age", edges=[18, 65]),
    Hashed("word", num_buckets=7),
    History("h", of=["item"], length=2, user="u", time="t", where={"a": ["b", "c"]}),
    Label("stars", belong="multiclass", num_classes=5),
    Schema([Categorical("item"), Numeric("price")], [Label("y")], groups={"g": "u"}),
]


@pytest.mark.parametrize("declared", DECLARED, ids=repr)
def test_a_repr_makes_its_equal_and_leaves_defaults_out(declared):
    text = repr(declared)
    assert eval(text) == declared
    for each in fields(declared):
        if each.default is not MISSING and getattr(declared, each.name) == each.default:
            assert f"{each.name}=" not in text
