"""The same samples on Spark as on DuckDB."""

import shutil

import numpy as np
import pyarrow.parquet as pq
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
    spark = Engine(ibis.pyspark.connect(builder.getOrCreate()), tmp_path / "spark")

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
        files = [tmp_path / f"{name}-{at}.parquet" for at in ("duckdb", "spark")]
        rows = engine.write(table, files[0])
        assert spark.write(got.tables[name], files[1]) == rows > 0
        both = [pq.read_table(file) for file in files]
        assert both[1].column_names == both[0].column_names
        # As text: NaN is not itself.
        assert repr(both[1].to_pylist()) == repr(both[0].to_pylist())
