"""The same samples on Spark as on DuckDB."""

import datetime
import shutil
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.write import make_samples
from tests.runs.planted import config as planted
from tests.runs.planted import write_log
from tests.runs.samples.configs import config, write
from tests.runs.samples.test_write import RICH, items, log


@pytest.fixture(scope="module")
def connection():
    pytest.importorskip("pyspark", reason="pyspark is not installed (extra `spark`)")
    if not shutil.which("java"):
        pytest.skip("Spark needs java")
    import ibis
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]")
    builder = builder.config("spark.sql.shuffle.partitions", "2")
    return ibis.pyspark.connect(builder.getOrCreate())


@pytest.mark.all
@pytest.mark.xdist_group("spark")
def test_a_run_whose_rows_spark_makes_is_the_same(tmp_path, connection):
    write_log(tmp_path / "log.csv", 1000)
    of_both = []
    for engine in ("duckdb", "spark"):
        entries = planted(tmp_path / "log.csv", data={"engine": engine})
        done = recsys.run(entries, name=engine, runs=tmp_path / "runs")
        of_both.append(pq.read_table(done.folder / "predictions.parquet"))
    assert of_both[1].equals(of_both[0]) and len(of_both[0]) == 100


def test_without_spark_there_is_one_error(tmp_path, monkeypatch):
    write_log(tmp_path / "log.csv", 100)
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    entries = planted(tmp_path / "log.csv", data={"engine": "spark"})
    with pytest.raises(ValueError, match="must be 'duckdb' without pyspark: pip"):
        recsys.run(entries, runs=tmp_path / "runs")
    assert [*(tmp_path / "runs").iterdir()] == []


def at(second):
    return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=second)


@pytest.mark.all
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize(
    "split",
    [
        {"by": "time", "gap": 3},
        {"by": "time", "valid_from": at(200), "test_from": at(230), "until": at(250)},
        {"by": "leave_one_out"},
        {"by": "ratio"},
        {"by": "users"},
    ],
    ids=["time", "until", "leave_one_out", "ratio", "users"],
)
def test_spark_makes_the_same_samples(tmp_path, engine, connection, split):
    columns = log()
    columns["time"] = columns["time"].astype("datetime64[s]")
    columns["rating"][::9] = np.nan
    # Spark reads the larger of two files first, if one lets it.
    for name, rows in (("a", slice(150)), ("b", slice(150, None))):
        write(tmp_path, **{name: {key: value[rows] for key, value in columns.items()}})
    write(tmp_path, items=items())
    run = config(
        RICH,
        ["click", "like"],
        data={"files": ["a.parquet", "b.parquet"], "items": "items.parquet"},
        samples={
            "where": {"action": "buy"},
            "labels": {"like": "rating >= 4"},
            "min_user_events": 3,
            "negatives": {"label": "click", "by": "popularity"},
        },
        split=split,
    )
    spark = Engine(connection, tmp_path / "spark")
    wanted, got = (make_samples(run, tmp_path, each) for each in (engine, spark))
    assert got.notes == wanted.notes
    for name, table in wanted.tables.items():
        files = [tmp_path / f"{name}-{at}.parquet" for at in ("duckdb", "spark")]
        rows = engine.write(table, files[0])
        assert spark.write(got.tables[name], files[1]) == rows > 0
        one, other = (pq.read_table(file) for file in files)
        assert {*other.column_names} == {*one.column_names}
        # As text: NaN is not itself.
        other = other.select(one.column_names)
        assert repr(other.to_pylist()) == repr(one.to_pylist())
