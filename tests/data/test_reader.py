"""Frames as Arrow and as raw columns."""

import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from recsys.data import Categorical, FeaturePipeline, Label, MultiValue, Numeric
from recsys.data.reader import as_arrow, as_columns, is_frame
from recsys.feature._arrays import as_array

COLUMNS = {
    "user": [1, 2, 3],
    "price": [0.5, None, 2.0],
    "name": ["a", None, "c"],
    "seen": [[1, 2], [3, 4], [5, 6]],
}


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(COLUMNS), pl.DataFrame(COLUMNS), pa.table(COLUMNS)]
)
def test_all_frames_give_the_same_columns(frame) -> None:
    columns = as_columns(frame)
    assert list(columns) == list(COLUMNS)
    np.testing.assert_array_equal(columns["user"], [1, 2, 3])
    assert columns["user"].dtype == np.int64
    np.testing.assert_array_equal(columns["price"], [0.5, np.nan, 2.0])
    assert columns["name"].tolist() == ["a", None, "c"]
    np.testing.assert_array_equal(columns["seen"], [[1, 2], [3, 4], [5, 6]])


def test_integers_with_gaps_become_floating() -> None:
    gaps = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")})
    np.testing.assert_array_equal(as_columns(gaps)["a"], [1.0, np.nan, 3.0])


def test_raw_values_are_kept() -> None:
    big = np.array([2**32 + 3, -1])
    np.testing.assert_array_equal(as_columns(pd.DataFrame({"a": big}))["a"], big)
    assert as_columns({"a": np.array([2.7], "float32")})["a"].dtype == np.float32


def test_fixed_size_nested_and_sliced_lists() -> None:
    table = pa.table(
        {
            "fixed": pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2),
            "nested": [[[1], [2]], [[3], [4]], [[5], [6]]],
        }
    )
    columns = as_columns(table.slice(1))
    np.testing.assert_array_equal(columns["fixed"], [[2, 3], [4, 5]])
    np.testing.assert_array_equal(columns["nested"], [[[3], [4]], [[5], [6]]])


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_arrays_of_objects_have_missing_values(missing) -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": ["x", "y", "x"]})
    values = np.array(["x", missing], object)
    assert pipeline.transform({"a": values})["a"].to_pylist() == [2, 1]
    tags = FeaturePipeline([MultiValue("a", length=2)]).fit({"a": [["x", "y"]]})
    assert tags.transform({"a": values[None]})["a"].to_pylist() == [[2, 1]]


HALVES = np.array([0.5, 65504.0, 6e-8, np.nan], "float16")


@pytest.mark.parametrize(
    "frame",
    [
        {"a": HALVES, "w": HALVES[:, None]},
        {"a": [*HALVES], "w": [*HALVES[:, None]]},
        pd.DataFrame({"a": HALVES, "w": [*HALVES[:, None]]}),
        pa.table({"a": HALVES, "w": pa.array([*HALVES[:, None]])}),
        pa.table(
            {
                "a": HALVES,
                "w": pa.array([*HALVES[:, None]], pa.large_list(pa.float16())),
            }
        ),
    ],
)
def test_half_precision_is_read_without_loss(frame) -> None:
    pipeline = FeaturePipeline(
        [
            Numeric("a", fill=-1),
            MultiValue("m", length=2, weight="w", source="i"),
        ]
    )
    ids = [[1], [2], [3], [4]]
    table = as_arrow(frame).append_column("i", [ids])
    found = pipeline.fit(table).transform(table)
    exact = HALVES.astype("float32")[:3].tolist()
    assert found["a"].to_pylist() == [*exact, -1]
    assert [weights[0] for weights in found["w"].to_pylist()] == [*exact, 0]


def test_chunked_and_empty() -> None:
    table = pa.table({"a": [[1, 2]]})
    chunked = pa.concat_tables([table, table])
    np.testing.assert_array_equal(as_columns(chunked)["a"], [[1, 2], [1, 2]])
    assert as_columns(table.slice(1))["a"].shape == (0, 0)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_ragged_lists_name_the_column(kind) -> None:
    with pytest.raises(ValueError, match="Column 'seen': lists must be of one length"):
        as_columns(kind({"user": [1, 2], "seen": [[1, 2, 3], [4]]}))


def test_ragged_lists_say_what_came() -> None:
    with pytest.raises(ValueError, match="Received: lengths 1 to 3"):
        as_columns(pa.table({"seen": [[1, 2, 3], [4]]}))


def test_missing_lists_are_an_error() -> None:
    with pytest.raises(ValueError, match="'seen': lists must not be missing.*1 .* 2"):
        as_columns(pa.table({"seen": [[1, 2], None]}))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pa.table([pa.array([1]), pa.array([2])], names=["a", "A"]),
    ],
)
def test_duplicate_names(frame) -> None:
    with pytest.raises(ValueError, match="columns of different names, case aside"):
        as_columns(frame)


def test_categories_are_written_out() -> None:
    for frame in (
        pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}),
        pl.DataFrame({"a": pl.Series(["x", "y", "x"], dtype=pl.Categorical)}),
    ):
        table = as_arrow(frame)
        assert not pa.types.is_dictionary(table.schema.field("a").type)
        assert table["a"].to_pylist() == ["x", "y", "x"]


def test_matrices_become_lists() -> None:
    table = as_arrow({"a": np.arange(6).reshape(3, 2)})
    assert table["a"].to_pylist() == [[0, 1], [2, 3], [4, 5]]


def test_column_of_mixed_types_is_named() -> None:
    for frame in (
        pd.DataFrame({"b": [1, 2], "a": [1, "x"]}),
        pd.DataFrame({"b": [1, 2], "a": [10**30, 1]}),
        pd.DataFrame({"b": [1, 2], "a": [1j, 2j]}),
        pd.DataFrame({"b": [1, 2], "a": pd.arrays.SparseArray([0, 1])}),
        pl.DataFrame({"b": [1, 2], "a": pl.Series([1, 2], dtype=pl.Int128)}),
    ):
        with pytest.raises(ValueError, match="^Column 'a': values must be of one type"):
            as_arrow(frame)


FOREIGN = [
    pd.DataFrame({"a": pd.period_range("2020", periods=2, freq="M")}),
    pd.DataFrame({"a": pd.interval_range(0, 2)}),
    pl.DataFrame({"a": pl.Series([object(), object()], dtype=pl.Object)}),
    pa.table({"a": pa.array([b"x", b"y"], pa.binary(1))}),
    pa.table({"a": pa.array([1, 2], pa.decimal256(50, 2))}),
    pa.table({"a": pa.array([[1], [2]], pa.list_view(pa.int8()))}),
    pa.table({"a": pa.array([b"0" * 16, b"1" * 16], pa.uuid())}),
    pa.table({"a": pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval())}),
]


@pytest.mark.parametrize("frame", FOREIGN)
def test_types_that_engines_do_not_have(frame) -> None:
    table = as_arrow(frame).append_column("b", [[1.0, 2.0]])
    with pytest.raises(ValueError, match="^Column 'a' must be of a type that engines"):
        FeaturePipeline([Numeric("a")]).fit(table)
    found = FeaturePipeline([Numeric("b")]).fit(table).transform(table)
    assert found["b"].to_pylist() == [1.0, 2.0]


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="Data must be a pandas.*Received: <class 'in"):
        as_arrow(3)


def test_imports_neither_tensorflow_nor_ibis() -> None:
    code = (
        "import sys; from recsys.data import FeaturePipeline, Categorical\n"
        "from recsys.data.reader import as_columns\n"
        "from recsys.data.synthetic import click_log\n"
        "from recsys.data.movielens import load_movielens_100k\n"
        "FeaturePipeline([Categorical('a')])\n"
        "heavy = {'tensorflow', 'keras', 'ibis', 'duckdb', 'pandas', 'polars'}\n"
        "print(sorted(heavy & {*sys.modules}))"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_list_of_dicts_is_rows() -> None:
    rows = [{"a": 1, "b": ["x"]}, {"b": ["x", "y"]}, {"a": 3, "b": None, "c": 0.5}]
    assert is_frame(rows) and not is_frame([]) and not is_frame([rows])
    assert as_arrow(rows).to_pydict() == {
        "a": [1, None, 3],
        "b": [["x"], ["x", "y"], None],
        "c": [None, None, 0.5],
    }
    columns = as_columns([{"a": 1, "b": [1, 2]}, {"b": [3, 4], "a": 2}])
    assert columns["a"].tolist() == [1, 2] and columns["b"].tolist() == [[1, 2], [3, 4]]


def test_lists_of_several_lengths_are_lists() -> None:
    for values in ([["x"], ["x", "y"]], [["x"], None], [np.array(["x"]), np.empty(0)]):
        lists = as_arrow({"a": values})["a"]
        assert lists.to_pylist() == [None if v is None else [*v] for v in values]


ODD = [
    ({"a": 1.0}, ValueError, "Column 'a': values must be an array or a list. Rec"),
    ({"a": "x"}, ValueError, "Column 'a': values must be an array or a list. Rec"),
    ({"a": [1, 2], "b": [1]}, ValueError, "All columns must have as many rows. Rec"),
    ({"a": ["x", 1]}, ValueError, "Column 'a': values must be of one type. Received"),
    ({"a": [10**30]}, ValueError, "Column 'a': values must be of one type. Received"),
    ({"a": np.array([1j])}, ValueError, "Column 'a': values must be of one type."),
    ([{"a": 1}, 2], TypeError, "a list of dicts, or paths of files. Received: <cl"),
    ([[1.0]], TypeError, "or paths of files. Received: <class 'list'>"),
    (pd.Series([1.0]), TypeError, "or paths of files. Received: <class 'pandas"),
    (pl.Series([1.0]), TypeError, "or paths of files. Received: <class 'polars"),
    (None, TypeError, "or paths of files. Received: <class 'NoneType'>"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "error", "text"), ODD)
def test_odd_data(data, error, text: str) -> None:
    with pytest.raises(error) as caught:
        FeaturePipeline([Numeric("a")]).fit(data)
    assert text in str(caught.value)


MASK = [False, False, True]
MASKED = {
    "integers": ([1, 2, 1], Categorical("a"), [2, 3, 1]),
    "large integers": ([2**53 + 1, 2**53 + 2, 2**53 + 1], Categorical("a"), [2, 3, 1]),
    "texts": (["x", "y", "x"], Categorical("a"), [2, 3, 1]),
    "flags": ([True, False, True], Categorical("a"), [3, 2, 1]),
    "numbers": ([1.0, 2.0, 3.0], Numeric("a", fill=7), [1.0, 2.0, 7.0]),
    "small numbers": (np.float16([1, 2, 3]), Numeric("a", fill=7), [1.0, 2.0, 7.0]),
    "days": (np.array(["2024-01-01", "2024-01-02"] * 2, "M8[D]")[:3], Categorical("a"),
             [2, 3, 1]),
    "labels": ([1, 0, 1], Label("a"), [1.0, 0.0, np.nan]),
}  # fmt: skip


@pytest.mark.parametrize("kind", MASKED)
@pytest.mark.parametrize("dtype", [None, object])
def test_what_is_masked_is_missing(kind: str, dtype) -> None:
    values, column, wanted = MASKED[kind]
    values = np.array(values)
    frame = {"a": np.ma.array(values.astype(dtype or values.dtype), mask=MASK)}
    label = isinstance(column, Label)
    pipeline = FeaturePipeline(
        [Categorical("b", source="a"), *([] if label else [column])],
        [column] if label else [],
    )
    found = pipeline.fit(frame).transform(frame)["a"].to_pylist()
    np.testing.assert_equal(found, wanted)
    assert frame["a"].mask.tolist() == MASK
    unmasked = {"a": np.ma.array(values)}
    np.testing.assert_equal(as_columns(unmasked)["a"], values)


def test_what_is_masked_is_missing_in_lists_and_matrices() -> None:
    pipeline = FeaturePipeline([MultiValue("a", length=2)]).fit({"a": [["x", "y"]]})
    matrix = np.ma.array([["x", "y"], ["y", "x"]], mask=[[0, 1], [0, 0]])
    for values in (matrix, matrix.astype(object), [*matrix]):
        found = pipeline.transform({"a": values})["a"].to_pylist()
        assert found == [[2, 1], [3, 2]]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (np.ma.array([1, 2], mask=[0, 1]), [1.0, np.nan]),
        (np.ma.array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]]), [[1.0, np.nan], [3, 4]]),
        (np.ma.array([0.5, 2], "float32", mask=[0, 1]), np.float32([0.5, np.nan])),
        (np.ma.array(["x", "y"], mask=[0, 1]), np.array(["x", None], object)),
        (np.ma.array([1, 2]), [1, 2]),
        ([np.ma.array([1, 2], mask=[0, 1]), [3, 4]], [[1.0, np.nan], [3, 4]]),
    ],
)
def test_columns_of_masked_arrays_have_gaps(values, wanted) -> None:
    for frame in ({"a": values}, [{"a": value} for value in values]):
        found = as_columns(frame)["a"]
        np.testing.assert_equal(found, np.array(wanted))
        assert not np.ma.isMaskedArray(found)


def test_masked_flags_and_weights_are_numbers_with_gaps() -> None:
    flags = np.ma.array([True, False], mask=[0, 1])
    for take in (lambda: as_columns({"a": flags})["a"], lambda: as_array("a", flags)):
        np.testing.assert_equal(take(), [1.0, np.nan])


@pytest.mark.parametrize("name", [1, None, ("a", "b"), b"a"])
def test_names_that_are_no_strings(name) -> None:
    for frame in ({name: ["x"], "a": ["y"]}, [{name: "x", "a": "y"}]):
        for take in (as_columns, as_arrow, FeaturePipeline([Categorical("a")]).fit):
            with pytest.raises(ValueError, match="Names of columns must be strings"):
                take(frame)


def test_names_that_collide() -> None:
    with pytest.raises(ValueError, match="must be strings. Received: 1"):
        as_arrow({1: ["x"], "1": ["y"]})
    with pytest.raises(ValueError, match="columns of different names, case aside"):
        as_arrow({"a": ["x"], "A": ["y"]})
