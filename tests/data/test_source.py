"""Files that are missing, empty, broken or ambiguous: one error that names them."""

import gzip
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data import Categorical, FeaturePipeline
from recsys.data.source import open_source

CONNECTION = ibis.duckdb.connect()
TABLE = pa.table({"item": ["a", "b", "a"], "price": [1.0, 2.0, 3.0]})


def read(data) -> list[dict]:
    return CONNECTION.to_pyarrow(open_source(data, CONNECTION, {}).table).to_pylist()


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(TABLE, path)
    return path


def test_every_kind_of_data(tmp_path: Path, parquet: Path) -> None:
    frame = TABLE.to_pandas()
    for name in ("rows.csv", "rows.csv.gz"):
        frame.to_csv(tmp_path / name, index=False)
    frame.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    rows = TABLE.to_pylist()
    for data in (
        TABLE,
        frame,
        {"item": np.array(["a", "b", "a"]), "price": np.array([1.0, 2.0, 3.0])},
        ibis.memtable(TABLE),
        parquet,
        str(parquet),
        str(tmp_path / "*.parquet"),
        tmp_path / "rows.csv",
        tmp_path / "rows.csv.gz",
        tmp_path / "rows.tsv",
    ):
        assert read(data) == rows
    assert read([parquet, parquet]) == rows + rows


def test_patterns_read_files_in_order_of_name(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        pq.write_table(pa.table({"a": [i]}), tmp_path / f"{i}.parquet")
    assert read(tmp_path / "*.parquet") == [{"a": 0}, {"a": 1}, {"a": 2}]


def test_name_with_brackets(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "part[1].parquet")
    assert read(tmp_path / "part[1].parquet") == TABLE.to_pylist()


def test_no_file(tmp_path: Path) -> None:
    for name in ("*.parquet", "rows.parquet"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            read(tmp_path / name)


def test_empty_file(tmp_path: Path) -> None:
    for name in ("rows.parquet", "rows.csv"):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=f"{name} must not be empty"):
            read(tmp_path / name)


def test_unknown_and_mixed_endings(tmp_path: Path, parquet: Path) -> None:
    (tmp_path / "rows.json").write_text("{}")
    (tmp_path / "rows.csv").write_text("a\n1\n")
    for data in (tmp_path / "rows.json", [parquet, tmp_path / "rows.csv"]):
        with pytest.raises(ValueError, match="Files must all end in one of"):
            read(data)


def test_file_that_is_no_parquet(tmp_path: Path, parquet: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(parquet.read_bytes()[:-20])
    with pytest.raises(ValueError, match=f"Cannot read {broken} as parquet: "):
        read([parquet, broken])


def test_parquet_with_a_broken_page_is_named(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    table = pa.table({"a": random.integers(1000, size=100_000)})
    good, broken = tmp_path / "good.parquet", tmp_path / "broken.parquet"
    for path in (good, broken):
        pq.write_table(table, path, compression="zstd")
    content = bytearray(broken.read_bytes())
    content[2000:60_000] = bytes(58_000)
    broken.write_bytes(content)
    with pytest.raises(ValueError, match=f"Cannot read {broken}: "):
        FeaturePipeline([Categorical("a")]).fit([good, broken])


def test_broken_gzip(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(b"no gzip")
    with pytest.raises(ValueError, match=f"Cannot read {path} as CSV: "):
        read(path)


def test_csv_that_changes_its_mind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,2\n" * 30_000 + "x,3\n")
    with pytest.raises(ValueError, match=f"Cannot read {path}: Conversion Error"):
        FeaturePipeline([Categorical("a")]).fit(path)


def test_duplicate_names(tmp_path: Path) -> None:
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "A"])
    pq.write_table(twice, tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text('"a";b;"a"\n1;2;3\n')
    with gzip.open(tmp_path / "rows.csv.gz", "wt") as file:
        file.write("a,b,a\n1,2,3\n")
    for name in ("rows.parquet", "rows.csv", "rows.csv.gz"):
        with pytest.raises(ValueError, match=f"{name} must have columns of different"):
            read(tmp_path / name)


def test_texts_stay_texts_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("zip,age\n1234,5\n")
    table = open_source(path, CONNECTION, {"zip": "string", "absent": "string"}).table
    assert CONNECTION.to_pyarrow(table).to_pylist() == [{"zip": "1234", "age": 5}]


def test_csv_of_digits_after_a_csv_of_letters(tmp_path: Path) -> None:
    pd.DataFrame({"zip": ["V3N4P", "1234"]}).to_csv(tmp_path / "fit.csv", index=False)
    pd.DataFrame({"zip": [1234, 99]}).to_csv(tmp_path / "new.csv", index=False)
    pipeline = FeaturePipeline([Categorical("zip")]).fit(tmp_path / "fit.csv")
    assert pipeline.transform(tmp_path / "new.csv")["zip"].to_pylist() == [2, 1]
