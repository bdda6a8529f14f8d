"""Files that are missing, empty, broken or ambiguous: one error that names them."""

import gzip
from pathlib import Path

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.data import Categorical, FeaturePipeline, Numeric
from recsys.data.source import open_source

CONNECTION = ibis.duckdb.connect()
TABLE = pa.table({"item": ["a", "b", "a"], "price": [1.0, 2.0, 3.0]})


def read(data, *names: str) -> list[dict]:
    table = open_source(data, CONNECTION, dict.fromkeys(names, "")).table
    return CONNECTION.to_pyarrow(table).to_pylist()


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
        assert read(data, "item", "price") == rows
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
    json, csv = tmp_path / "rows.json", tmp_path / "rows.csv"
    for data, named in (
        (json, f"{json}$"),
        ([parquet, csv, parquet], f"{csv} beside {parquet}, {parquet}$"),
        ([parquet, json], f"{json} beside {parquet}$"),
    ):
        with pytest.raises(ValueError, match=f"all end in one of .*Received: {named}"):
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


def test_csv_that_changes_its_mind_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "1,2\n" * 30_000 + "x,3\n")
    pipeline = FeaturePipeline([Categorical("a")]).fit(path)
    assert pipeline.vocabulary("a")["value"].to_pylist() == ["1", "x"]
    pipeline.fit({"a": [1, 2]})
    error = f"{path}: column 'a' must hold integers. Received: 'x' in row 30000"
    with pytest.raises(ValueError, match=error):
        pipeline.transform(path)


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
    columns = {"zip": "string", "absent": "string", "age": ""}
    table = open_source(path, CONNECTION, columns).table
    assert CONNECTION.to_pyarrow(table).to_pylist() == [{"zip": "1234", "age": 5}]


def test_csv_of_digits_after_a_csv_of_letters(tmp_path: Path) -> None:
    pd.DataFrame({"zip": ["V3N4P", "1234"]}).to_csv(tmp_path / "fit.csv", index=False)
    pd.DataFrame({"zip": [1234, 99]}).to_csv(tmp_path / "new.csv", index=False)
    pipeline = FeaturePipeline([Categorical("zip")]).fit(tmp_path / "fit.csv")
    assert pipeline.transform(tmp_path / "new.csv")["zip"].to_pylist() == [2, 1]


def test_a_path_that_exists_is_that_path(tmp_path: Path) -> None:
    for name in ("b[1]", "b1", "c*", "cc", "d?", "dd", "[[]", "e{1,2}"):
        pq.write_table(pa.table({"a": [name]}), tmp_path / f"{name}.parquet")
        (tmp_path / f"{name}.csv").write_text(f'a\n"{name}"\n')
    for name in ("b[1]", "c*", "d?", "[[]", "e{1,2}"):
        for ending in ("parquet", "csv"):
            path = tmp_path / f"{name}.{ending}"
            assert read(path) == [{"a": name}]
            assert read([path, path]) == [{"a": name}] * 2
    assert read(tmp_path / "b[[]1].parquet") == [{"a": "b[1]"}]
    assert read(tmp_path / "b[12].parquet") == [{"a": "b1"}]


@pytest.mark.parametrize("name", ["day", "rows.parquet", "a[1]"])
def test_a_folder_is_its_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for i in (1, 0):
        pq.write_table(pa.table({"a": [i]}), folder / f"part-{i}.parquet")
    for other in ("_SUCCESS", ".part-0.parquet.crc", "_metadata.parquet"):
        (folder / other).touch()
    assert read(folder) == read([str(folder)]) == [{"a": 0}, {"a": 1}]
    if name != "a[1]":
        assert read(tmp_path / f"{name[0]}*") == [{"a": 0}, {"a": 1}]


def test_folders_that_are_no_data(tmp_path: Path) -> None:
    nested = tmp_path / "all" / "day=1"
    nested.mkdir(parents=True)
    with pytest.raises(ValueError, match=f"Folder {nested} must .* Received: no files"):
        read(nested)
    pq.write_table(pa.table({"a": [1]}), nested / "0.parquet")
    with pytest.raises(ValueError, match=f"Folder .*all must .* Received: {nested}"):
        read(tmp_path / "all")
    assert read(tmp_path / "all" / "**" / "*.parquet") == [{"a": 1}]


def test_no_path_is_no_folder() -> None:
    with pytest.raises(FileNotFoundError, match="There is no file ''"):
        read("")


def test_nothing_is_no_data() -> None:
    pipeline = FeaturePipeline([Numeric("a")]).fit({"a": [1.0]})
    for nothing in ([], ()):
        with pytest.raises(ValueError, match=r"The data must have rows, .*: \[\]"):
            pipeline.transform(nothing)


ROWS = "".join(f"{i},{i % 7}\n" for i in range(30_000))
CSVS = {
    "a,b\n1,2\nx,3\n": ["column 'a' must hold numbers. Received: 'x' in row 1"],
    f"a,b\n{ROWS}x,3\n": ["column 'a' must hold numbers", "'x' in row 30000"],
    "a,b\n1,2\n1,2,3,4\n": ["Line: 3", "1,2,3,4", "Columns: 2 Found: 3"],
    "a,b\n1,2\n1\n1,2\n": ["Line: 3", "Original Line: 1", "Columns: 2 Found: 1"],
    f"a,b\n{ROWS}1\n": ["Line: 30002", "Columns: 2 Found: 1"],
    f"a,b\n{ROWS}1,2,3\n": ["Line: 30002", "Columns: 2 Found: 3"],
    f'a,b\n1,"{"long " * 99_999}\n': ["quote"],
    "b,c\n1,2\n": ["Numeric 'a'", "must have a column 'a'", "b, c"],
    "a,b\n": ["must have rows", "none"],
    "a,b\n5,3\n": ["Label 'b'", "0, 1 or missing", "3.0 (in 1 of"],
}


@pytest.mark.parametrize("text", CSVS, ids=lambda text: text[:30])
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_mistakes_in_csv_files_are_found(
    tmp_path: Path, text: str, ending: str
) -> None:
    good, path = tmp_path / "good.csv", tmp_path / f"rows.{ending}"
    good.write_text("a,b\n1,1\n")
    with (gzip.open if ending == "csv.gz" else open)(path, "wt") as file:
        file.write(text)
    pipeline = FeaturePipeline([Numeric("a")], ["b"])
    several = [path] if CSVS[text][-1] in ("b, c", "none") else [good, path]
    for files in ([path], several, several[::-1]):
        with pytest.raises(ValueError) as error:
            pipeline.fit(files)
        for part in (str(path), *CSVS[text]):
            assert part in str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 800


def test_values_are_no_comments_and_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [f"#{i % 3},{i}" for i in range(30)] + ['"a,""b""",30', 'c"d,31']
    path.write_text("\n".join(["#colour,n", *rows]) + "\n")
    found = [row["#colour"] for row in read(path)]
    assert found == [f"#{i % 3}" for i in range(30)] + ['a,"b"', 'c"d']


@pytest.mark.parametrize("lines", ["", "\n", "\n \n\n"])
def test_empty_lines_above_the_names_are_no_rows(tmp_path: Path, lines: str) -> None:
    (tmp_path / "a.csv").write_text(f"{lines}a,b\nx,y\n")
    (tmp_path / "b.csv").write_text("a,b\nz,1\n")
    assert read(tmp_path / "a.csv") == [{"a": "x", "b": "y"}]
    found = CONNECTION.to_pyarrow(
        open_source(tmp_path / "*.csv", CONNECTION, {"a": "", "b": ""}).table
    )
    assert found.to_pydict() == {"a": ["x", "z"], "b": ["y", "1"]}


@pytest.mark.parametrize("harm", ["cut", "checksum", "bytes"])
def test_compressed_files_are_read_to_their_checksum(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "rows.csv.gz"
    content = bytearray(gzip.compress(f"a,b\n{ROWS}".encode()))
    if harm == "cut":
        content = content[: len(content) // 2]
    if harm == "checksum":
        content[-8] ^= 255
    if harm == "bytes":
        content[1000:1200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"Cannot read {path} as CSV: "):
        FeaturePipeline([Numeric("a")], ["b"]).fit(path)


def test_parquet_mistakes_name_file_and_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for values, text in (
        (pa.array([b"x"], pa.binary(1)), "column 'a' must be of a type that engines"),
        (pa.array(["x"]), "Numeric 'a': raw column 'a' must be of type integer"),
        (pa.array([{"x": 1}]), "Numeric 'a': raw column 'a' must be of type integer"),
        (pa.array([None], pa.float64()), "Numeric 'a': values must be finite"),
    ):
        pq.write_table(pa.table({"a": values}), path)
        with pytest.raises(ValueError, match=f"{path}: {text}"):
            FeaturePipeline([Numeric("a")]).fit(path)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
@pytest.mark.parametrize("folder", ["label=1", "a=z/b", "LABEL=1"])
def test_names_of_folders_are_no_values(
    tmp_path: Path, folder: str, ending: str
) -> None:
    rows = {"a": ["x", "y", "x", "y"], "label": [0, 1, 0, 1]}
    path = tmp_path / folder / f"rows.{ending}"
    path.parent.mkdir(parents=True)
    if ending == "csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        pq.write_table(pa.table(rows), path)
    pipeline = FeaturePipeline([Categorical("a")], ["label"])
    for files in (path, [path, path], tmp_path / "**" / f"*.{ending}"):
        found = pipeline.fit(files).transform(files).to_pydict()
        assert found["a"][:4] == [2, 3, 2, 3]
        assert found["label"][:4] == [0.0, 1.0, 0.0, 1.0]


def test_a_column_that_only_folders_have_is_none(tmp_path: Path) -> None:
    path = tmp_path / "day=5" / "rows.parquet"
    path.parent.mkdir()
    pq.write_table(TABLE, path)
    with pytest.raises(ValueError, match="the data must have a column 'day'"):
        FeaturePipeline([Categorical("day")]).fit(path)


def test_names_over_several_lines_and_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    pipeline = FeaturePipeline([Categorical("a", source="a\nb")], ["label"])
    path.write_text('"","a\nb",label\n0,x,1\n1,y,0\n')
    found = pipeline.fit(path).transform(path).to_pydict()
    assert found == {"a": [2, 3], "label": [1.0, 0.0]}


@pytest.mark.parametrize("name", ["s3:x", "http:x", "file:x"])
def test_a_name_is_no_address(tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.csv").write_text("item\na\n")
    pq.write_table(TABLE, tmp_path / f"{name}.parquet")
    assert read(f"{name}.parquet") == TABLE.to_pylist()
    assert read(f"{name}.csv", "item") == [{"item": "a"}]
