"""Labels by a rule."""

import ibis
import pyarrow as pa
import pytest

from recsys.runs.samples.labels import Rule, rules

COMPARE = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


@pytest.mark.parametrize("sign", COMPARE)
@pytest.mark.parametrize(
    "values",
    [
        pa.array([3, 4, None, 5]),
        pa.array([3.5, 4.0, None, float("nan"), float("inf")]),
        pa.array([True, None, False]),
    ],
    ids=["integers", "floats", "flags"],
)
@pytest.mark.parametrize("number", ["4", "1", "3.5", "-1e3"])
def test_a_label_is_1_where_the_rule_holds_and_missing_with_its_column(
    sign, values, number
):
    rule = Rule.parse("like", f"my column{sign} {number}")
    assert rule.column == "my column"
    table = ibis.memtable(pa.table({"my column": values}))
    got = table.select(label=rule.label(table)).to_pyarrow()["label"]
    assert got.type == pa.float64()
    wanted = [
        None if v is None or v != v else float(COMPARE[sign](v, float(number)))
        for v in values.to_pylist()
    ]
    assert got.to_pylist() == wanted


def test_integers_that_no_double_holds_are_compared_as_they_are():
    rule = Rule.parse("one", "n == 9007199254740993")
    table = ibis.memtable(pa.table({"n": [9007199254740992, 9007199254740993]}))
    got = table.select(label=rule.label(table)).to_pyarrow()["label"]
    assert got.to_pylist() == [0, 1]


def test_a_sign_may_be_in_the_name_of_a_column():
    rule = Rule.parse("like", "  a > b >= 4 ")
    assert (rule.column, rule.sign, rule.number) == ("a > b", ">=", 4)


@pytest.mark.parametrize(
    "text", ["", "rating", "rating >=", ">= 4", "rating => 4", "rating > = 4", "a >= b"]
)
def test_what_is_no_rule_is_named(text):
    with pytest.raises(ValueError, match=r"samples.labels 'like': a rule must") as told:
        rules({"like": text})
    assert str(told.value).endswith(f"Received: {text!r}")


def test_texts_are_not_compared():
    table = ibis.memtable(pa.table({"rating": ["good", "bad"]}))
    with pytest.raises(ValueError, match=r"samples.labels 'like': raw column 'rating'"):
        Rule.parse("like", "rating > 1").label(table)
