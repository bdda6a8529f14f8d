"""What is in each column, counted in plain Python."""

import math

import numpy as np
import pytest

from recsys.runs.init.seen import look
from tests.close import close
from tests.runs.init.log import NUM, click_log, opened, write


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("log") / "log.parquet", click_log())
    with opened(path) as rows:
        return {each.name: each for each in look(rows)}


def test_values_are_counted(seen):
    for name, values in click_log().items():
        found = seen[name]
        values = values.to_pylist() if name == "empty" else [*values]
        known = [value for value in values if value is not None]
        assert found.missing == NUM - len(known), name
        if name in ("words", "vector", "record"):
            assert found.distinct is None
            continue
        assert found.distinct == len({*known}), name
        if known:
            assert (found.least, found.most) == (min(known), max(known)), name
    assert (seen["vector"].least, seen["vector"].most) == (3, 3)


def test_quantiles_and_examples(seen):
    duration = click_log()["duration"]
    for share, value in seen["duration"].quantiles.items():
        close(value, np.quantile(duration, share))
    counts = {n: [*click_log()["brand"]].count(n) for n in {*click_log()["brand"]}}
    wanted = sorted(counts, key=lambda name: (-counts[name], name))[:3]
    assert [*seen["brand"].examples] == wanted


def test_flags_and_row_numbers(seen):
    assert {name for name, each in seen.items() if each.is_flag} == {"is_click", "buy"}
    assert {n for n, each in seen.items() if each.is_row_number} == {"row"}


def test_integers_with_gaps_are_integers(tmp_path):
    columns = {"a": [1.0, None, 3.0], "b": [1.5, None, 3.0], "c": [math.nan, 1.0, 0.0]}
    with opened(write(tmp_path / "a.parquet", columns)) as rows:
        a, b, c = look(rows)
    assert (a.family, b.family, c.family) == ("integer", "floating", "integer")
    assert (a.missing, b.missing, c.missing) == (1, 1, 1)  # NaN is missing
    assert c.is_flag and not a.is_flag


def test_of_many_rows_a_share_is_looked_at(tmp_path):
    rng = np.random.default_rng(0)
    number = rng.integers(0, 50, 20_000)
    columns = {"user_id": np.arange(20_000) // 2, "x": number, "row": np.arange(20_000)}
    with opened(write(tmp_path / "a.parquet", columns), most=4000) as rows:
        assert rows.total == 20_000 and not rows.is_all
        assert 3500 < rows.sampled < 4500
        drawn = rows.run(rows.sample.select("//row", "row")).to_pydict()
        assert drawn["//row"] == drawn["row"]
        user, x, row = look(rows)
    assert (x.least, x.most, x.distinct) == (0, 49, 50) and x.missing == 0
    assert user.distinct == pytest.approx(10_000, rel=0.1)
    assert row.is_row_number and not x.is_row_number


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["a|b", "b|a", "a", "b|c|a", "c"], "|"),
        (["a, b", "b, c", "c", "c, a", "b"], ", "),
        (["a,b", "b,c d", "c d", "c d,a", "b"], ","),
        (["x y", "y x", "x", "y", "y x x"], " "),
        (["New York", "San Jose", "Bonn"], None),  # more words than names
        ([f"{a},{b}" for a in range(4) for b in range(4)], None),  # decimal commas
        ([f"0{a}/02 1{b}:00" for a in range(4) for b in range(4)], None),
        (["[1, 2]", "[2]", "[]"], None),
        (["a", "b", "c"], None),
    ],
)
def test_lists_in_texts(tmp_path, texts, wanted):
    with opened(write(tmp_path / "a.parquet", {"a": texts * 3})) as rows:
        (found,) = look(rows)
    assert found.texts.separator == wanted
    assert found.texts.in_brackets == texts[0].startswith("[")
    if wanted:
        lists = [text.split(wanted) for text in texts]
        assert found.texts.num_values == len({v for values in lists for v in values})
        assert found.texts.length == max(2, max(map(len, lists)))
