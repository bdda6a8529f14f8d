"""How fast batches are read, beside a bare parquet read of the same rows.

    python benchmarks/reader_speed.py [--rows 1000000] [--batch 4096] [--history 0]

26 categorical columns, 13 numbers and a label are written to a parquet file, fitted,
and read as batches: in memory and streamed, in order and shuffled. `bare` is
`pyarrow.parquet.read_table` of the raw file, the limit of any reader; `stock` is
`tf.data.Dataset.from_tensor_slices(...).batch(...)` of the prepared columns, on a tenth
of the rows. Lines with `(once)` are paid before the first epoch, the others in each.
`--history 50` adds two histories of 50 events, which the raw file does not hold.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from recsys.data import Categorical, FeaturePipeline, History, Numeric  # noqa: E402
from recsys.feature.schema import Column  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--history", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(raw_rows(options.rows), path)
        measure(path, options.rows, options.batch, options.history)


def raw_rows(num_rows: int) -> pa.Table:
    """Skewed ids in vocabularies of 100 to a million values, and log-normal numbers."""
    random = np.random.default_rng(0)
    columns: dict[str, np.ndarray] = {}
    for i in range(26):
        ids = random.zipf(1.2, num_rows) % 10 ** (2 + i % 5)
        columns[f"c{i}"] = ids.astype("int64") * 7919
    for i in range(13):
        columns[f"n{i}"] = random.lognormal(size=num_rows)
    columns["time"] = np.arange(num_rows)
    columns["label"] = random.integers(2, size=num_rows)
    return pa.table(columns)


def measure(path: Path, num_rows: int, batch: int, history: int) -> None:
    import tensorflow as tf

    def report(what: str, seconds: float, rows: int = num_rows) -> None:
        rate = rows / seconds / 1e6
        print(f"{what:<40}{rate:8.3f} M rows/s{rate / bare:8.2f} x bare", flush=True)

    bare = num_rows / best(lambda: pq.read_table(path)) / 1e6
    report("bare", num_rows / bare / 1e6)

    columns: list[Column] = [Categorical(f"c{i}", min_count=2) for i in range(26)]
    columns += [Numeric(f"n{i}", log1p=True, standardize=True) for i in range(13)]
    if history:
        of = ["c0", "c1"]
        columns += [History("past", of=of, length=history, user="c4", time="time")]
    pipeline = FeaturePipeline(columns, labels=["label"])
    report("fit (once)", best(lambda: pipeline.fit(path), 1))
    report("transform (once)", best(lambda: pipeline.transform(path), 1))
    for streaming in (False, True):
        for shuffle in (False, True):
            how = {"shuffle": shuffle, "streaming": streaming}
            name = ", ".join(
                ["streamed" if streaming else "in memory"] + ["shuffled"] * shuffle
            )
            start = time.perf_counter()
            dataset = pipeline.dataset(path, batch, seed=0, **how)
            report(f"{name}: dataset() (once)", time.perf_counter() - start)
            report(name, best(lambda dataset=dataset: count(dataset)))

    tenth = pipeline.dataset(path, num_rows // 10, streaming=False).take(1)
    stock = tf.data.Dataset.from_tensor_slices(next(iter(tenth))).batch(batch)
    report("stock", best(lambda: count(stock), 1), num_rows // 10)


def best(work: Callable[[], Any], times: int = 3) -> float:
    """Least seconds of several runs."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def count(dataset: Any) -> int:
    """Reads all batches to the end."""
    return sum(int(y["label"].shape[0]) for _, y in dataset)


if __name__ == "__main__":
    main()
