"""Model input in folders of parquet parts."""

from pathlib import Path

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
    MultiValue,
    Numeric,
    as_columns,
)
from recsys.data import written as written_module

ROWS = 700


def log() -> pa.Table:
    """Events with all that a column can have; many of one user are at one time."""
    random = np.random.default_rng(3)
    drawn = random.integers(0, 7, (2, ROWS))
    return pa.table(
        {
            "user": pa.array(random.integers(0, 25, ROWS), mask=drawn[0] == 0),
            "time": pa.array(random.integers(0, 90, ROWS), mask=drawn[1] == 0),
            "film": [f"f{film}" for film in random.integers(0, 40, ROWS)],
            "genres": [["a|b|c", "b", "", "c|a"][i % 4] for i in range(ROWS)],
            "scores": ["1|2|3", "4", "", "5|6"] * (ROWS // 4),
            "price": random.normal(size=ROWS),
            "kind": random.integers(0, 3, ROWS),
            "seen": pa.array(random.integers(0, 2, ROWS), mask=drawn[0] == 1),
            "weight": random.random(ROWS),
        }
    )


COLUMNS = [
    Categorical("film", belong="item", min_count=3),
    Hashed("hashed", source="film", num_buckets=5),
    Numeric("price", standardize=True),
    Bucketed("price_bucket", source="price", num_buckets=4),
    MultiValue("genres", belong="item", length=2, separator="|", weight="scores"),
    History(
        "past",
        of=["film", "genres", "price_bucket"],
        length=3,
        user="user",
        time="time",
        ages=9,
        session_gap=5,
    ),
    History(
        "liked", of=["film"], length=4, user="user", time="time", where={"kind": 1}
    ),
]


def same(got: pa.Table, wanted: pa.Table) -> None:
    """Equal to the last bit; a label that is missing is NaN, which equals itself."""
    assert got.column_names == wanted.column_names
    columns = as_columns(got)
    for name, values in as_columns(wanted).items():
        assert columns[name].dtype == values.dtype
        np.testing.assert_array_equal(columns[name], values)


@pytest.fixture(scope="module")
def pipeline() -> FeaturePipeline:
    made = FeaturePipeline(
        COLUMNS, ["seen"], sample_weight="weight", groups={"of_user": "user"}
    )
    return made.fit(log())


def shrink(monkeypatch) -> None:
    """Makes blocks and parts so small that events of one time lie in several."""
    monkeypatch.setattr("recsys.data.history.SORTED_ROWS", 37)
    monkeypatch.setattr("recsys.data.prepared.READ_ROWS", 101)
    monkeypatch.setattr(written_module, "READ_ROWS", 83)
    monkeypatch.setattr(written_module, "PART_ROWS", 150)


@pytest.mark.parametrize("events", [None, "others"])
@pytest.mark.parametrize("files", [True, False])
def test_parts_are_what_transform_returns(
    pipeline, monkeypatch, tmp_path, events, files
):
    rows, others = log(), None
    if events:
        others = rows.slice(200)
        rows = rows.slice(0, 300)
    wanted = pipeline.transform(rows, events=others)  # in one block
    shrink(monkeypatch)
    if files:
        for name, table in (("rows", rows), ("others", others or rows)):
            pq.write_table(table, tmp_path / f"{name}.parquet")
        rows, others = tmp_path / "rows.parquet", events and tmp_path / "others.parquet"
    pipeline.write(rows, tmp_path / "input", events=others)
    parts = sorted((tmp_path / "input").iterdir())
    assert [part.name for part in parts][:2] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    got = pa.concat_tables(pq.read_table(part) for part in parts)
    same(got, wanted)
    assert got.schema.field("past_genres").type.list_size == 3


def test_histories_by_hand(tmp_path):
    columns = [
        Categorical("item"),
        History("past", of=["item"], length=2, user="user", time="time", ages=5),
    ]
    rows = {
        "user": [1, 1, 1, 1, 2, 1],
        "time": [5, 5, 7, 8, 6, 9],
        "item": ["a", "b", "c", "a", "a", "c"],
    }
    pipeline = FeaturePipeline(columns).fit(rows)
    pipeline.write(rows, tmp_path / "input")
    got = pq.read_table(tmp_path / "input")
    assert got["item"].to_pylist() == [2, 4, 3, 2, 2, 3]  # by count: a, c, b
    assert got["past_item"].to_pylist() == [
        [0, 0],
        [0, 0],  # the same time: neither sees the other
        [2, 4],
        [4, 3],
        [0, 0],
        [3, 2],
    ]
    assert got["past_age"].to_pylist()[2:4] == [[2, 2], [3, 2]]  # 1 + log2(1 + 3) = 3


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("name", ["input", "rows.parquet"])
def test_datasets_of_files_are_those_of_the_rows(
    pipeline, monkeypatch, tmp_path, name, streaming
):
    wanted = pipeline.transform(log())
    in_memory = pipeline.dataset(log(), 64)
    shrink(monkeypatch)
    pq.write_table(log(), tmp_path / "rows.parquet")
    pipeline.write(log(), tmp_path / "input")
    got = pipeline.dataset(tmp_path / name, 64, streaming=streaming)
    assert got.recsys_rows == in_memory.recsys_rows  # a checksum among them
    assert got.recsys_fingerprint == in_memory.recsys_fingerprint
    x, y, weight = zip(*got, strict=True)
    columns = {name: np.concatenate([each[name] for each in x]) for name in x[0]}
    columns["seen"] = np.concatenate([each["seen"] for each in y])
    columns["sample_weight"] = np.concatenate(weight)
    assert {*columns} == {*wanted.column_names}
    for column, values in as_columns(wanted).items():
        np.testing.assert_array_equal(columns[column], values)


def test_rows_without_labels(pipeline, tmp_path):
    rows = log().drop(["seen", "weight"])
    pipeline.write(rows, tmp_path / "input")
    assert isinstance(next(iter(pipeline.dataset(tmp_path / "input", 8))), dict)


def test_another_pipeline_is_refused(pipeline, tmp_path):
    pipeline.write(log(), tmp_path / "input")
    other = FeaturePipeline(COLUMNS, ["seen"], "weight", {"of_user": "user"})
    other.fit(log().slice(0, 500))
    with pytest.raises(ValueError, match="part-00000.parquet must be written by this"):
        other.dataset(tmp_path / "input", 8)
    unlabelled = FeaturePipeline(COLUMNS, ["kind"], groups={"of_user": "user"})
    unlabelled.fit(log().set_column(6, "kind", [log()["seen"]]))
    unlabelled._fitted = pipeline._fitted
    with pytest.raises(ValueError, match="must have the columns"):
        unlabelled.dataset(tmp_path / "input", 8)


def test_a_part_that_is_lost_is_missed(pipeline, monkeypatch, tmp_path):
    shrink(monkeypatch)
    pipeline.write(log(), tmp_path / "input")
    (tmp_path / "input" / "part-00004.parquet").unlink()
    with pytest.raises(ValueError, match="must have 700 rows .* 600 rows in 4 parts"):
        pipeline.dataset(tmp_path / "input", 8)
    (tmp_path / "input" / "part-00002.parquet").unlink()
    wrong = r"part-00003.parquet, which is part 3, in place 2"
    with pytest.raises(ValueError, match=wrong):
        pipeline.dataset(tmp_path / "input", 8)


def test_parts_of_others_are_refused(pipeline, monkeypatch, tmp_path):
    shrink(monkeypatch)
    for name in ("one", "two"):
        pipeline.write(log(), tmp_path / name)
    part = tmp_path / "one" / "part-00001.parquet"
    kept = part.read_bytes()
    part.write_bytes((tmp_path / "two" / "part-00001.parquet").read_bytes())
    with pytest.raises(ValueError, match="parts of one `write`. Received: parts of 2"):
        pipeline.dataset(tmp_path / "one", 8)
    part.write_bytes((tmp_path / "one" / "part-00002.parquet").read_bytes())
    with pytest.raises(ValueError, match="which is part 2, in place 1"):
        pipeline.dataset(tmp_path / "one", 8)
    part.write_bytes(kept)
    assert pipeline.dataset(tmp_path / "one", 8).recsys_rows[0] == 700


def test_it_is_read_as_nothing_else(pipeline, tmp_path):
    pipeline.write(log(), tmp_path / "input")
    for read in (pipeline.transform, pipeline.fit):
        with pytest.raises(ValueError, match="part-00000.parquet must be of raw rows"):
            read(tmp_path / "input")
    with pytest.raises(ValueError, match="events must be left out"):
        pipeline.dataset(tmp_path / "input", 8, events=log())


def test_whole_or_not_at_all(pipeline, monkeypatch, tmp_path):
    pipeline.write(log(), tmp_path / "input")
    before = pq.read_table(tmp_path / "input")

    def fails(*_, **__):
        raise OSError("No space left")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", fails)
        with pytest.raises(OSError, match="No space left"):
            pipeline.write(log().slice(0, 10), tmp_path / "input")
    same(pq.read_table(tmp_path / "input"), before)
    pipeline.write(log().slice(0, 10), tmp_path / "input")
    assert len(pq.read_table(tmp_path / "input")) == 10
    assert [path.name for path in tmp_path.iterdir()] == ["input"]
    (tmp_path / "input" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="notes.txt"):
        pipeline.write(log(), tmp_path / "input")


def test_before_fit(tmp_path: Path):
    with pytest.raises(RuntimeError, match="fit must be called before write"):
        FeaturePipeline([Categorical("film")]).write(log(), tmp_path / "input")
