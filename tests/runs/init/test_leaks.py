"""AUC of single columns, against all pairs; and what is a leak."""

import duckdb
import numpy as np
import pytest

from recsys.runs.init.answers import answers_of
from recsys.runs.init.leaks import alone, leaks_of
from recsys.runs.init.seen import look
from recsys.runs.init.who import who_of
from tests.close import close
from tests.runs.init.log import NUM, area, click_log, opened, write


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("log") / "log.parquet", click_log())
    with opened(path) as rows:
        yield rows


def of_click(rows, name, is_number):
    label = rows.sample.is_click.cast("float64")
    return alone(rows, name, is_number, {"is_click": label})["is_click"]


@pytest.mark.parametrize("name", ["play_ms", "duration", "price", "hour"])
def test_a_number_is_judged_by_its_order(rows, name):
    log = click_log()
    values = np.array([-1.0 if v is None else v for v in log[name]])  # missing first
    wanted = area(log["is_click"], values)
    found = of_click(rows, name, True)
    close(found.auc, max(wanted, 1 - wanted))
    filled = values > 0
    assert found.positives == (filled & (log["is_click"] == 1)).sum()
    assert found.negatives == (filled & (log["is_click"] == 0)).sum()


@pytest.mark.parametrize("name", ["outcome", "video_id", "request", "gender"])
def test_a_category_is_judged_on_rows_that_its_rates_have_not_seen(rows, name):
    hashes = duckdb.sql(f"select hash(i::bigint)::hugeint from range({NUM}) t(i)")
    signed = [h - 2**64 if h >= 2**63 else h for (h,) in hashes.fetchall()]
    known = np.array([abs(h) % 2048 < 1024 for h in signed])
    ones, values = click_log()["is_click"], np.array(click_log()[name])
    prior = ones[known].mean()
    rates = {
        v: (ones[known & (values == v)].sum() + prior)
        / ((known & (values == v)).sum() + 1)
        for v in {*values}
    }
    scores = np.array([rates[v] for v in values])
    wanted = area(ones[~known], np.round(scores[~known], 12))
    close(of_click(rows, name, False).auc, wanted)
    if name == "request":  # each row has its own
        assert wanted == 0.5


def test_columns_that_know_an_answer_are_named(rows):
    seen = look(rows)
    who = who_of(rows, seen, {})
    answers = answers_of(rows, seen, who)
    numbers = {"play_ms": True, "duration": True, "price": True}
    texts = ["outcome", "refund", "brand", "gender", "hour", "video_id", "user_id"]
    found = leaks_of(rows, numbers | dict.fromkeys(texts, False), answers, who)
    assert {*found} == {"play_ms", "outcome", "refund"}
    auc = area(click_log()["is_click"], click_log()["play_ms"])
    assert found["play_ms"] == f"alone it tells 'is_click' with an AUC of {auc:.3f}"
    given = sum(value > 0 for value in click_log()["refund"])
    assert found["refund"] == (
        f"it has a value other than 0 only where 'buy' is 1, in {given} rows"
    )
    assert leaks_of(rows, numbers, [], who) == {}


def test_far_above_the_best_id_is_a_leak_unless_it_is_an_attribute(tmp_path):
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, 50, 3000), rng.integers(0, 50, 3000)
    click = (rng.random(3000) < 0.5).astype(int)
    near = click + rng.normal(size=3000)  # AUC of .76
    columns = {"user_id": user, "item_id": item, "click": click, "near": near}
    with opened(write(tmp_path / "a.parquet", columns)) as rows:
        seen = look(rows)
        who = who_of(rows, seen, {})
        answers = answers_of(rows, seen, who)
        found = leaks_of(rows, {"near": True}, answers, who)
        assert (
            f"AUC of {area(click, near):.3f}, the best id with one of 0."
            in (found["near"])
        )
        who.owners["near"] = "item"
        assert leaks_of(rows, {"near": True}, answers, who) == {}
