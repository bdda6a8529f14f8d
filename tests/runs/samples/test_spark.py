"""The same samples on Spark as on DuckDB."""

import shutil

import numpy as np
import pytest

from recsys.runs.samples.engine import Engine
from recsys.runs.samples.write import make_samples
from tests.runs.samples.configs import config, write
from tests.runs.samples.test_write import RICH, items, log


@pytest.mark.all
@pytest.mark.parametrize("by", ["time", "user_time", "leave_one_out", "ratio", "users"])
def test_spark_makes_the_same_samples(tmp_path, engine, by):
    pytest.importorskip("pyspark", reason="pyspark is not installed (extra `spark`)")
    if not shutil.which("java"):
        pytest.skip("Spark needs java")
    import ibis
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]")
    builder = builder.config("spark.sql.shuffle.partitions", "2")
    spark = Engine(ibis.pyspark.connect(builder.getOrCreate()))

    columns = log()
    columns["time"] = columns["time"].astype("datetime64[s]")
    columns["rating"][::9] = np.nan
    write(tmp_path, events=columns, items=items())
    run = config(
        RICH,
        ["click", "like"],
        data={"items": "items.parquet"},
        samples={
            "where": {"action": "buy"},
            "labels": {"like": "rating >= 4"},
            "min_user_events": 3,
            "negatives": {"label": "click", "by": "popularity"},
        },
        split={"by": by} | ({"gap": 3} if by == "time" else {}),
    )
    wanted, got = (make_samples(run, tmp_path, each) for each in (engine, spark))
    assert got.notes == wanted.notes
    for name, table in wanted.tables.items():
        tables = spark.run(got.tables[name]), engine.run(table)
        assert tables[0].schema.types == tables[1].schema.types
        rows = [[*map(without_nan, each.to_pylist())] for each in tables]
        assert rows[0] == rows[1]


def without_nan(row):
    """A row as Ibis hands it over of Spark, by way of pandas."""
    return {name: None if value != value else value for name, value in row.items()}
