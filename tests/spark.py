"""One session of Spark for all tests of a process, or none where it cannot run."""

import shutil
from typing import Any

import pytest

SETTINGS = {
    "spark.ui.enabled": "false",
    # Small tables are in several parts nevertheless, whose order is to be kept.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.files.maxPartitionBytes": "4096",
    "spark.sql.files.openCostInBytes": "512",
}


def spark() -> Any:
    """Returns an Ibis backend; skips the test where there is no Spark or no Java."""
    pytest.importorskip("pyspark", reason="pyspark is not installed (extra `spark`)")
    if not shutil.which("java"):
        pytest.skip("Spark needs java")
    import ibis
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]")
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    return ibis.pyspark.connect(builder.getOrCreate())
