"""CSV files: what texts stand for does not depend on the rows or files beside them."""

import datetime
import hashlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from recsys.data import (
    Bucketed,
    Categorical,
    FeaturePipeline,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
)
from recsys.data.source import open_source

UTC = datetime.UTC
BUCKETS = 2**20
HISTORY = History("h", of=["i"], length=4, user="u", time="t")


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def read(path: Path, names: str = "a") -> dict[str, list[Any]]:
    here = ibis.duckdb.connect()
    table = open_source(path, here, dict.fromkeys(names, "")).table
    found: dict[str, list[Any]] = here.to_pyarrow(table.select(*names)).to_pydict()
    return found


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


DAY, TEN = datetime.date(2024, 1, 5), instant("2024-01-05 10:00:00")
LOOKS: dict[str, tuple[list[str], Any]] = {
    "date": (["2024-01-05"], [DAY]),
    "time": (["2024-01-05 10:00:00"], [TEN]),
    "T": (["2024-01-05T10:00:00"], [TEN]),
    "minutes": (["2024-01-05T10:00"], [TEN]),
    "fractions": (
        ["2024-01-05 10:00:00.5", "2024-01-05T10:00:00.123456", "2024-01-05 10:00:00"],
        [instant("2024-01-05T10:00:00.500000"), instant("2024-01-05T10:00:00.123456"),
         TEN],
    ),
    "Z": (["2024-01-05T10:00:00Z"], [TEN.replace(tzinfo=UTC)]),
    "offset": (
        ["2024-01-05 10:00:00+08:00", "2024-01-05T10:00:00.5+0800",
         "2024-01-05 10:00-03"],
        [instant("2024-01-05T02:00:00Z"), instant("2024-01-05T02:00:00.500000Z"),
         instant("2024-01-05T13:00:00Z")],
    ),
    "days and times": (["2024-01-05", "2024-01-05 10:00:00"], str),
    "some zones": (["2024-01-05T10:00:00", "2024-01-05T10:00:00Z"], str),
    "d/m": (["01/05/2024", "01/03/2024"], str),
    "m/d": (["12/25/2023"], str),
    "dashes": (["13-05-2024"], str),
    "two digits": (["24-01-05"], str),
    "slashes": (["2024/01/05"], str),
    "no such day": (["2024-02-30"], str),
    "words": (["epoch", "infinity"], str),
    "hours": (["10:00:00"], str),
    "name of a zone": (["2024-01-05 10:00:00 UTC"], str),
    "integers": (["1", "-2", "0", " 5 "], [1, -2, 0, 5]),
    "zeros": (["007", "7"], str),
    "pluses": (["+7", "7"], str),
    "floats": (
        ["1", "-2.5", ".5", "0.50", "5.", "nan"],
        [1.0, -2.5, 0.5, 0.5, 5.0, np.nan],
    ),
    "exponents": (["1e5", "10e4", "100000"], str),
    "zeros of floats": (["00.5"], str),
    "flags": (["true", "False", "TRUE"], [True, False, True]),
    "flags and integers": (["true", "1"], str),
    "integers and text": (["1", "x"], str),
    "beyond 64 bits": (["9223372036854775808", "5"], str),
    "underscores": (["1_000"], str),
    "dots": (["1.5.2"], str),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOOKS)
@pytest.mark.parametrize("missing", [False, True])
def test_what_texts_look_like(tmp_path: Path, kind: str, missing: bool) -> None:
    texts, wanted = LOOKS[kind]
    wanted = texts if wanted is str else wanted
    gap, none = ([""], [None]) if missing else ([], [])
    path = write(tmp_path / "a.csv", "a,b", *(f"{text},1" for text in [*gap, *texts]))
    found = read(path)["a"]
    found = [v.astimezone(UTC) if getattr(v, "tzinfo", 0) else v for v in found]
    np.testing.assert_equal(found, [*none, *wanted])


def test_integers_with_a_point_beside_text_are_refused(tmp_path: Path) -> None:
    text = write(tmp_path / "a.csv", "a,b", "7,1", "x,1")
    point = write(tmp_path / "b.csv", "a,b", "7.0,1", ",1")
    for files in ([text, point], [point, text]):
        with pytest.raises(ValueError, match="'a': integers must .* alike .*7.0 would"):
            read(files)
    write(tmp_path / "a.csv", "a,b", "7,1")
    write(tmp_path / "b.csv", "a,b", "7.0,1", "x,1")
    for files in ([text, point], [point, text]):
        with pytest.raises(ValueError, match=f"integers in {text}, .* in {point}"):
            read(files)
    one = write(tmp_path / "one.csv", "a,b", "7.0,1", "7,1", "7.1.2,1")
    assert read([one])["a"] == ["7.0", "7", "7.1.2"]  # as it is written
    both = write(tmp_path / "both.csv", "a,b", "7.0,1", "7,1")
    write(tmp_path / "a.csv", "a,b", "x,1")
    for files in ([text, both], [both, text]):
        with pytest.raises(ValueError, match=f"integers in {both}, .* in {both}"):
            read(files)
    write(tmp_path / "a.csv", "a,b", "7,1", "x,1")
    write(tmp_path / "b.csv", "a,b", "1.5,1", ",1")
    assert read([text, point])["a"] == ["7", "x", "1.5", None]
    write(tmp_path / "b.csv", "a,b", "7,1", ",1")
    assert sorted(read([text, point])["a"], key=str) == ["7", "7", None, "x"]
    write(tmp_path / "a.csv", "a,b", "1.5b,1")
    write(tmp_path / "b.csv", "a,b", "1.5,1")
    assert read([text, point])["a"] == ["1.5b", "1.5"]


@pytest.mark.parametrize(
    "column", [Numeric("i"), Numeric("i", fill=0.0), Bucketed("i", edges=[3]), "y", "w"]
)
@pytest.mark.parametrize(
    ("text", "good"), [("NULL", "1"), (r"\N", "true"), ("1,5", "1")]
)
def test_fit_reads_all_numbers(
    tmp_path: Path, text: str, column: Any, good: str
) -> None:
    name = column if isinstance(column, str) else "i"
    columns = [Categorical("c"), *([] if column in ("y", "w") else [column])]
    pipeline = FeaturePipeline(
        columns,
        ["y"] if column == "y" else [],
        sample_weight="w" if column == "w" else None,
    )
    for file in "ab":
        write(tmp_path / f"{file}.csv", f"c,{name}", f"7,{good}")
    several = f'"several\nlines",{good}', ",", f'x,"{text}"', "x,z"
    bad = write(tmp_path / "c.csv", f"c,{name}", *several)
    wanted = f"{bad}: column '{name}' must hold numbers. Received: {text!r} in row 2"
    for files in (bad, tmp_path):
        with pytest.raises(ValueError, match=re.escape(wanted)):
            pipeline.fit(files)


def test_numbers_are_read_as_they_were(tmp_path: Path) -> None:
    texts = [" 7 ", "+7", "007", "1e5", "1_0", ".5", "inf", "nan", "-Infinity"]
    path = write(tmp_path / "a.csv", "i,j", *(f"{text},1" for text in texts))
    found = FeaturePipeline([Numeric("i", fill=-9.0)]).fit(path).transform(path)
    assert found["i"].to_pylist() == [7, 7, 7, 1e5, 10, 0.5, -9, -9, -9]


@pytest.mark.parametrize("text", ["inf", "1e400"])
def test_infinite_numbers_are_not_missing(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "a.csv", "i,j", "1,1", f"{text},1", ",1")
    with pytest.raises(ValueError, match=r"Received: inf \(in 2 of 3 rows\)"):
        FeaturePipeline([Numeric("i")]).fit(path)


def test_flags_among_numbers_are_no_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "i,j", "1,1", "True,1")
    with pytest.raises(ValueError, match="must hold numbers. .*'True' in row 1"):
        FeaturePipeline([Numeric("i")]).fit(path)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_of_many_files_the_one_with_a_bad_value_is_named(
    tmp_path: Path, ending: str
) -> None:
    for day in range(9):
        table = pa.table({"i": [1.0, 2.0], "y": [0, 2 if day == 7 else 1]})
        path = tmp_path / f"{day}.{ending}"
        (pa.csv.write_csv if ending == "csv" else pq.write_table)(table, path)
    where = f"^{tmp_path / f'7.{ending}'}, Label 'y': .*2.0 .in 1 of 18 rows"
    pipeline = FeaturePipeline([Numeric("i")], ["y"])
    with pytest.raises(ValueError, match=where):
        pipeline.fit(tmp_path)
    pipeline.fit({"i": [1.0], "y": [1]})
    with pytest.raises(ValueError, match=where):
        pipeline.transform(tmp_path)


@pytest.mark.parametrize("kind", ["d/m", "m/d", "two digits", "days and times"])
def test_other_dates_are_no_times_of_a_history(tmp_path: Path, kind: str) -> None:
    lines = [f"1,x,{text}" for text in LOOKS[kind][0]]
    path = write(tmp_path / "a.csv", "u,i,t", *lines)
    with pytest.raises(ValueError, match="'t' must be of type .*Received: string"):
        FeaturePipeline([Categorical("i"), HISTORY]).fit(path)


def test_dates_of_two_files_are_not_guessed(tmp_path: Path) -> None:
    rows = write(tmp_path / "r.csv", "u,i,t", "1,a,01/05/2024", "1,b,01/03/2024")
    events = write(tmp_path / "e.csv", "u,i,t", "1,a,01/02/2024", "1,b,12/25/2023")
    days = {"u": [1], "i": ["a"], "t": [DAY]}
    pipeline = FeaturePipeline([Categorical("i"), HISTORY]).fit(days)
    for new, log in ((rows, events), (days, events), (rows, days)):
        with pytest.raises(ValueError, match="'t' must be of type .*Received: string"):
            pipeline.transform(new, events=log)


def test_days_that_fit_saw_are_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b", "05-01-24,1")
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": [DAY]})
    with pytest.raises(ValueError, match="must hold dates. .*'05-01-24' in row 0"):
        pipeline.transform(path)


LATE: list[tuple[Any, str, str]] = [
    (Categorical("a"), "1.5", "must be of type integer, .*Received: float64"),
    (Hashed("a", num_buckets=9), "1.5", "must be of type integer, .*Received: float"),
    (HISTORY, "1.5", ""),
    ({"g": "a"}, "2.5", "Group 'g'.* must be of type integer.*Received: float64"),
    (Label("a", belong="regression"), "2.5", ""),
    (Numeric("a"), "2.5", ""),
]


@pytest.mark.parametrize(("declared", "late", "text"), LATE)
@pytest.mark.parametrize("several", [False, True])
def test_a_late_row_is_not_rounded(
    tmp_path: Path, declared: Any, late: str, text: str, several: bool
) -> None:
    name = "t" if declared is HISTORY else "a"
    lines = [f"{i % 7},{i},x,1" for i in range(100_000)]
    path = write(tmp_path / "a.csv", f"b,{name},i,u", *lines, f"8,{late},x,1")
    label, group = isinstance(declared, Label), isinstance(declared, dict)
    columns = [Categorical("i"), *([] if label or group else [declared])]
    pipeline = FeaturePipeline(
        columns, [declared] if label else [], groups=declared if group else ()
    )
    files = [path, path] if several else path
    if text:
        with pytest.raises(ValueError, match=text):
            pipeline.fit(files)
    elif declared is HISTORY:
        found = pipeline.fit(files).transform(path).to_pydict()["h_i"]
        assert found[2] == [2, 2, 2, 0]  # the late one, at 1.5, is before it
    else:
        assert pipeline.fit(files).transform(path)["a"][-1].as_py() == float(late)


def hashes(*texts: str) -> list[int]:
    digests = [hashlib.md5(text.encode()).hexdigest() for text in texts]
    return [2 + int(digest[:8], 16) % BUCKETS for digest in digests]


@pytest.mark.parametrize(
    ("texts", "values", "hashed"),
    [
        (["True", "False", "true"], [True, False, True], ["true", "false", "true"]),
        ([" 7", "8 "], [7, 8], ["7", "8"]),
        (["2024-01-05"], [DAY], ["2024-01-05"]),
    ],
)
def test_casts_are_of_values_not_of_texts(
    tmp_path: Path, texts: list[str], values: list[Any], hashed: list[str]
) -> None:
    path = write(tmp_path / "a.csv", "a,b", *(f"{text},1" for text in texts))
    column = Hashed("a", num_buckets=BUCKETS)
    others: list[Any] = [Categorical("c", source="a")]
    for columns, groups in (([], {}), (others, {}), ([], {"g": "a"})):
        pipeline = FeaturePipeline([column, *columns], groups=groups)
        wanted = pipeline.fit({"a": values}).transform({"a": values}).to_pydict()
        assert wanted["a"] == hashes(*hashed)
        for files in (path, [path, path]):
            for fitted in (pipeline, pipeline.fit(files)):
                found = fitted.transform(files).slice(0, len(texts)).to_pydict()
                assert found == wanted


def test_casts_of_a_table_that_duckdb_reads_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,y", "True, 7", "False,8")
    here = ibis.duckdb.connect()
    columns = [
        Hashed("a", num_buckets=BUCKETS),
        Hashed("h", source="y", num_buckets=BUCKETS),
        Numeric("n", source="a"),
    ]
    pipeline = FeaturePipeline(columns, connection=here)
    found = pipeline.fit(here.read_csv(path)).transform(here.read_csv(path))
    assert found["a"].to_pylist() == hashes("true", "false")
    assert found["h"].to_pylist() == hashes("7", "8")
    assert found["n"].to_pylist() == [1.0, 0.0]


def of_parquet(path: Path, frame: pd.DataFrame) -> Path:
    pq.write_table(pa.Table.from_pandas(frame), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def of_csv(path: Path, frame: pd.DataFrame) -> Path:
    frame.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


@pytest.mark.parametrize("save", [of_parquet, of_csv])
@pytest.mark.parametrize(
    "column",
    [
        Label("a"),
        Label("a", belong="regression"),
        Numeric("a"),
        Bucketed("a", edges=[0.5]),
        "weight",
    ],
)
def test_flags_are_numbers(
    tmp_path: Path, column: Any, save: Callable[[Path, pd.DataFrame], Path]
) -> None:
    frame = pd.DataFrame({"a": [True, False, True], "b": [1, 2, 3]})
    path = save(tmp_path / "a", frame)
    label = isinstance(column, Label)
    weight = column == "weight"
    pipeline = FeaturePipeline(
        [Numeric("b"), *([] if label or weight else [column])],
        [column] if label else [],
        sample_weight="a" if weight else None,
    )
    for files in (path, [path, path]):
        found = pipeline.fit(files).transform(files)
        numbers = found["sample_weight" if weight else "a"].to_pylist()[:3]
        assert numbers == ([3, 2, 3] if isinstance(column, Bucketed) else [1, 0, 1])


@pytest.mark.parametrize("save", [of_parquet, of_csv])
def test_moments_with_a_zone_are_in_order(
    tmp_path: Path, save: Callable[[Path, pd.DataFrame], Path]
) -> None:
    texts = ["2024-01-05T10:00:00+08:00", "2024-01-05T03:00:00+00:00"]
    log = pd.DataFrame({"u": [1, 1], "i": ["a", "b"], "t": texts})
    if save is of_parquet:
        log["t"] = pd.to_datetime(log["t"], utc=True)
    path = save(tmp_path / "log", log)
    pipeline = FeaturePipeline([Categorical("i"), HISTORY]).fit(path)
    for events in (None, path):
        found = pipeline.transform(path, events=events)
        assert found["h_i"].to_pylist() == [[0] * 4, [2, 0, 0, 0]]


def test_a_column_that_a_number_and_an_id_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,y", f"{2**53 + 1},1", f"{2**53},0")
    for columns in (
        [Numeric("n", source="a"), Categorical("a")],
        [Categorical("a"), Numeric("n", source="a")],
    ):
        found = FeaturePipeline(columns).fit(path).transform(path)
        assert found["a"].to_pylist() == [3, 2]


def test_where_of_digits_reads_texts(tmp_path: Path) -> None:
    log = {"u": [1, 1], "i": ["a", "b"], "t": [1, 2], "code": ["1", "02"]}
    path = of_csv(tmp_path / "a", pd.DataFrame(log))
    columns = [
        Categorical("i"),
        History("h", of=["i"], length=2, user="u", time="t", where={"code": ["02"]}),
    ]
    later = {"u": [1], "i": ["a"], "t": [9], "code": ["1"]}
    pipeline = FeaturePipeline(columns).fit(path)
    for events in (log, path):
        found = pipeline.transform(later, events=events)
        assert found["h_i"].to_pylist() == [[3, 0]]


def test_separated_texts_of_digits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "m,w", "7|8,1|2", "7,3")
    column = MultiValue("m", length=2, separator="|", weight="w")
    found = FeaturePipeline([column]).fit(path).transform(path).to_pydict()
    assert found == {"m": [[2, 3], [2, 0]], "w": [[1.0, 2.0], [3.0, 0.0]]}


def test_empty_texts_of_one_column_are_not_those_of_another(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,n,b,m", ",,x,1", "x,2,,2")
    columns = [
        Categorical("a", empty_is_missing=False),
        Numeric("n", fill=7),
        Categorical("b"),
        Numeric("m"),
    ]
    for some in (columns, columns[::-1], columns[:2], columns[1:], columns[1::-1]):
        found = FeaturePipeline(some).fit(path).transform(path).to_pydict()
        wanted = {"a": [2, 3], "n": [7.0, 2.0], "b": [2, 1], "m": [1.0, 2.0]}
        assert found == {column.name: wanted[column.name] for column in some}


def test_a_category_without_values_is_of_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b", ",1", ",2")
    pipeline = FeaturePipeline([Categorical("a"), Numeric("b")])
    for files in (path, [path, path]):
        found = pipeline.fit(files).transform({"a": ["x", None], "b": [1, 2]})
        assert found["a"].to_pylist() == [1, 1]


TICKS = st.integers(0, 10**6).map(lambda n: TEN + datetime.timedelta(microseconds=n))
CATEGORIES: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.int64(), st.integers(-1, 2)),
    (pa.string(), st.text("a t0-7.,;\"'\n\té", max_size=3)),
    (pa.string(), st.sampled_from(["007", "7", "true", "nan", "2024-01-05", "1e3"])),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31))),
]
TIMES: list[tuple[pa.DataType, Any]] = [
    (pa.int64(), st.integers(-2, 2)),
    (pa.float64(), st.integers(-8, 8).map(lambda n: n / 8)),  # without exponents
    (pa.date32(), st.dates(DAY, DAY + datetime.timedelta(2))),
    (pa.timestamp("us"), TICKS),
    (pa.timestamp("us", "Asia/Tokyo"), TICKS),
]


NOT_SEEN: list[tuple[Any, str, int]] = [
    (7, "1e1", 0),
    (7, "0x10", 0),
    (7, "1_0", 0),
    (7, "+7", 0),
    (7, "007", 1),
    (7, "word", 1),
    (7, "true", 1),
    (True, "t", 0),
    (True, "yes", 0),
    (True, "1", 1),
    (7, "7.5", 0),
    (7, "-1.05", 1),
    (7, "2024-01-05", 0),
    (True, "1", 0),
    (DAY, "x", 0),
    (DAY, "7", 1),
    (DAY, "2024-01-05T10:00", 1),
]


@pytest.mark.parametrize(("known", "text", "before"), NOT_SEEN)
def test_texts_are_not_cast_to_what_fit_saw(
    tmp_path: Path, known: Any, text: str, before: int
) -> None:
    pipeline = FeaturePipeline(
        [Categorical("a"), Hashed("h", source="a", num_buckets=9)]
    ).fit({"a": [known]})
    goes = {7: "7.0", True: "True", DAY: "2024-01-05"}[known]
    lines = [f"{each},1" for each in [*[goes] * before, "", text, goes]]
    path = write(tmp_path / "a.csv", "a,b", *lines)
    holds = {7: "integers", True: "true or false", DAY: "dates"}[known]
    wanted = rf"a.csv: column 'a' must hold {holds}. Received: '{re.escape(text)}'"
    seen = write(tmp_path / "seen.csv", "a,b", f"{goes},1")
    for files in (path, [seen, path]):
        with pytest.raises(ValueError, match=f"{wanted} in row {before + 1}"):
            pipeline.transform(files)
    write(path, "a,b", f"{goes},1", ",1")
    assert pipeline.transform(path)["a"].to_pylist() == [2, 1]


@pytest.mark.parametrize("known", [7, True, DAY, "x"])
def test_a_column_without_values_is_of_any_type(tmp_path: Path, known: Any) -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": [known]})
    path = write(tmp_path / "a.csv", "a,b", ",1")
    assert pipeline.transform(path)["a"].to_pylist() == [1]


@settings(max_examples=25, deadline=None)
@given(
    category=st.sampled_from(CATEGORIES), time=st.sampled_from(TIMES), data=st.data()
)
def test_files_and_frames_give_the_same_input(
    category: tuple[pa.DataType, Any], time: tuple[pa.DataType, Any], data: Any
) -> None:
    kinds = {
        "a": category,
        "t": time,
        "n": (pa.float64(), st.floats(width=32) | st.integers(-9, 9).map(float)),
        "y": (pa.int64(), st.integers(0, 1)),
    }
    rows = data.draw(st.integers(1, 9))
    drawn = {
        name: st.lists(values | st.none(), min_size=rows, max_size=rows)
        for name, (_, values) in kinds.items()
    }
    table = pa.table(
        {name: pa.array(data.draw(drawn[name]), kinds[name][0]) for name in kinds}
    )
    pipeline = FeaturePipeline(
        [
            Categorical("a"),
            Hashed("h", source="a", num_buckets=BUCKETS),
            Numeric("n", fill=7),
            History("p", of=["h"], length=3, user="a", time="t", ages=30),
        ],
        ["y"],
        groups={"g": "a"},
    )
    wanted = pipeline.fit(table).transform(table).to_pydict()
    with tempfile.TemporaryDirectory() as folder:
        parquet, text = Path(folder) / "rows.parquet", Path(folder) / "rows.csv"
        pq.write_table(table, parquet)
        csv.write_csv(table, text)
        for rows_of, events in (
            (parquet, text),
            (text, parquet),
            (text, table),
            (text, None),
        ):
            found = pipeline.transform(rows_of, events=events).to_pydict()
            np.testing.assert_equal(found, wanted)
