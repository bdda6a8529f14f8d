"""Values that are missing: the type that `fit` saw decides, not what is left."""

import datetime
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
    Schema,
)
from recsys.data.reader import as_arrow

DAYS = [datetime.date(2020, 1, day) for day in (1, 2)]
COLUMNS = {
    "mean": ([Numeric("a", fill="mean")], [1.0, 3.0], 2.0),
    "filled": ([Numeric("a", fill=7)], [1, 3], 7.0),
    "bucketed": ([Bucketed("a", num_buckets=2)], [1, 3], 1),
    "integers": ([Categorical("a")], [1, 2], 1),
    "strings": ([Categorical("a")], ["x", "y"], 1),
    "booleans": ([Categorical("a")], [True, False], 1),
    "dates": ([Categorical("a")], DAYS, 1),
    "hashed": ([Hashed("a", num_buckets=9)], ["x", "y"], 1),
    "lists": ([MultiValue("a", length=2)], [["x"], ["x", "y"]], [0, 0]),
    "lists of integers": ([MultiValue("a", length=2)], [[1], [1, 2]], [0, 0]),
    "texts": ([MultiValue("a", length=2, separator="|")], ["x", "x|y"], [0, 0]),
}


def kinds_of_nothing(column: list[Any]) -> dict[str, Any]:
    dtype = as_arrow({"a": column})["a"].type
    return {
        "list": {"a": [None]},
        "rows": [{"a": None}],
        "row without": [{"a": None, "b": 1}, {"b": 2}],
        "null column": pa.table({"a": pa.nulls(1)}),
        "typed column": pa.table({"a": pa.nulls(1, dtype)}),
        "object": pd.DataFrame({"a": [None]}, dtype=object),
        "NaN": pd.DataFrame({"a": [np.nan]}),
    }


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("nothing", kinds_of_nothing([0]))
def test_one_row_whose_value_is_missing(kind: str, nothing: str) -> None:
    columns, seen, wanted = COLUMNS[kind]
    pipeline = FeaturePipeline(columns).fit({"a": seen})
    found = pipeline.transform(kinds_of_nothing(seen)[nothing])
    assert found["a"].to_pylist() == [wanted] * len(found)


@pytest.mark.parametrize("kind", ["integers", "strings", "mean", "bucketed"])
def test_csv_file_whose_values_are_missing(kind: str, tmp_path: Path) -> None:
    columns, seen, wanted = COLUMNS[kind]
    pipeline = FeaturePipeline(columns).fit({"a": seen})
    (tmp_path / "rows.csv").write_text("a,b\n,1\n,2\n")
    found = pipeline.transform(tmp_path / "rows.csv")
    assert found["a"].to_pylist() == [wanted] * 2


def test_integers_that_pandas_made_floating_by_a_gap() -> None:
    gap = pd.DataFrame({"a": [1, None], "b": [7, None]})
    assert gap["a"].dtype == "float64"
    columns = [Categorical("a"), Hashed("b", num_buckets=100)]
    pipeline = FeaturePipeline(columns, groups={"g": "a"})
    pipeline.fit({"a": [1, 2], "b": [7, 8]})
    whole = pipeline.transform({"a": [1, 1], "b": [7, 7]}).to_pylist()[0]
    first, second = pipeline.transform(gap).to_pylist()
    assert first == whole
    assert second == {"a": 1, "b": 1, "g": 2**31 - 1}
    assert pipeline.fit(gap).transform(gap)["a"].to_pylist() == [2, 1]


@pytest.mark.parametrize("values", [[1.5], [2.0**53], [2.0**60], [float("inf")]])
def test_numbers_that_are_no_integers_stay_an_error(values: list[Any]) -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": [1, 2]})
    with pytest.raises(ValueError, match="must be of type integer.* Received: float64"):
        pipeline.transform({"a": [*values, None]})


def test_lists_with_missing_values() -> None:
    pipeline = FeaturePipeline([MultiValue("a", length=2)])
    pipeline.fit({"a": [[1], [1, 2]]})
    for values, wanted in (
        ([[None]], [[1, 0]]),
        ([[]], [[0, 0]]),
        ([[], [2]], [[0, 0], [3, 0]]),
        ([None, [None, None]], [[0, 0], [1, 1]]),
        (pa.array([[1.0, None]]), [[2, 1]]),
        ([[2, float("nan")]], [[3, 1]]),
    ):
        assert pipeline.transform({"a": values})["a"].to_pylist() == wanted


@pytest.mark.parametrize("nothing", [None, [], [None]])
def test_weights_of_missing_lists(nothing: Any) -> None:
    pipeline = FeaturePipeline([MultiValue("a", length=2, weight="w")])
    pipeline.fit({"a": [["x", "y"]], "w": [[0.5, 1.0]]})
    found = pipeline.transform({"a": [nothing], "w": [nothing]})
    assert found["a"].to_pylist() == [[1 if nothing else 0, 0]]
    assert found["w"].to_pylist() == [[0.0, 0.0]]


@pytest.mark.parametrize("times", [[1, 2], [1.5, 2.5], DAYS, pd.to_datetime(DAYS)])
@pytest.mark.parametrize("users", [[7, 7], ["u", "u"]])
def test_histories_without_a_user_or_a_time(users: list[Any], times: Any) -> None:
    log = pd.DataFrame({"i": ["x", "y"], "u": users, "t": times})
    columns = [
        Categorical("i"),
        History("h", of=["i"], length=2, user="u", time="t"),
    ]
    pipeline = FeaturePipeline(columns).fit(log)
    empty, full = [0, 0], [2, 3]
    for change in ({"u": [None]}, {"t": [None]}, {"u": [np.nan], "t": [np.nan]}):
        row = {"i": ["x"], "u": [users[0]], "t": [times[1]]} | change
        for events in (None, log):
            found = pipeline.transform(pd.DataFrame(row), events=events)
            assert found["h_i"].to_pylist() == [empty]
    later = {"i": ["x"], "u": [users[0]], "t": [None]}
    found = pipeline.transform(log, events=pd.DataFrame(later))
    assert found["h_i"].to_pylist() == [empty, empty]
    if users == [7, 7] and [*times] == [1, 2]:  # which pandas makes floating by a gap
        rows = pd.DataFrame({"i": ["x", "x"], "u": [7, None], "t": [9, None]})
        found = pipeline.transform(rows, events=log)
        assert found["h_i"].to_pylist() == [full, empty]


def test_labels_weights_and_groups_that_are_missing() -> None:
    pipeline = FeaturePipeline(
        [Numeric("a")],
        labels=["y", Label("count", belong="count")],
        groups=["g"],
    ).fit({"a": [1.0], "y": [1], "count": [3], "g": ["x"]})
    missing = {"y": [None], "count": [None], "g": [None]}
    found = pipeline.transform({"a": [1.0], **missing}).to_pylist()[0]
    assert np.isnan([found["y"], found["count"]]).all()
    assert found["g"] == 2**31 - 1
    weighted = FeaturePipeline([Numeric("a")], sample_weight="w")
    weighted.fit({"a": [1.0], "w": [1.0]})
    with pytest.raises(ValueError, match="'w' must be finite.*Received: missing"):
        weighted.transform({"a": [1.0], "w": [None]})


def test_numbers_without_a_fill_say_so() -> None:
    pipeline = FeaturePipeline([Numeric("a")]).fit({"a": [1.0]})
    with pytest.raises(ValueError, match="values must be finite, or the schema must"):
        pipeline.transform({"a": [None]})


def test_nan_among_strings_is_missing() -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": ["x", "nan"]})
    frame = pd.DataFrame({"a": ["x", np.nan]})
    for data in (frame, frame.to_dict("records"), frame.to_dict("list")):
        assert pipeline.transform(data)["a"].to_pylist() == [3, 1]


def hashes(*texts: str) -> list[int]:
    digests = [hashlib.md5(text.encode()).hexdigest() for text in texts]
    return [2 + int(digest[:8], 16) % 99 for digest in digests]


HASHED = {"num_buckets": 99}
EMPTY = {
    "categorical": (Categorical("a"), [3, 1, 2, 1]),
    "hashed": (Hashed("a", **HASHED), [*hashes("y"), 1, *hashes("x"), 1]),
    "categorical, kept": (Categorical("a", empty_is_missing=False), [4, 3, 2, 1]),
    "hashed, kept": (
        Hashed("a", **HASHED, empty_is_missing=False),
        [*hashes("y", "", "x"), 1],
    ),
    "texts": (
        MultiValue("a", length=2, separator="|"),
        [[3, 0], [0, 0], [2, 0], [0, 0]],
    ),
}


@pytest.mark.parametrize("kind", EMPTY)
@pytest.mark.parametrize("quoted", ["", '""'])
def test_an_empty_string_is_the_same_from_everywhere(
    kind: str, quoted: str, tmp_path: Path
) -> None:
    column, wanted = EMPTY[kind]
    groups = {"g": "a"}
    frame = pa.table({"a": ["y", "", "x", None] + ["x", "x", ""], "b": range(7)})
    pq.write_table(frame, tmp_path / "a.parquet")
    lines = [f"{value or quoted},1" for value in ["y", "", "x", "x", "x", ""]]
    (tmp_path / "a.csv").write_text("a,b\n" + "\n".join(lines) + "\n")
    fitted = []
    for data in (frame, frame.to_pandas(), frame.to_pylist(), tmp_path / "a.parquet"):
        fitted.append(FeaturePipeline([column], groups=groups).fit(data))
        found = fitted[-1].transform(data).to_pydict()
        assert found["a"][:4] == wanted
        assert found["g"][1] == found["g"][3] == 2**31 - 1
    fitted.append(FeaturePipeline([column], groups=groups).fit(tmp_path / "a.csv"))
    for pipeline in fitted:
        found = pipeline.transform(tmp_path / "a.csv").to_pydict()
        assert found["a"][:3] == wanted[:3]
        assert found["g"][1] == 2**31 - 1
        again = FeaturePipeline._of(
            Schema.from_dict(pipeline.schema.to_dict()), None
        ).fit(frame)
        assert again.transform(frame)["a"].to_pylist()[:4] == wanted


def test_empty_strings_in_lists_and_between_separators() -> None:
    lists = {"a": [["x", "", "x"], [""], []]}
    texts = {"a": ["x||x", "|", ""]}
    for data, separator in ((lists, None), (texts, "|")):
        for missing, wanted in ((True, [2, 1, 2]), (False, [3, 2, 3])):
            column = MultiValue(
                "a", length=3, separator=separator, empty_is_missing=missing
            )
            found = FeaturePipeline([column]).fit(data).transform(data)["a"]
            assert found.to_pylist()[0] == wanted
            assert found.to_pylist()[2] == [0, 0, 0]


@pytest.mark.parametrize(
    "column", [Numeric("a", fill=7), Bucketed("a", edges=[2]), Label("a")]
)
def test_a_column_of_empty_strings_has_no_values(column: Any, tmp_path: Path) -> None:
    labels = [column] if isinstance(column, Label) else []
    columns = [Numeric("b")] if labels else [column]
    pipeline = FeaturePipeline(columns, labels).fit({"a": [1, 0], "b": [1, 2]})
    frame = pa.table({"a": ["", ""], "b": [1, 2]})
    pq.write_table(frame, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('a,b\n,1\n"",2\n')
    wanted = pipeline.transform({"a": [None, None], "b": [1, 2]})
    for data in (frame, tmp_path / "a.parquet", tmp_path / "a.csv"):
        np.testing.assert_array_equal(pipeline.transform(data)["a"], wanted["a"])
    with pytest.raises(ValueError, match="must be of type.* Received: string"):
        pipeline.transform({"a": ["", "x"], "b": [1, 2]})


def test_empty_users_have_no_history_and_empty_actions_are_one(tmp_path: Path) -> None:
    log = {
        "i": ["x", "y", "x", "y"],
        "u": ["", "", "v", "v"],
        "t": [1, 2, 1, 2],
        "action": ["", "", "", "click"],
    }
    history = {"of": ["i"], "length": 2, "user": "u", "time": "t"}
    columns = [
        Categorical("i"),
        History("all", **history),
        History("empty", **history, where={"action": ""}),
    ]
    pq.write_table(pa.table(log), tmp_path / "a.parquet")
    pd.DataFrame(log).to_csv(tmp_path / "a.csv", index=False)
    for data in (log, tmp_path / "a.parquet", tmp_path / "a.csv"):
        rows = {"i": ["x", "x"], "u": ["", "v"], "t": [9, 9], "action": ["", ""]}
        found = FeaturePipeline(columns).fit(log).transform(rows, events=data)
        assert found["all_i"].to_pylist() == [[0, 0], [2, 3]]
        assert found["empty_i"].to_pylist() == [[0, 0], [2, 0]]


@pytest.mark.parametrize("others", [1, 3])
def test_nan_in_a_file_with_statistics_is_missing(tmp_path: Path, others: int) -> None:
    """Whose smallest and largest value leave it out."""
    log = {"a": [1.0, np.nan, 3.0], "t": [1.0, 2.0, 3.0], "y": [1.0, np.nan, 0.0]}
    log["m"] = [[1.0, np.nan], [3.0], []]
    columns = [
        Categorical("a"),
        Categorical("b", source="a"),
        MultiValue("m", length=2),
        History("h", of=["b"], length=2, user="a", time="t"),
    ]
    files = []
    for i in range(others):
        files.append(tmp_path / f"{i}.parquet")
        # Those after the first are of another type, so that all are looked into.
        table = pa.table(log | {"a": [1, 1, 3]} if i else log)
        pq.write_table(table, files[-1])
    pipeline = FeaturePipeline(columns, ["y"]).fit(files)
    found = pipeline.transform(files[:1]).to_pydict()
    assert found["a"] == found["b"] == [2, 1, 3]
    np.testing.assert_equal(found["y"], log["y"])
    assert found["m"] == [[2, 1], [3, 0], [0, 0]]
    assert found["h_b"] == [[0, 0]] * 3
