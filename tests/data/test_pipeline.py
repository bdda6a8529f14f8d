"""FeaturePipeline: numbers, lists, fields, errors; what fit learns, and from what."""

import re
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
)
from recsys.data.reader import as_arrow
from recsys.data.synthetic import click_log
from tests.close import close

CONNECTION = ibis.duckdb.connect()


def log_of(num_rows: int, seed: int = 0) -> pa.Table:
    """A click log with lists of tags and their weights."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, 6, num_rows)
    tags = [random.integers(0, 9, length).tolist() for length in lengths]
    weights = [random.random(length).tolist() for length in lengths]
    table = as_arrow(click_log(num_rows, num_users=30, seed=seed))
    return table.append_column("tags", [tags]).append_column("tag_weight", [weights])


def everything(**options) -> FeaturePipeline:
    """A pipeline with a column of every kind."""
    return FeaturePipeline(
        [
            Categorical("user_id"),
            Categorical("item_id", belong="item", min_count=3),
            Categorical("category", belong="item"),
            Hashed("segment", num_buckets=5),
            Numeric("price", belong="item", log1p=True, standardize=True),
            Bucketed("price_bucket", source="price", belong="item", num_buckets=4),
            MultiValue("tags", belong="item", length=4, weight="tag_weight"),
            History(
                "clicked",
                of=["item_id", "category"],
                length=5,
                user="user_id",
                time="timestamp",
                where={"label": 1},
            ),
        ],
        labels=["label"],
        groups={"user": "user_id"},
        **options,
    )


def test_all_kinds_of_data_give_the_same_input(tmp_path: Path) -> None:
    log = log_of(500)
    pipeline = everything().fit(log)
    wanted = pipeline.transform(log)
    pq.write_table(log.slice(0, 300), tmp_path / "0.parquet")
    pq.write_table(log.slice(300), tmp_path / "1.parquet")
    for data in (
        log.to_pandas(),
        pl.from_arrow(log),
        ibis.memtable(log),
        tmp_path / "*.parquet",
        [tmp_path / "0.parquet", str(tmp_path / "1.parquet")],
    ):
        assert pipeline.transform(data).equals(wanted)
        assert everything().fit(data).transform(log).equals(wanted)


def test_csv_gives_the_same_input(tmp_path: Path) -> None:
    log = click_log(300)
    pd.DataFrame(log).to_csv(tmp_path / "log.csv", index=False)
    pipeline = FeaturePipeline(
        [Categorical("item_id"), Numeric("price")], labels=["label"]
    ).fit(log)
    assert pipeline.transform(tmp_path / "log.csv").equals(pipeline.transform(log))


def test_another_connection(tmp_path: Path) -> None:
    connection = ibis.duckdb.connect(tmp_path / "events.db")
    table = connection.create_table("log", ibis.memtable(log_of(200)))
    pipeline = everything(connection=connection).fit(table)
    assert pipeline.transform(table).equals(
        everything().fit(log_of(200)).transform(log_of(200))
    )


def test_rows_keep_their_order() -> None:
    log = log_of(5000)
    pipeline = FeaturePipeline([Numeric("timestamp"), *everything().schema.columns])
    table = pipeline.fit(log).transform(log)
    np.testing.assert_array_equal(table["timestamp"], log["timestamp"])


def test_types_and_shapes() -> None:
    log = log_of(50)
    table = everything().fit(log).transform(log)
    ids, pair = pa.int32(), pa.list_(pa.int32(), 5)
    assert dict(zip(table.column_names, table.schema.types, strict=True)) == {
        "user_id": ids,
        "item_id": ids,
        "category": ids,
        "segment": ids,
        "price": pa.float32(),
        "price_bucket": ids,
        "tags": pa.list_(pa.int32(), 4),
        "tag_weight": pa.list_(pa.float32(), 4),
        "clicked_item_id": pair,
        "clicked_category": pair,
        "user": ids,
        "label": pa.float32(),
    }


def test_fields_agree_with_the_data() -> None:
    log = log_of(2000)
    pipeline = everything().fit(log)
    table = pipeline.transform(log_of(500, seed=1))
    fields = {field.name: field for field in pipeline.fields(dim=8)}
    extra = {"tag_weight", "user", "label"}
    assert {*fields} == {*table.column_names} - extra
    for name, field in fields.items():
        values = np.stack(table[name].to_numpy(zero_copy_only=False))
        assert values.dtype == field.dtype
        assert values.ndim == (
            2 if (field.belong == "history" or field.length > 1) else 1
        )
        if field.belong == "history" or field.length > 1:
            assert values.shape[1] == field.length
        if field.is_table:
            assert 0 <= values.min() and values.max() < field.vocabulary_size
        if values.ndim == 1 and field.is_table:
            assert values.min() >= 1  # 0 is padding, in lists only
    assert fields["tags"].weight == "tag_weight"
    assert fields["tags"].belong == "item"
    assert fields["price"].vocabulary_size == 1
    assert fields["price"].dtype == "float32"
    for name in ("item_id", "category"):
        history, target = fields[f"clicked_{name}"], fields[name]
        assert (history.belong, history.group) == ("history", "clicked")
        assert history.emb == target.emb == name
        assert history.vocabulary_size == target.vocabulary_size
        assert list(history.counts) == list(target.counts)
    assert sum(fields["item_id"].counts) == 2000


def test_width_of_fields() -> None:
    pipeline = FeaturePipeline([Categorical("a"), Hashed("b", num_buckets=98)])
    pipeline.fit(pa.table({"a": [1, 2], "b": [1, 2]}))
    assert [field.dim for field in pipeline.fields()] == [16, 16]
    assert [field.dim for field in pipeline.fields(dim={"a": 3, "b": 5})] == [3, 5]
    assert [f.dim for f in pipeline.fields(dim=lambda size: size // 2)] == [2, 50]
    with pytest.raises(ValueError, match="dim must have a width for the table 'b'"):
        pipeline.fields(dim={"a": 3})


def test_nothing_is_learned_from_other_data() -> None:
    pipeline = everything().fit(log_of(300))
    before = pipeline.transform(log_of(300))
    vocabulary = pipeline.vocabulary("item_id")
    pipeline.transform(log_of(300, seed=5))
    pipeline.dataset(log_of(300, seed=6), 100)
    assert pipeline.vocabulary("item_id").equals(vocabulary)
    assert pipeline.transform(log_of(300)).equals(before)


def test_failed_fit_leaves_what_was_learned() -> None:
    pipeline = everything().fit(log_of(300))
    before = pipeline.transform(log_of(300))
    with pytest.raises(ValueError, match="must have rows"):
        pipeline.fit(log_of(300).slice(0, 0))
    assert pipeline.transform(log_of(300)).equals(before)


def test_declarations_stay_as_they_were() -> None:
    columns = [Categorical("item_id"), Numeric("price")]
    labels = ["label"]
    pipeline = FeaturePipeline(columns, labels=labels).fit(log_of(50))
    pipeline.fields(dim=4)[0].dim = 99
    assert pipeline.fields(dim=4)[0].dim == 4
    assert columns == [Categorical("item_id"), Numeric("price")]
    assert labels == ["label"]


def test_part_of_the_columns() -> None:
    pipeline = everything().fit(log_of(300))
    items = pa.table({"item_id": [0, 1, 99999], "category": [1, 1, 2]})
    got = pipeline.transform(items, columns=["category", "item_id"])
    assert got.column_names == ["category", "item_id"]
    assert got["item_id"].to_pylist()[2] == 1
    with pytest.raises(ValueError, match="must be one of .* Received: 'itm'"):
        pipeline.transform(items, columns=["itm"])
    with pytest.raises(ValueError, match="columns must be a list of names, one"):
        pipeline.transform(items, columns=[])


# Numbers


@settings(max_examples=40, deadline=None)
@given(
    seen=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    log1p=st.booleans(),
    standardize=st.booleans(),
    fill=st.sampled_from([-3.0, 0, "mean"]),
)
def test_numbers_are_those_of_numpy(seen, log1p, standardize, fill) -> None:
    gaps = np.array([np.nan, np.inf, -np.inf, 1e39])

    def scaled(values: np.ndarray) -> np.ndarray:
        return np.sign(values) * np.log1p(np.abs(values)) if log1p else values

    known = scaled(np.array(seen))
    mean, std = known.mean(), known.std()
    filled = mean if fill == "mean" else scaled(np.array(float(fill)))
    wanted = np.array([*known, *[filled] * len(gaps)])
    if standardize:
        if 0 < std < 1e-6 * max(abs(mean), 1):
            return  # rounding decides
        wanted = (wanted - mean) / (std or 1.0)
    declared = Numeric("a", log1p=log1p, standardize=standardize, fill=fill)
    pipeline = FeaturePipeline([declared], connection=CONNECTION)
    data = {"a": np.array([*seen, *gaps])}
    got = pipeline.fit(data).transform(data)
    close(got["a"].to_numpy(), wanted, terms=1_000)


def test_numbers_by_hand() -> None:
    pipeline = FeaturePipeline([Numeric("a", standardize=True, fill="mean")])
    data = pa.table({"a": [1, 3, None]})
    got = pipeline.fit(data).transform(data)["a"]
    assert got.to_pylist() == [-1.0, 1.0, 0.0]
    assert pipeline.transform(pa.table({"a": [True, False]}))["a"].to_pylist() == [
        -1,
        -2,
    ]


def test_integers_may_become_floating() -> None:
    pipeline = FeaturePipeline([Numeric("a")]).fit({"a": np.array([1, 2])})
    assert pipeline.transform({"a": np.array([0.5])})["a"].to_pylist() == [0.5]


def test_all_values_missing_with_a_number_to_fill() -> None:
    missing = pa.table({"a": pa.array([None], pa.float64())})
    got = FeaturePipeline([Numeric("a", fill=7)]).fit(missing).transform(missing)
    assert got["a"].to_pylist() == [7.0]
    with pytest.raises(ValueError, match="'a': the data must have finite values"):
        FeaturePipeline([Numeric("a", fill="mean")]).fit(missing)


# Lists


def lists(values: list, **options) -> pa.Table:
    pipeline = FeaturePipeline([MultiValue("a", **options)])
    data = pa.table({"a": values})
    return pipeline.fit(data).transform(data)["a"].to_pylist()


def test_lists_are_cut_and_padded() -> None:
    values = [["x", "y", "x", "z"], [], None, ["x", None]]
    assert lists(values, length=3) == [[2, 3, 2], [0, 0, 0], [0, 0, 0], [2, 1, 0]]


def test_history_in_the_file_keeps_the_last() -> None:
    values = [[1, 2, 3], [3], None]
    assert lists(values, length=2, belong="history") == [[3, 2], [2, 0], [0, 0]]
    pipeline = FeaturePipeline([MultiValue("a", length=2, belong="history", group="g")])
    (field,) = pipeline.fit(pa.table({"a": values})).fields()
    assert (field.belong, field.group, field.length) == ("history", "g", 2)


@pytest.mark.parametrize("separator", ["|", ",", " ", "::", "."])
def test_delimited_strings(separator: str) -> None:
    values = [separator.join(["x", "y", "x"]), "", None, "y", separator.join(["x", ""])]
    got = lists(values, length=3, separator=separator)
    assert got == [[2, 3, 2], [0, 0, 0], [0, 0, 0], [3, 0, 0], [2, 1, 0]]


def test_delimited_integers_share_a_vocabulary_of_integers() -> None:
    data = pa.table({"item": [10, 20, 10], "seen": ["20 10 7", "", "10 x"]})
    pipeline = FeaturePipeline(
        [Categorical("item"), MultiValue("seen", emb="item", length=3, separator=" ")]
    )
    got = pipeline.fit(data).transform(data)["seen"].to_pylist()
    assert got == [[3, 2, 1], [0, 0, 0], [2, 1, 0]]


def test_list_in_the_buckets_of_a_hash() -> None:
    data = pa.table({"site": ["a", "b"], "sites": [["b", "a"], ["a"]]})
    pipeline = FeaturePipeline(
        [Hashed("site", num_buckets=40), MultiValue("sites", emb="site", length=2)]
    )
    table = pipeline.fit(data).transform(data)
    a, b = table["site"].to_pylist()
    assert table["sites"].to_pylist() == [[b, a], [a, 0]]
    assert [field.vocabulary_size for field in pipeline.fields()] == [42, 42]


def test_weights_stay_with_their_values() -> None:
    data = pa.table({"a": [["x", "y", "x"], [], ["y"]], "w": [[0.5, 2, 9], [], [None]]})
    first = FeaturePipeline([MultiValue("a", length=2, weight="w")]).fit(data)
    assert first.transform(data)["w"].to_pylist() == [[0.5, 2], [0, 0], [0, 0]]
    last = FeaturePipeline([MultiValue("a", length=2, weight="w", belong="history")])
    assert last.fit(data).transform(data)["w"].to_pylist()[0] == [2, 9]
    text = pa.table({"a": ["x|y", "x"], "w": ["1|2.5", "3"]})
    split = FeaturePipeline([MultiValue("a", length=2, weight="w", separator="|")])
    assert split.fit(text).transform(text)["w"].to_pylist() == [[1, 2.5], [3, 0]]


# Labels and weights


def test_labels() -> None:
    data = pa.table(
        {
            "a": [1, 2, 3],
            "click": [True, None, False],
            "rating": [0.0, float("nan"), 2.0],
            "seconds": [-1.5, None, 1e9],
        }
    )
    pipeline = FeaturePipeline(
        [Categorical("a")],
        labels=[
            "click",
            Label("stars", source="rating", belong="multiclass", num_classes=3),
            Label("seconds", belong="regression"),
        ],
    )
    table = pipeline.fit(data).transform(data)
    for name, wanted in (
        ("click", [1, np.nan, 0]),
        ("stars", [0, np.nan, 2]),
        ("seconds", [-1.5, np.nan, 1e9]),
    ):
        assert table[name].type == pa.float32()
        np.testing.assert_array_equal(table[name].to_numpy(), np.float32(wanted))


def test_labels_may_be_absent_from_new_data() -> None:
    columns = [Categorical("a")]
    data = pa.table({"a": [1], "x": [0], "y": [1], "w": [2.0]})
    pipeline = FeaturePipeline(columns, labels=["x", "y"], sample_weight="w").fit(data)
    assert pipeline.transform(data.select(["a"])).column_names == ["a"]
    with pytest.raises(ValueError, match="Label 'y': the data must have a column 'y'"):
        pipeline.transform(data.select(["a", "x", "w"]))
    with pytest.raises(ValueError, match="Label 'x': the data must have a column 'x'"):
        FeaturePipeline(columns, labels=["x", "y"]).fit(data.select(["a", "y"]))


# Errors


GOOD = {"a": ["x", "y"], "n": [1.0, 2.0], "y": [0, 1], "w": [1.0, 2.0], "l": [[1], [2]]}
NAN, INF = float("nan"), float("inf")
BAD = [
    ({"a": None}, "Categorical 'a': the data must have a column 'a'. Received: g, l,"),
    ({"n": None}, "Numeric 'n': the data must have a column 'n'"),
    ({"w": None}, "Sample weight: the data must have a column 'w'"),
    ({"a": [0.5, 1.5]}, "raw column 'a' must be of type integer, string, boolean, dat"),
    ({"a": [1, 2]}, "'a' must be of type string, as `fit` saw it. Received: integer"),
    ({"n": ["1", "2"]}, "'n' must be of type integer, floating, decimal, boolean. Rec"),
    ({"n": [1.0, NAN]}, "Numeric 'n': values must be finite, or the schema must say h"),
    ({"n": [INF, NAN]}, "Received: inf (in 2 of 2 rows)"),
    ({"n": [1.0, -INF]}, "Received: -inf (in 1 of 2 rows)"),
    ({"n": [1.0, 1e39]}, "Received: 1e+39 (in 1 of 2 rows)"),
    ({"n": [1.0, None]}, "Received: missing (in 1 of 2 rows)"),
    ({"y": [0, 2]}, "Label 'y': values must be 0, 1 or missing. Received: 2.0 (in 1 o"),
    ({"y": [0.5, NAN]}, "Label 'y': values must be 0, 1 or missing. Received: 0.5"),
    ({"y": [INF, 1]}, "Label 'y': values must be 0, 1 or missing. Received: inf"),
    ({"y": ["0", "1"]}, "Label 'y': raw column 'y' must be of type integer"),
    ({"w": [-1.0, 1.0]}, "Sample weight: 'w' must be finite and at least 0. Received:"),
    ({"w": [INF, 1.0]}, "'w' must be finite and at least 0. Received: inf (in 1 of"),
    ({"w": [NAN, 1.0]}, "'w' must be finite and at least 0. Received: missing"),
    ({"l": [1, 2]}, "MultiValue 'l': raw column 'l' must be of type array. Received: "),
    ({"l": [["x"], ["y"]]}, "'l' must be of type integer, as `fit` saw it. Received: "),
    ({"l": [[0.5], []]}, "'l' must be of lists of type integer, string, boolean, date"),
    ({"m": [[1.0, 2.0], [2.0]]}, "MultiValue 'l': each row must have as many 'm' as v"),
    ({"m": ["1", "2"]}, "MultiValue 'l': raw column 'm' must be of type array. Receiv"),
    ({"g": [0.5, 0.5]}, "Group 'g': raw column 'g' must be of type integer, string"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "text"), BAD)
def test_bad_data(change, text: str, tmp_path: Path) -> None:
    good = GOOD | {"m": [[1.0], [2.0]], "g": [1, 2]}
    pipeline = FeaturePipeline(
        [Categorical("a"), Numeric("n"), MultiValue("l", length=2, weight="m")],
        labels=["y"],
        sample_weight="w",
        groups=["g"],
        connection=CONNECTION,
    ).fit(pa.table(good))
    columns = (good | change).items()
    bad = pa.table({name: values for name, values in columns if values is not None})
    pq.write_table(bad, tmp_path / "bad.parquet")
    for data in (bad, tmp_path / "bad.parquet"):
        with pytest.raises(ValueError) as error:
            pipeline.transform(data)
        assert text in str(error.value)
        assert "Received: " in str(error.value)
    with pytest.raises(ValueError):
        pipeline.dataset(bad, 2)


def test_nan_in_a_file_is_seen(tmp_path: Path) -> None:
    """DuckDB 2.0 believes the statistics of a file, which leave NaN out."""
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": [0.0, NAN, 1.0] * 100, "u": [1] * 300}), path)
    columns = [
        Categorical("u"),
        Bucketed("bucket", source="n", num_buckets=2),
        Numeric("filled", source="n", fill=7),
        History("past", of=["bucket"], length=2, user="u", time="n"),
    ]
    pipeline = FeaturePipeline(columns, labels=[Label("y", source="n")]).fit(path)
    table = pipeline.transform(path).slice(0, 3)
    assert table["filled"].to_pylist() == [0, 7, 1]
    np.testing.assert_array_equal(table["y"], [0, NAN, 1])
    assert table["bucket"].to_pylist()[1] == 1
    assert table["past_bucket"].to_pylist()[:2] == [[0, 0], [0, 0]]
    assert 0 not in table["past_bucket"].to_pylist()[2]
    with pytest.raises(ValueError, match="missing .in 100 of 300 rows"):
        FeaturePipeline([Numeric("n")]).fit(path)
    with pytest.raises(ValueError, match="'n' must be finite and at least 0"):
        FeaturePipeline([Hashed("u", num_buckets=9)], sample_weight="n").fit(path)


@pytest.mark.parametrize(
    ("label", "values", "text"),
    [
        (
            Label("y", belong="multiclass", num_classes=3),
            [0, 3],
            "integer in [0, 3) or",
        ),
        (Label("y", belong="multiclass", num_classes=3), [0.5], "integer in [0, 3) or"),
        (Label("y", belong="regression"), [INF], "finite or missing. Received: inf"),
    ],
)
def test_bad_labels_of_other_kinds(label: Label, values: list, text: str) -> None:
    data = pa.table({"a": values, "y": values})
    with pytest.raises(ValueError) as error:
        FeaturePipeline([Numeric("a", fill=0)], labels=[label]).fit(data)
    assert text in str(error.value)


def test_no_rows() -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": np.array([1])})
    for call in (pipeline.fit, pipeline.transform, lambda d: pipeline.dataset(d, 2)):
        with pytest.raises(ValueError, match="The data must have rows"):
            call(pa.table({"a": pa.array([], pa.int64())}))


def test_before_fit() -> None:
    pipeline = FeaturePipeline([Categorical("a")])
    data = {"a": np.array([1])}
    for name, call in (
        ("transform", lambda: pipeline.transform(data)),
        ("fields", lambda: pipeline.fields()),
        ("dataset", lambda: pipeline.dataset(data, 1)),
        ("vocabulary", lambda: pipeline.vocabulary("a")),
        ("save", lambda: pipeline.save("nowhere")),
    ):
        with pytest.raises(RuntimeError, match=f"fit must be called before {name}"):
            call()
    assert not Path("nowhere").exists()


def test_vocabulary_of_a_column_without() -> None:
    pipeline = FeaturePipeline([Numeric("a")]).fit({"a": np.array([1])})
    with pytest.raises(
        ValueError, match="Categorical or MultiValue column. Received: 'a', a Num"
    ):
        pipeline.vocabulary("a")


def test_shared_vocabulary_of_another_type() -> None:
    columns = [Categorical("item"), MultiValue("seen", emb="item", length=2)]
    with pytest.raises(ValueError, match="type string like 'item', whose table it sha"):
        FeaturePipeline(columns).fit(pa.table({"item": ["a"], "seen": [[1]]}))


def test_from_a_schema_file(tmp_path: Path) -> None:
    log = log_of(200)
    pq.write_table(log, tmp_path / "log.parquet")
    everything().schema.to_yaml(tmp_path / "schema.yaml")
    pipeline = FeaturePipeline.from_yaml(tmp_path / "schema.yaml", CONNECTION)
    assert pipeline.schema == everything().schema
    assert pipeline.connection is CONNECTION
    got = pipeline.fit(tmp_path / "*.parquet").transform(log)
    assert got.equals(everything().fit(log).transform(log))


def test_a_list_of_dicts_is_rows() -> None:
    log = log_of(60)
    pipeline = everything().fit(log.to_pylist())
    wanted = everything().fit(log).transform(log)
    assert pipeline.transform(log.to_pylist()).equals(wanted)
    rows, (x, _) = log.to_pylist()[:7], next(iter(pipeline.dataset(log.to_pylist(), 7)))
    found = pipeline.transform(rows, events=log.to_pylist())
    np.testing.assert_array_equal(found["item_id"], x["item_id"])


def test_a_catalogue_has_nothing_of_items_that_fit_has_not_seen() -> None:
    columns = [
        Categorical("item", belong="item"),
        Numeric("price", belong="item"),
        MultiValue("tags", belong="item", length=2),
        Categorical("user"),
    ]
    data = {"item": ["a", "b"], "price": [1.0, 2.0], "tags": [["x"], ["y"]],
            "user": [1, 2]}  # fmt: skip
    pipeline = FeaturePipeline(columns).fit(data)
    new = {"item": ["b", "new", None], "price": [3.0, 7.0, 8.0],
           "tags": [["x", "y"], ["x"], ["y"]]}  # fmt: skip
    found = pipeline.catalogue(new, "item")
    assert found["price"].tolist() == [0, 0, 0, 3]
    assert found["tags"].tolist() == [[0, 0], [0, 0], [0, 0], [2, 3]]
    for item in ("user", "price", "tags"):
        with pytest.raises(ValueError, match="catalogue: item must name a Categorical"):
            pipeline.catalogue(data, item)
    with pytest.raises(ValueError, match="catalogue: item must be one of .*: 'itm'"):
        pipeline.catalogue(data, "itm")


def weighted(separator: str | None = None) -> FeaturePipeline:
    column = MultiValue("m", length=2, weight="w", separator=separator)
    seen = {"m": [["a", "b"]], "w": [[1.0, 2.0]]}
    texts = {"m": ["a|b"], "w": ["1|2"]}
    return FeaturePipeline([column]).fit(texts if separator else seen)


@pytest.mark.parametrize(
    ("weights", "shown"),
    [
        ([[1.0, -1.0]], "-1.0"),
        ([[1.0, 1e39]], r"1e\+39"),
        ([[-1e300, 1e39]], r"-1e\+300"),
        (["1|-1"], "-1.0"),
        (["x|1"], "x"),
        (["1e39|1"], r"1e\+39"),
    ],
)
def test_weights_that_a_model_would_not_take(weights: list, shown: str) -> None:
    separator = "|" if isinstance(weights[0], str) else None
    values = "a|b" if separator else ["a", "b"]
    for fill in ([], [values]):  # a row that is good
        good = ["1|2" if separator else [1.0, 2.0]] if fill else []
        with pytest.raises(ValueError) as error:
            weighted(separator).transform({"m": [values, *fill], "w": weights + good})
        text = f"MultiValue 'm', weight 'w': values must be numbers of .*{shown} .in 1"
        assert re.search(text, str(error.value))


def test_weights_that_are_missing_or_not_finite_are_zero() -> None:
    rows = {"m": [["a", "b"]] * 3, "w": [[None, 1.0], [np.nan, np.inf], [-np.inf, 0.5]]}
    found = weighted().transform(rows)["w"].to_pylist()
    assert found == [[0.0, 1.0], [0.0, 0.0], [0.0, 0.5]]
    rows = {"m": ["a|b"] * 2, "w": ["|1", "nan|inf"]}
    found = weighted("|").transform(rows)["w"].to_pylist()
    assert found == [[0.0, 1.0], [0.0, 0.0]]


def test_weights_of_another_type_name_their_column() -> None:
    for weights in ([["x", "y"]], [[True, False]], [["1", "2"]]):
        rows = {"m": [["a", "b"]], "w": weights}
        if weights == [[True, False]]:
            assert weighted().transform(rows)["w"].to_pylist() == [[1.0, 0.0]]
            continue
        with pytest.raises(ValueError, match="'m': raw column 'w' must be of lists of"):
            weighted().transform(rows)


def test_standardized_numbers_stay_in_float32() -> None:
    column = Numeric("v", standardize=True)
    pipeline = FeaturePipeline([column]).fit({"v": [0, 1e-6]})
    with pytest.raises(ValueError, match=r"'v', standardized: .*3e\+38 .in 1 of 2"):
        pipeline.transform({"v": [3e38, 1.0]})
    found = pipeline.transform({"v": [1e30, 1e-6]})["v"].to_pylist()
    close(found, [2e36, 1.0], scale=1.0)
    filled = Numeric("v", standardize=True, fill=3e38)
    pipeline = FeaturePipeline([filled]).fit({"v": [0, 1e-6]})
    with pytest.raises(ValueError, match="Numeric 'v', standardized: .* missing .in 1"):
        pipeline.transform({"v": [None]})


def test_dates_that_python_does_not_have() -> None:
    days = pa.array([0, 2**30, 0, -(2**30), 5_000_000], pa.int32()).cast(pa.date32())
    pipeline = FeaturePipeline([Categorical("a")]).fit(pa.table({"a": days}))
    assert pipeline.transform(pa.table({"a": days}))["a"].to_pylist() == [2, 5, 2, 3, 4]
    near = FeaturePipeline([Categorical("a")]).fit(pa.table({"a": days.slice(0, 1)}))
    prints = {p.fields()[0].fingerprint for p in (pipeline, near)}
    assert len(prints) == 2


def test_statistics_are_the_same_on_any_number_of_cores(tmp_path) -> None:
    """An engine that adds in any order rounds otherwise each time."""
    rng = np.random.default_rng(0)
    numbers = {"a": rng.lognormal(0, 3, 200_000), "b": rng.normal(1e9, 1, 200_000)}
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(numbers), path, row_group_size=2048)
    columns = [Numeric(name, standardize=True) for name in numbers]
    found = []
    for threads in (1, 2, 2, 4):
        here = ibis.duckdb.connect(threads=threads)
        pipeline = FeaturePipeline(columns, connection=here).fit(path)
        found.append(pipeline.transform(path).to_pydict())
    assert all(each == found[0] for each in found)
    for name, values in numbers.items():
        exact = values.astype(np.longdouble)
        wanted = (exact - exact.mean()) / exact.std()
        close(found[0][name], wanted.astype("float64"))
