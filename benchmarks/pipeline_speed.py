"""Preparation of an event log, beside the same written by hand in SQL for DuckDB.

    python benchmarks/pipeline_speed.py [--events 10000000] [--rounds 4]

An event is a user, an item, its category, a time and a label, all integers, in a
parquet file in the order of time; users are skewed, with 50 events each on average, and
there are 100 thousand items. Both sides learn three vocabularies (ids by falling count)
and make, for each event in the order of the file, the three ids, the label and the ids
of the last 50 items of its user.

`ours` is `FeaturePipeline.fit` and `transform`. `SQL` is what one would write for this
very log: tables of `row_number() over (order by count(*) desc, value)`, left joins,
`list(id) over (partition by user order by time rows between 50 preceding and 1
preceding)` and an order by the number of the row, fetched as an Arrow table. It does
less than ours: its lists are not padded, its labels are not checked, and it counts on a
user having one event at a time, where ours leaves out all of the row's own time. `SQL,
any order` does not even keep the rows in order.

Each run is a process of its own; the sides take turns, and medians count. Peak memory
is that of the process above what it had after the imports. Once each, `dataset` makes
the same ready for training, in memory and in temporary files. At the end the results of
both sides are compared, number by number.

NumPy is kept from asking for huge pages (`NUMPY_MADVISE_HUGEPAGE=0`), which DuckDB does
not ask for either: a virtual machine may have to get them from its host first. `ours,
huge pages` is with them, as NumPy is by default.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from machine import claim, memory, seconds

LENGTH = 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        side, path = options.run
        print(json.dumps(RUNS[side](path)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        pq.write_table(events(options.events), path)
        measure(path, options.events, options.rounds)


def events(num: int) -> pa.Table:
    random = np.random.default_rng(0)
    users = (random.pareto(1.0, num) * num / 500).astype("int64") % (num // 50)
    items = random.zipf(1.15, num) % 100_000
    return pa.table(
        {
            "user": users * 7919,
            "item": items * 104_729,
            "category": items % 317,
            "time": 1_600_000_000 + np.cumsum(random.integers(1, 6, num)),
            "label": random.integers(0, 2, num),
        }
    )


def measure(path: Path, num: int, rounds: int) -> None:
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    order = list(found)
    for _ in range(rounds):
        for side in order:
            found[side].append(run(side, path))
        order.reverse()  # who comes next finds memory that was in use just before
    median = {
        side: {key: float(np.median([r[key] for r in runs])) for key in runs[0]}
        for side, runs in found.items()
    }
    median |= {side: run(side, path) for side in DATASETS}
    for side, values in median.items():
        print(f"{side}: {values['seconds']:.2f} s, {values['GiB']:.2f} GiB")
    print(f"equal rows: {run('compare', path)['rows']:,}")
    ratio = {side: paired(found["ours"], found[side]) for side in SIDES}
    print(f"ours over SQL in any order: {ratio['SQL, any order']:.2f}")
    huge = paired(found["ours, huge pages"], found["SQL"])
    print(f"ours with huge pages over SQL: {huge:.2f}")
    what = f"preparation of {num:,} events"
    claim(f"{what}, time over that of SQL", ratio["SQL"], at_most=1.3)
    claim(
        f"{what}, peak memory of a table or dataset",
        max(median[side]["GiB"] for side in ("ours", *DATASETS)),
        at_most=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        unit="GiB",
    )


def paired(ours: list[dict[str, float]], other: list[dict[str, float]]) -> float:
    """Median over the rounds of our time over the other's."""
    pairs = zip(ours, other, strict=True)
    return float(np.median([a["seconds"] / b["seconds"] for a, b in pairs]))


def run(side: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--run", side, str(path)]
    pages = {"NUMPY_MADVISE_HUGEPAGE": "1" if "huge" in side else "0"}
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ | pages
    )
    result: dict[str, float] = json.loads(found.stdout)
    return result


def fitted(path: str) -> Any:
    from recsys.data import Categorical, FeaturePipeline, History

    past = History("past", of=["item"], length=LENGTH, user="user", time="time")
    columns = [
        Categorical("user"),
        Categorical("item", belong="item"),
        Categorical("category", belong="item"),
        past,
    ]
    return FeaturePipeline(columns, labels=["label"]).fit(path)


def ours(path: str) -> pa.Table:
    return fitted(path).transform(path)


def dataset(path: str, streaming: bool) -> Any:
    return fitted(path).dataset(path, 4096, shuffle=True, streaming=streaming)


def sql(path: str, in_order: bool = True) -> pa.Table:
    import duckdb

    connection = duckdb.connect()
    names = ("user", "item", "category")
    for name in names:
        connection.execute(f"""
            create table ids_of_{name} as
            select {name} as value,
                (row_number() over (order by count(*) desc, {name}) + 1)::integer as id
            from '{path}' group by {name}
        """)
    joins = " ".join(
        f"left join ids_of_{name} on events.{name} = ids_of_{name}.value"
        for name in names
    )
    ids = ", ".join(f"ids_of_{name}.id as {name}" for name in names)
    made = f"""
        select {ids}, file_row_number, label::float as label,
            list(ids_of_item.id) over (
                partition by events.user order by time
                rows between {LENGTH} preceding and 1 preceding
            ) as past_item
        from read_parquet('{path}', file_row_number = true) as events {joins}
    """
    query = f"select {', '.join(names)}, past_item, label from ({made})"
    if in_order:
        query += " order by file_row_number"
    return connection.sql(query).to_arrow_table()


def compare(path: str) -> dict[str, float]:
    """Raises unless both give the same rows."""
    mine, theirs = ours(path), sql(path)
    for name in ("user", "item", "category", "label"):
        assert mine[name].equals(theirs[name].cast(mine[name].type)), name
    for start in range(0, len(mine), 2**20):
        some = mine["past_item"].slice(start, 2**20).combine_chunks()
        padded = some.flatten().to_numpy().reshape(-1, LENGTH)
        lists = theirs["past_item"].slice(start, 2**20).combine_chunks()
        lengths = pa.compute.list_value_length(lists).fill_null(0).to_numpy()
        valid = np.arange(LENGTH) < lengths[:, None]
        assert (padded[valid] == lists.flatten().to_numpy()).all()
        assert not padded[~valid].any()
    return {"rows": len(mine)}


def timed(make: Callable[[str], Any]) -> Callable[[str], dict[str, float]]:
    def run(path: str) -> dict[str, float]:
        import duckdb  # noqa: F401
        import ibis.backends.duckdb.converter  # noqa: F401

        import recsys.data.fitting
        import recsys.data.history
        import recsys.data.source  # noqa: F401

        if make in DATASETS.values():
            import tensorflow  # noqa: F401

        before = memory()
        made = []
        taken = seconds(lambda: made.append(make(path)))
        return {"seconds": taken, "GiB": (memory("VmHWM") - before) / 2**30}

    return run


SIDES: dict[str, Callable[[str], Any]] = {
    "ours": ours,
    "SQL": sql,
    "ours, huge pages": ours,
    "SQL, any order": lambda path: sql(path, in_order=False),
}
DATASETS: dict[str, Callable[[str], Any]] = {
    "ours, dataset in memory": lambda path: dataset(path, streaming=False),
    "ours, dataset streamed": lambda path: dataset(path, streaming=True),
}
RUNS = {side: timed(make) for side, make in (SIDES | DATASETS).items()}
RUNS["compare"] = compare


if __name__ == "__main__":
    main()
