"""The same expressions on Spark give the same input as on DuckDB."""

import pyarrow.parquet as pq
import pytest

from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    Hashed,
    History,
    MultiValue,
    Numeric,
    Vector,
)
from recsys.data.reader import as_arrow, as_columns
from recsys.data.synthetic import click_log
from tests.close import close
from tests.spark import spark


@pytest.mark.all
@pytest.mark.xdist_group("spark")
def test_spark_gives_the_same_input(tmp_path) -> None:
    connection = spark()
    log = as_arrow(click_log(1000))
    tags = ["|".join("abcdef"[: i % 5]) for i in range(1000)]
    scores = [[float(j) for j in range(i % 4)] for i in range(1000)]
    names = [[f"n{j}" for j in range(i % 4)] for i in range(1000)]
    vectors = [[i % 5, 0.5, 2.0] if i % 9 else None for i in range(1000)]
    images = [[float(i % 7), 1.0, i / 3] for i in log["item_id"].to_pylist()]
    for name, values in (
        ("tags", tags),
        ("scores", scores),
        ("names", names),
        ("vector", vectors),
        ("image", images),
    ):
        log = log.append_column(name, [values])
    for i in range(2):
        pq.write_table(log.slice(500 * i, 500), tmp_path / f"{i}.parquet")
    columns = [
        Categorical("user_id", min_count=4),
        Categorical("item_id", belong="item", max_size=50),
        Hashed("segment", num_buckets=7),
        Numeric("price", log1p=True, standardize=True),
        Bucketed("price_bucket", source="price", num_buckets=4),
        MultiValue("tags", length=3, separator="|"),
        MultiValue("names", length=2, weight="scores", belong="history"),
        Vector("vector", 3),
        Vector("image", 3, of="item_id"),
        History(
            "clicked",
            of=["item_id", "price_bucket", "tags"],
            length=5,
            user="user_id",
            time="timestamp",
            where={"label": 1},
            ages=20,
            session_gap=200,
        ),
    ]
    files = tmp_path / "*.parquet"
    fitted = [
        FeaturePipeline(
            columns, ["label"], groups={"user": "user_id"}, connection=c
        ).fit(files)
        for c in (None, connection)
    ]
    item, other = (pipeline.fields()[1].content for pipeline in fitted)
    assert item == other and item.vectors.any()
    on_duckdb, on_spark = (pipeline.transform(files) for pipeline in fitted)
    assert on_spark.column_names == on_duckdb.column_names
    got = as_columns(on_spark)
    for name, wanted in as_columns(on_duckdb).items():
        close(got[name], wanted)
