"""The same samples on Spark as on DuckDB."""

import datetime
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.runs.samples.engine import Engine, engine_of
from recsys.runs.samples.write import make_samples
from tests.runs.planted import config as planted
from tests.runs.planted import write_log
from tests.runs.samples.configs import config, write
from tests.runs.samples.test_write import RICH, items, log
from tests.spark import spark

END = datetime.datetime(1970, 1, 1, 0, 4, 40)
of_spark = pytest.mark.xdist_group("spark")  # one process has its session


@pytest.fixture
def on_spark(tmp_path):
    connection, scratch = spark(), tmp_path / "spark"
    scratch.mkdir()
    return Engine(connection, scratch)


@of_spark
@pytest.mark.all
@pytest.mark.parametrize("by", ["time", "leave_one_out", "users"])
def test_spark_makes_the_same_samples(tmp_path, engine, on_spark, by):
    columns = log()
    # To Spark's own reader of CSV 01 is 1, and a line ends inside quotes.
    columns["place"] = np.where(columns["place"] == "home", "01", 'a\n"b"')
    columns["rating"][::9] = np.nan
    kind = "csv" if by == "users" else "parquet"
    if kind == "parquet":
        columns["time"] = columns["time"].astype("datetime64[s]")
    # Spark reads the larger of two files first, if one lets it.
    for name, rows in (("a", slice(150)), ("b", slice(150, None))):
        part = pa.table({key: value[rows] for key, value in columns.items()})
        if kind == "csv":
            pyarrow.csv.write_csv(part, tmp_path / f"{name}.csv")
        else:
            write(tmp_path, **{name: part})
    write(tmp_path, items=items())
    drawn = "uniform" if by == "users" else "popularity"
    run = config(
        RICH,
        ["click", "like"],
        data={"files": [f"a.{kind}", f"b.{kind}"], "items": "items.parquet"},
        samples={
            "where": {"action": "buy"},
            "labels": {"like": "rating >= 4"},
            "min_user_events": 3,
            "negatives": {"label": "click", "by": drawn},
        },
        split={"by": by} | ({"gap": 3, "until": END} if by == "time" else {}),
    )
    wanted, got = (make_samples(run, tmp_path, each) for each in (engine, on_spark))
    assert got.notes == wanted.notes
    for name, table in wanted.tables.items():
        files = [tmp_path / f"{name}-{at}.parquet" for at in ("duckdb", "spark")]
        rows = engine.write(table, files[0])
        assert on_spark.write(got.tables[name], files[1]) == rows > 0
        one, other = (pq.read_table(file) for file in files)
        assert {*other.column_names} == {*one.column_names}
        # As text: NaN is not itself.
        other = other.select(one.column_names)
        assert repr(other.to_pylist()) == repr(one.to_pylist())


@of_spark
@pytest.mark.all
def test_rows_are_numbered_in_the_order_of_the_files(tmp_path, on_spark):
    ends = [0, 300, 5000, 5001, 9000]
    names = ["q[12]", "q1", "st*r", "b{a,b}"]  # patterns, to Spark
    files = [str(tmp_path / f"{name}.parquet") for name in names]
    for file, *ends_of in zip(files, ends[:-1], ends[1:], strict=True):
        here = np.arange(*ends_of)
        wide = [None if n % 3 else 2**60 + n for n in here.tolist()]
        pq.write_table(pa.table({"n": here, "wide": wide}), file, row_group_size=400)
    table = on_spark.open(files, {"n": "", "wide": ""}).table
    connection = on_spark.connection
    frame = connection.raw_sql(connection.compile(table))
    assert frame.rdd.getNumPartitions() > 2 * len(files)
    found = on_spark.run(on_spark.numbered(table, "row"))
    assert found.schema.types == [pa.int64()] * 3
    assert found["row"].to_pylist() == found["n"].to_pylist() == [*range(9000)]
    assert found["wide"].to_pylist()[2999:3001] == [None, 2**60 + 3000]


@of_spark
@pytest.mark.all
def test_a_run_whose_rows_spark_makes_is_the_same(tmp_path):
    spark()  # whose session the run takes
    write_log(tmp_path / "log.csv", 1000)
    of_both = []
    for engine in ("duckdb", "spark"):
        entries = planted(tmp_path / "log.csv", data={"engine": engine})
        done = recsys.run(entries, name=engine, runs=tmp_path / "runs")
        predictions = pq.read_table(done.folder / "predictions.parquet")
        of_both.append((done.metrics["test"], predictions))
    assert of_both[1] == of_both[0] and len(of_both[0][1]) == 100


@of_spark
@pytest.mark.all
def test_what_spark_cannot_do_is_one_error(tmp_path):
    spark()
    write(tmp_path, events={"time": pa.array([1], pa.timestamp("ns"))})
    with pytest.raises(ValueError, match="Spark must make the rows.*NANOS"):
        with engine_of("spark", tmp_path / "scratch") as engine:
            engine.open([str(tmp_path / "events.parquet")], {"time": ""})


@pytest.mark.all
def test_without_java_there_is_one_error(tmp_path):
    pytest.importorskip("pyspark", reason="pyspark is not installed (extra `spark`)")
    lines = [
        "from pathlib import Path",
        "from recsys.runs.samples.engine import engine_of",
        "engine_of('spark', Path('scratch')).__enter__()",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)],
        env={**os.environ, "JAVA_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: data.engine must be 'duckdb' where Spark does")
    assert "JAVA_GATEWAY_EXITED" in last and not (tmp_path / "scratch").exists()


def test_without_spark_there_is_one_error(tmp_path, monkeypatch):
    write_log(tmp_path / "log.csv", 100)
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    entries = planted(tmp_path / "log.csv", data={"engine": "spark"})
    with pytest.raises(ValueError, match="must be 'duckdb' without pyspark: pip"):
        recsys.run(entries, runs=tmp_path / "runs")
    assert [*(tmp_path / "runs").iterdir()] == []
