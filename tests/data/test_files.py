"""Several files as one: types that differ have a lossless common one, or an error."""

import datetime
import itertools
from pathlib import Path
from typing import Any

import numpy as np
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
)

DAY, MORNING = datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 9)
KINDS: dict[str, Any] = {
    "int8": pa.array([1, 2], "int8"),
    "uint8": pa.array([200, 3], "uint8"),
    "int32": pa.array([2**31 - 1, 3], "int32"),
    "int64": pa.array([2**40, 5]),
    "wide": pa.array([2**53 + 1, 5]),
    "uint64": pa.array([2**40, 7], "uint64"),
    "float16": pa.array([1.0, 2.5], "float16"),
    "float32": pa.array([1.5, 2.5], "float32"),
    "float64": pa.array([0.1, 2.5]),
    "bool": pa.array([True, False]),
    "date": pa.array([DAY, DAY]),
    "timestamp": pa.array([MORNING, MORNING], pa.timestamp("us")),
    "seconds": pa.array([MORNING, MORNING], pa.timestamp("s")),
    "nanoseconds": pa.array([MORNING, MORNING], pa.timestamp("ns")),
    "utc": pa.array([MORNING, MORNING], pa.timestamp("us", "UTC")),
    "paris": pa.array([MORNING, MORNING], pa.timestamp("us", "Europe/Paris")),
    "string": pa.array(["007", "x"]),
    "dictionary": pa.array(["y", "x"]).dictionary_encode(),
    "large string": pa.array(["z", "x"], pa.large_string()),
    "decimal": pa.array([1, 2], pa.decimal128(10, 2)),
    "decimals": pa.array([1, 2], pa.decimal128(12, 8)),
    "null": pa.nulls(2),
    "no floats": pa.nulls(2, pa.float64()),
    "no integers": pa.nulls(2, pa.int32()),
}
LOSSLESS = [
    *itertools.combinations(["int8", "uint8", "int32", "int64", "wide"], 2),
    ("uint8", "uint64"),
    *itertools.product(
        ["float16", "float32", "float64"], ["int8", "uint8", "int32", "int64"]
    ),
    *itertools.combinations(["float16", "float32", "float64", "uint64"], 2),
    *itertools.combinations(["timestamp", "seconds", "nanoseconds"], 2),
    ("utc", "paris"),
    *itertools.combinations(["string", "dictionary", "large string"], 2),
    ("decimal", "decimals"),
    *itertools.product(["null", "no floats", "no integers"], KINDS),
]


def write(folder: Path, *columns: Any, name: str = "a") -> list[Path]:
    paths = [folder / f"{i}.parquet" for i in range(len(columns))]
    for path, column in zip(paths, columns, strict=True):
        pq.write_table(pa.table({name: column, "y": [0] * len(column)}), path)
    return paths


def read(paths: Any) -> list[Any]:
    import ibis

    from recsys.data.source import open_source

    here = ibis.duckdb.connect()
    table = open_source([str(path) for path in paths], here, {"a": ""}).table
    return here.to_pyarrow(table)["a"].to_pylist()


def values(column: Any) -> list[Any]:
    found = column.to_pylist()
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return [value.astimezone(datetime.UTC) for value in found]
    return found


@pytest.mark.parametrize(("first", "second"), [*itertools.combinations(KINDS, 2)])
def test_types_of_two_files(tmp_path: Path, first: str, second: str) -> None:
    paths = write(tmp_path, KINDS[first], KINDS[second])
    lossless = {(first, second), (second, first)} & {*LOSSLESS}
    for order in (paths, paths[::-1]):
        if lossless:
            wanted = values(KINDS[first]), values(KINDS[second])
            wanted = wanted if order is paths else wanted[::-1]
            assert read(order) == [*wanted[0], *wanted[1]]
        else:
            with pytest.raises(ValueError, match="Column 'a': all files must") as error:
                read(order)
            for path in paths:
                assert str(path) in str(error.value)


ATTACKS: list[tuple[Any, Any, Any, list[float]]] = [
    (Label("a"), [1, 0], [1.0, 0.0], [1, 0, 1, 0]),
    (Label("a", belong="regression"), [1, 0], [0.7, 0.2], [1, 0, 0.7, 0.2]),
    (Numeric("a"), [1], [1.5, 2.7], [1, 1.5, 2.7]),
    (Bucketed("a", edges=[2]), [1], [1.5, 2.7], [2, 2, 3]),
    (Categorical("a"), [1, 2], [1.0, None], [2, 3, 2, 1]),
]


@pytest.mark.parametrize(("column", "one", "other", "wanted"), ATTACKS)
def test_types_of_files_do_not_round(
    tmp_path: Path, column: Any, one: list[Any], other: list[Any], wanted: list[float]
) -> None:
    paths = write(tmp_path, pa.array(one), pa.array(other))
    label = isinstance(column, Label)
    columns = [Numeric("b", source="y")] if label else [column]
    pipeline = FeaturePipeline(columns, [column] if label else [])
    for order in (1, -1):
        found = pipeline.fit(paths[::order]).transform(paths)["a"]
        expected = np.array(wanted, found.type.to_pandas_dtype())
        assert found.to_pylist() == expected.tolist()


MISFITS = [
    (Numeric("a"), [True], [7]),
    (Categorical("a"), [7], ["007"]),
    (Categorical("a"), [2**53 + 1], [1.0]),
    (Categorical("a"), [True, False], [1, 0]),
    (MultiValue("a", length=2), [[7]], [["007"]]),
    (MultiValue("a", length=2), [[2**53 + 1]], [[1.0]]),
    (MultiValue("a", length=2), [["x"]], ["x"]),
]


@pytest.mark.parametrize(("column", "one", "other"), MISFITS)
def test_types_of_files_that_do_not_fit(
    tmp_path: Path, column: Any, one: list[Any], other: list[Any]
) -> None:
    paths = write(tmp_path, pa.array(one), pa.array(other))
    for order in (paths, paths[::-1]):
        with pytest.raises(ValueError, match="Column 'a': all files must") as error:
            FeaturePipeline([column]).fit(order)
        for path in paths:
            assert str(path) in str(error.value)


def test_days_and_times_of_a_history_are_not_mixed(tmp_path: Path) -> None:
    log = {"i": ["x", "y"], "u": [1, 1]}
    days = {**log, "t": [DAY, DAY + datetime.timedelta(1)]}
    times = {**log, "t": [MORNING, MORNING + datetime.timedelta(1)]}
    for name, columns in (("days", days), ("times", times)):
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    history = History("h", of=["i"], length=4, user="u", time="t")
    pipeline = FeaturePipeline([Categorical("i"), history])
    with pytest.raises(ValueError, match=r"Column 't'.*days\.parquet.*times\.parquet"):
        pipeline.fit(tmp_path / "*.parquet").transform(tmp_path / "*.parquet")
    pipeline.fit(days)
    for rows, events in ((days, times), (times, days)):
        with pytest.raises(ValueError, match="time must be of one type in rows and"):
            pipeline.transform(rows, events=events)


def test_columns_that_are_not_read_may_differ(tmp_path: Path) -> None:
    tables = [
        {"a": [1], "y": [1], "other": ["x"]},
        {"other": [[1.5]], "y": [0], "a": [2]},
        {"a": [3], "y": [1]},
    ]
    pipeline = FeaturePipeline([Numeric("a")], ["y"])
    for ending in ("parquet", "csv"):
        for i, columns in enumerate(tables):
            path = tmp_path / f"{i}.{ending}"
            if ending == "parquet":
                pq.write_table(pa.table(columns), path)
            else:
                rows = [columns, [str(column[0]) for column in columns.values()]]
                path.write_text("".join(",".join(row) + "\n" for row in rows))
        found = pipeline.fit(tmp_path / f"*.{ending}").transform(
            tmp_path / f"*.{ending}"
        )
        assert found.to_pydict() == {"a": [1, 2, 3], "y": [1, 0, 1]}


def test_a_column_that_one_file_lacks(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n1,0\n")
    (tmp_path / "b.csv").write_text("a\n1\n")
    pq.write_table(pa.table({"a": [1], "y": [0]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "b.parquet")
    pipeline = FeaturePipeline([Numeric("a")], ["y"])
    for ending in ("csv", "parquet"):
        paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
        for order in (paths, paths[::-1]):
            wanted = (
                f"Column 'y': all files must have it.*{paths[0]} with it, {paths[1]}"
            )
            with pytest.raises(ValueError, match=wanted):
                pipeline.fit(order)


CSVS: list[tuple[Any, str, str, list[float] | None]] = [
    (Numeric("a"), "1", "1.5", [1, 1.5]),
    (Numeric("a", fill=0), "1", "", [1, 0]),
    (Categorical("a"), "7", "x", [2, 3]),
    (Categorical("a"), "007", "x", [2, 3]),
    (Categorical("a"), "7", "7.0", [2, 2]),
    (Categorical("a"), "7", "", [2, 1]),
    (Categorical("a"), "7", "2020-01-01", None),
    (Categorical("a"), "7", "true", None),
    (Categorical("a"), str(2**53 + 1), "7.0", None),
    (Categorical("a"), "2020-01-01", "2020-01-01 10:00:00", None),
]


@pytest.mark.parametrize(("column", "one", "other", "wanted"), CSVS)
def test_types_of_csv_files(
    tmp_path: Path, column: Any, one: str, other: str, wanted: list[float] | None
) -> None:
    (tmp_path / "0.csv").write_text(f"a,b\n{one},1\n")
    (tmp_path / "1.tsv").write_text(f"b\ta\n1\t{other}\n")
    (tmp_path / "2.csv").write_text(f"b;a\n1;{other}\n")
    for second in ("1.tsv", "2.csv"):
        paths = [tmp_path / "0.csv", tmp_path / second]
        for order in (paths, paths[::-1]):
            pipeline = FeaturePipeline([column])
            if wanted is None:
                with pytest.raises(ValueError, match="Column 'a': all files") as error:
                    pipeline.fit(order)
                assert all(str(path) in str(error.value) for path in paths)
            else:
                found = pipeline.fit(order).transform(paths)["a"]
                assert found.to_pylist() == wanted


@pytest.mark.parametrize("num_files", [2, 3, 4, 5, 9])
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_files_keep_their_order_whatever_their_types(
    tmp_path: Path, num_files: int, ending: str
) -> None:
    values = np.arange(60_000 * num_files)
    for i, part in enumerate(np.split(values, num_files)):
        path = tmp_path / f"{i}.{ending}"
        typed = part.astype(["int32", "int64", "float64"][i % 3])
        if ending == "parquet":
            pq.write_table(pa.table({"a": typed}), path)
        else:
            names = ["a", *(f"{i} {place}" for place in range(2))]
            lines = [",".join(names), *(f"{value},1,2" for value in typed)]
            path.write_text("\n".join(lines))
    pipeline = FeaturePipeline([Numeric("a")]).fit(tmp_path)
    found = pipeline.transform(tmp_path)["a"].to_numpy()
    np.testing.assert_array_equal(found, values.astype("float32"))


LOG = {"u": [1, 1, 1], "i": ["x", "y", "z"]}
INSTANTS = pa.array([10**18 + n for n in (0, 1, 1000)], pa.int64())
ZONED = INSTANTS.cast(pa.timestamp("ns", "Asia/Tokyo"))


def test_nanoseconds_with_a_zone_are_those_of_a_frame(tmp_path: Path) -> None:
    history = History("h", of=["i"], length=2, user="u", time="t", ages=9)
    pipeline = FeaturePipeline([Categorical("i"), history])
    table = pa.table({**LOG, "t": ZONED})
    path, coarse = tmp_path / "fine.parquet", tmp_path / "coarse.parquet"
    pq.write_table(table, path)
    wanted = pipeline.fit(table).transform(table)
    assert wanted["h_i"].to_pylist() == [[0, 0], [2, 0], [2, 3]]
    for rows in (table, path):
        for events in (None, table, path):
            assert pipeline.fit(rows).transform(rows, events=events).equals(wanted)
    micros = INSTANTS.cast(pa.timestamp("ns", "UTC")).cast(
        pa.timestamp("us", "UTC"), safe=False
    )
    pq.write_table(pa.table({**LOG, "t": micros}), coarse)
    both = pipeline.transform([coarse, path])["h_i"].to_pylist()
    assert (
        both[-1]
        == pipeline.transform(path, events=[coarse, path])["h_i"].to_pylist()[-1]
    )
    assert pipeline.transform([coarse])["h_i"].to_pylist() == [[0, 0], [0, 0], [2, 3]]


NOTHING = [
    Categorical("a"),
    Hashed("a", num_buckets=9),
    Numeric("a", fill=7),
    Bucketed("a", edges=[2]),
    MultiValue("a", length=2),
    Label("a"),
]


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        *((column, pa.null()) for column in NOTHING),
        (MultiValue("a", length=2), pa.list_(pa.null())),
    ],
    ids=str,
)
def test_a_file_without_values_is_like_a_frame(
    tmp_path: Path, column: Any, dtype: pa.DataType
) -> None:
    lists = isinstance(column, MultiValue)
    seen = {"a": [["x"], ["y"]] if lists else [1, 0], "b": [1, 2]}
    label = isinstance(column, Label)
    pipeline = FeaturePipeline(
        [Numeric("b"), *([] if label else [column])], [column] if label else []
    ).fit(seen)
    values = pa.array([[None], []], dtype) if pa.types.is_list(dtype) else pa.nulls(2)
    frame = pa.table({"a": values, "b": [1, 2]})
    path = tmp_path / "a.parquet"
    pq.write_table(frame, path)
    wanted = pipeline.transform(frame)["a"].to_numpy()
    for files in (path, [path, path]):
        found = pipeline.transform(files)["a"].to_numpy()[:2]
        np.testing.assert_equal([*found], [*wanted])
    for data in (frame, path):
        pipeline.fit(data)
        np.testing.assert_equal([*pipeline.transform(data)["a"].to_numpy()], [*wanted])


def test_nothing_beside_values_in_another_column(tmp_path: Path) -> None:
    """What pandas writes for a column of objects that are all None."""
    frame = pa.table({"a": pa.nulls(2), "i": ["x", "y"]})
    pq.write_table(frame, tmp_path / "a.parquet")
    pipeline = FeaturePipeline([Categorical("a"), Categorical("i")])
    found = pipeline.fit(tmp_path / "a.parquet").transform(tmp_path / "a.parquet")
    assert found.to_pydict() == {"a": [1, 1], "i": [2, 3]}
