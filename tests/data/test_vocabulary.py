"""Ids against an oracle in plain Python."""

import datetime
import hashlib
from collections import Counter

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.data import Bucketed, Categorical, FeaturePipeline, Hashed, MultiValue

CONNECTION = ibis.duckdb.connect()
KINDS = [
    (pa.int64(), st.integers(-3, 5)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.string(), st.sampled_from(["", "a", "A", "é", "b "])),
    (pa.bool_(), st.booleans()),
    (pa.date32(), st.dates(datetime.date(2000, 1, 1), datetime.date(2000, 1, 9))),
]


def oracle(values: list, min_count: int, max_size: int | None) -> dict:
    """Value -> id: by falling count, then rising value."""
    counts = Counter(value for value in values if value is not None)
    kept = [value for value, count in counts.items() if count >= min_count]
    kept.sort(key=lambda v: (-counts[v], v.encode() if isinstance(v, str) else v))
    return {value: 2 + i for i, value in enumerate(kept[:max_size])}


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    min_count=st.integers(1, 3),
    max_size=st.none() | st.integers(1, 3),
    empty=st.sampled_from([{}, {"empty_is_missing": False}]),
    data=st.data(),
)
def test_ids_are_those_of_the_oracle(kind, min_count, max_size, empty, data) -> None:
    dtype, value = kind
    values = st.lists(st.none() | value, min_size=1, max_size=40)
    seen, new = data.draw(values), data.draw(values)
    ids = oracle([v for v in seen if v != "" or empty], min_count, max_size)
    pipeline = FeaturePipeline(
        [Categorical("a", min_count=min_count, max_size=max_size, **empty)],
        connection=CONNECTION,
    ).fit(pa.table({"a": pa.array(seen, dtype)}))
    both = pa.table({"a": pa.array(seen + new, dtype)})
    got = pipeline.transform(both)["a"].to_pylist()
    assert got == [ids.get(value, 1) for value in seen + new]

    words = pipeline.vocabulary("a").to_pylist()
    assert {word["value"]: word["id"] for word in words} == ids
    counts = Counter(got[: len(seen)])
    (field,) = pipeline.fields()
    assert field.vocabulary_size == 2 + len(ids)
    assert list(field.counts) == [counts[i] for i in range(field.vocabulary_size)]


def test_order_of_rows_does_not_matter() -> None:
    values = ["b", "c", "a", "c", "b", "a", "d"] * 50
    first, second = (
        FeaturePipeline([Categorical("a")]).fit({"a": np.array(rows)}).vocabulary("a")
        for rows in (values, values[::-1])
    )
    assert first.equals(second)
    assert first["value"].to_pylist() == ["a", "b", "c", "d"]


def test_unseen_rare_and_missing_values_are_1() -> None:
    pipeline = FeaturePipeline([Categorical("a", min_count=2)])
    pipeline.fit(pa.table({"a": ["x", "x", "rare", None]}))
    got = pipeline.transform(pa.table({"a": ["x", "rare", "new", None, ""]}))
    assert got["a"].to_pylist() == [2, 1, 1, 1, 1]
    assert list(pipeline.fields()[0].counts) == [0, 2, 2]


def test_column_of_missing_values_only() -> None:
    missing = pa.table({"a": pa.array([None, None], pa.string())})
    pipeline = FeaturePipeline([Categorical("a")]).fit(missing)
    assert pipeline.transform(missing)["a"].to_pylist() == [1, 1]
    assert pipeline.fields()[0].vocabulary_size == 2


def test_shared_vocabulary_is_that_of_its_owner() -> None:
    pipeline = FeaturePipeline(
        [
            Categorical("last", emb="item"),
            Categorical("item", belong="item"),
            MultiValue("seen", emb="item", length=3, belong="history"),
        ]
    )
    data = pa.table(
        {"item": ["a", "a", "b"], "last": ["b", "b", "z"], "seen": [["z"], ["a"], []]}
    )
    table = pipeline.fit(data).transform(data)
    assert table["last"].to_pylist() == [3, 3, 1]
    assert table["seen"].to_pylist() == [[1, 0, 0], [2, 0, 0], [0, 0, 0]]
    assert [field.emb for field in pipeline.fields()] == ["item"] * 3
    assert all([*field.counts] == [0, 0, 2, 1] for field in pipeline.fields())
    assert pipeline.vocabulary("seen").equals(pipeline.vocabulary("item"))
    assert {*pipeline._fitted.vocabularies} == {"item"}


def test_integer_width_does_not_matter() -> None:
    pipeline = FeaturePipeline([Categorical("a")]).fit({"a": np.array([7, 8, 7])})
    narrow = pipeline.transform({"a": np.array([7, 8, 9], "uint8")})
    assert narrow["a"].to_pylist() == [2, 3, 1]


def documented_hash(text: str, num_buckets: int) -> int:
    return 2 + int(hashlib.md5(text.encode()).hexdigest()[:8], 16) % num_buckets


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    num_buckets=st.integers(1, 2**31),
)
def test_hash_is_as_documented(values, num_buckets) -> None:
    declared = Hashed("a", num_buckets=num_buckets, empty_is_missing=False)
    pipeline = FeaturePipeline([declared], connection=CONNECTION)
    data = pa.table({"a": pa.array([*values, "", None], pa.string())})
    got = pipeline.fit(data).transform(data)["a"].to_pylist()
    wanted = [documented_hash(value, num_buckets) for value in [*values, ""]]
    assert got == [*wanted, 1]


def test_hash_of_other_types() -> None:
    day = datetime.date(2020, 12, 31)
    for value, text in ((17, "17"), (-5, "-5"), (True, "true"), (day, "2020-12-31")):
        data = pa.table({"a": [value]})
        pipeline = FeaturePipeline([Hashed("a", num_buckets=1000)]).fit(data)
        (got,) = pipeline.transform(data)["a"].to_pylist()
        assert got == documented_hash(text, 1000)
    assert pipeline.fields()[0].vocabulary_size == 1002
    assert pipeline.fields()[0].counts is None


def documented_edges(values: list[float], num_buckets: int) -> list[float]:
    """The edges that `Bucketed` documents, value by value."""
    values = sorted(values)
    frequent: set[float] = set()
    while True:
        edges = {v for v in frequent if v != values[0]}
        for value in frequent:
            edges |= {*[v for v in values if v > value][:1]}
        rest = [v for v in values if v not in frequent]
        left = num_buckets - len(edges)
        shares = [i / left for i in range(1, left)] if left > 1 else []
        cuts = [float(np.quantile(rest, share)) for share in shares] if rest else []
        again = {cut for cut in cuts if cuts.count(cut) > 1}
        if not again:
            return sorted({*edges, *cuts}) or sorted(frequent)
        frequent |= again


@settings(max_examples=60, deadline=None)
@example(seen=[-25.5, -25.5, 0.0], zeros=2, new=[], num_buckets=4)
@given(
    seen=st.lists(
        st.integers(-4, 4).map(float) | st.floats(-100, 100), min_size=1, max_size=40
    ),
    zeros=st.integers(0, 60),
    new=st.lists(st.floats(), max_size=10),
    num_buckets=st.integers(2, 9),
)
def test_buckets_are_quantiles(seen, zeros, new, num_buckets) -> None:
    seen = [*seen, *[0.0] * zeros]
    declared = Bucketed("a", num_buckets=num_buckets)
    pipeline = FeaturePipeline([declared], connection=CONNECTION)
    pipeline.fit({"a": np.array(seen)})
    values = np.array([*seen, *new])
    got = pipeline.transform({"a": values})["a"].to_numpy()
    edges = np.array(pipeline._fitted.statistics["a"]["edges"])
    wanted_edges = np.array(documented_edges(seen, num_buckets))
    distance = np.abs(wanted_edges[:, None] - edges[None, :])
    assert (np.diff(edges) > 0).all() and len(edges) < num_buckets
    assert distance.min(0).max() < 1e-9 and distance.min(1).max() < 1e-9
    finite = np.isfinite(values) & (np.abs(values) <= np.finfo("float32").max)
    wanted = np.where(finite, 2 + np.searchsorted(edges, values, "right"), 1)
    np.testing.assert_array_equal(got, wanted)
    assert pipeline.fields()[0].vocabulary_size == 2 + len(edges) + 1


def test_a_frequent_value_has_a_bucket_of_its_own_and_others_the_rest() -> None:
    random = np.random.default_rng(0)
    gains = np.where(random.random(5000) < 0.92, 0, random.lognormal(8, 1, 5000))
    pipeline = FeaturePipeline([Bucketed("gain", num_buckets=34)]).fit({"gain": gains})
    ids = pipeline.transform({"gain": gains})["gain"].to_numpy()
    assert pipeline.fields()[0].vocabulary_size == 2 + 34
    assert (gains[ids == 2] == 0).all() and (gains[ids != 2] > 0).all()
    sizes = np.bincount(ids)[3:]
    assert len(sizes) == 33 and sizes.max() - sizes.min() <= 2
    middle = np.concatenate([gains, -gains])
    ids = pipeline.fit({"gain": middle}).transform({"gain": middle})["gain"].to_numpy()
    (zero,) = {*ids[middle == 0]}
    assert (middle[ids == zero] == 0).all()
    assert len({*ids}) >= 33


def test_edges_that_are_given(tmp_path) -> None:
    declared = Bucketed("a", edges=[0, 1.5])
    pipeline = FeaturePipeline([declared, Bucketed("b", num_buckets=2)])
    pipeline.fit({"a": [7, 7, 7], "b": [1, 2, 3]})
    pipeline.save(tmp_path / "pipeline")
    for one in (pipeline, FeaturePipeline.load(tmp_path / "pipeline")):
        got = one.transform({"a": [-1, 0, 1.4, 1.5, None], "b": [1] * 5})["a"]
        assert got.to_pylist() == [2, 3, 3, 4, 1]
        assert one.fields()[0].vocabulary_size == 5
        assert one.schema.columns[0] == declared


def test_bucket_edges_by_hand() -> None:
    pipeline = FeaturePipeline([Bucketed("a", num_buckets=4)])
    pipeline.fit({"a": np.array([1.0, 2.0, 3.0, 4.0, 5.0])})  # edges 2, 3, 4
    new = np.array([-9.0, 1.99, 2.0, 3.5, 4.0, 99.0, np.nan, np.inf])
    got = pipeline.transform({"a": new})["a"].to_pylist()
    assert got == [2, 2, 3, 4, 5, 5, 1, 1]
    assert pipeline.fields()[0].vocabulary_size == 6


def test_equal_edges_are_one() -> None:
    pipeline = FeaturePipeline([Bucketed("a", num_buckets=10)])
    pipeline.fit({"a": np.zeros(5)})
    got = pipeline.transform({"a": np.array([-1.0, 0.0, 1.0])})["a"].to_pylist()
    assert got == [2, 3, 3]
    assert pipeline.fields()[0].vocabulary_size == 4


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([0, 5, 2**31 - 1]), [0, 5, 2**31 - 1]),
        (pa.array([-1]), [documented_hash("-1", 2**31) - 2]),
        (pa.array([2**31]), [documented_hash("2147483648", 2**31) - 2]),
        (pa.array(["é", None]), [documented_hash("é", 2**31) - 2, 2**31 - 1]),
    ],
)  # fmt: skip
def test_group_keys(values, wanted) -> None:
    data = pa.table({"user": values, "a": np.ones(len(values))})
    pipeline = FeaturePipeline([Bucketed("a", num_buckets=2)], groups=["user"])
    keys = pipeline.fit(data).transform(data)["user"]
    assert keys.type == pa.int32()
    assert keys.to_pylist() == wanted


def test_groups_tell_unseen_users_apart() -> None:
    columns = [Categorical("user")]
    pipeline = FeaturePipeline(columns, groups={"key": "user"})
    pipeline.fit({"user": np.array(["a"])})
    table = pipeline.transform({"user": np.array(["x", "y", "x"])})
    assert table["user"].to_pylist() == [1, 1, 1]
    x, y, again = table["key"].to_pylist()
    assert x == again != y
