"""One pipeline, used by many threads at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data import Categorical, FeaturePipeline, History, MultiValue, Numeric
from recsys.data.reader import as_arrow
from recsys.data.synthetic import click_log
from recsys.data.writing import temporary_folder

LOG = as_arrow(click_log(300))
LOG = LOG.append_column("tags", [[["a", "b", "c"][: i % 4] for i in range(300)]])


def fitted(connection: Any = None, data: Any = LOG) -> FeaturePipeline:
    columns = [
        Categorical("item_id", belong="item"),
        Numeric("price", standardize=True),
        MultiValue("tags", length=2),
        History("seen", of=["item_id"], length=3, user="user_id", time="timestamp"),
    ]
    return FeaturePipeline(columns, ["label"], connection=connection).fit(data)


def all_at_once(call: Callable[[int], Any], calls: int = 40) -> list[Any]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(call, range(calls)))


@pytest.mark.parametrize("kind", ["frame", "file", "log beside"])
def test_threads_share_a_pipeline(kind: str, tmp_path: Path) -> None:
    pipeline = fitted()

    def rows(i: int) -> pa.Table:
        return LOG.slice(5 * i, 20)

    def transform(i: int) -> pa.Table:
        if kind == "frame":
            return pipeline.transform(rows(i))
        if kind == "log beside":
            return pipeline.transform(rows(i), events=LOG)
        return pipeline.transform(tmp_path / f"{i}.parquet")

    for i in range(40):
        pq.write_table(rows(i), tmp_path / f"{i}.parquet")
    for found, wanted in zip(
        all_at_once(transform), map(transform, range(40)), strict=True
    ):
        assert found.equals(wanted)


@pytest.mark.parametrize("kind", ["frame", "table", "view", "memtable"])
def test_threads_share_the_connection_of_the_user(kind: str, tmp_path: Path) -> None:
    connection = ibis.duckdb.connect(tmp_path / "events.db")
    pq.write_table(LOG, tmp_path / "log.parquet")
    data = {
        "frame": LOG,
        "table": connection.create_table("log", ibis.memtable(LOG)),
        "view": connection.read_parquet(tmp_path / "log.parquet"),
        "memtable": ibis.memtable(LOG),
    }[kind]
    pipelines = [fitted(connection, data) for _ in range(2)]
    wanted = fitted().transform(LOG)
    found = all_at_once(lambda i: pipelines[i % 2].transform(data))
    assert all(table.equals(wanted) for table in found)


@pytest.mark.parametrize("streaming", [False, True])
def test_threads_make_and_read_datasets(streaming: bool) -> None:
    pipeline = fitted()

    def prices(_: int) -> np.ndarray:
        dataset = pipeline.dataset(LOG, batch_size=64, streaming=streaming)
        return np.concatenate([x["price"] for x, _ in dataset])

    wanted = prices(0)
    for found in all_at_once(prices, calls=16):
        np.testing.assert_array_equal(found, wanted)


def test_threads_that_make_folders_do_not_take_each_others() -> None:
    """Nothing warns of one that was taken as it was made."""

    def make(_: int) -> bool:
        with temporary_folder() as folder:
            return Path(folder).is_dir()

    assert all(all_at_once(make, calls=800))


def test_threads_ask_for_a_connection_first_together() -> None:
    pipeline = FeaturePipeline([Categorical("c")])
    found = all_at_once(lambda _: pipeline.connection)
    assert len({id(connection) for connection in found}) == 1


def test_views_do_not_stay_in_the_connection_of_the_user(tmp_path: Path) -> None:
    connection = ibis.duckdb.connect()
    table = connection.create_table("log", ibis.memtable(LOG))
    pq.write_table(LOG, tmp_path / "log.parquet")
    own = connection.read_parquet(tmp_path / "log.parquet")
    frame = ibis.memtable(LOG)

    def views() -> set[str]:
        names = "select view_name from duckdb_views() where not internal"
        return {name for (name,) in connection.con.sql(names).fetchall()}

    before = views()
    pipeline = fitted(connection, table)
    for data in (table, own):
        for events in (None, LOG, tmp_path / "log.parquet", table):
            wanted = pipeline.transform(data, events=events)
            assert wanted.num_rows == len(LOG)
    pipeline.dataset(table, 64)
    with pytest.raises(ValueError, match="must be of type"):
        pipeline.transform(table.mutate(item_id=ibis.literal("a")))
    assert views() == before
    for _ in range(2):  # what is the user's stays readable
        assert pipeline.transform(frame).equals(wanted)
        assert connection.to_pyarrow(frame).num_rows == len(LOG)
        assert connection.to_pyarrow(own).num_rows == len(LOG)
    assert len(views() - before) == 1


def test_frames_do_not_stay_in_the_connection() -> None:
    pipeline = fitted()

    def views() -> list[Any]:
        return pipeline.connection.con.sql("select * from duckdb_views()").fetchall()

    before = views()
    for _ in range(3):
        pipeline.transform(LOG)
    assert views() == before
