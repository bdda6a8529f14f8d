"""Metrics of the rates of items, which a model must beat."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from recsys.runs.baseline import item_rates
from recsys.runs.reading import read_config
from recsys.runs.report import doubts, of_test_rows
from tests.close import close

TASKS = ("like", "buy")


def rows(rng, size, known):
    item = rng.integers(0, 9, size)
    label = rng.random((2, size)) < (item + 1) / 12
    labels = np.where(rng.random((2, size)) < 0.1, np.nan, label)
    if known:
        item = np.where(item == 8, 7, item)  # an item that is new in the test rows
    return {
        "item": [None if i == 3 else int(i) for i in item],
        "user": [f"u{i}" for i in rng.integers(0, 12, size)],
        "like": labels[0],
        "buy": labels[1],
        "w": rng.random(size),
    }


@pytest.fixture
def samples(tmp_path):
    rng = np.random.default_rng(0)
    parts = {"train": rows(rng, 600, True), "test": rows(rng, 300, False)}
    for name, columns in parts.items():
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    return parts, tmp_path


def config(tasks, weighted, group, keep=1.0, item="item"):
    return read_config(
        {
            "data": {"files": ["log.csv"], "item": item, "user": "user"},
            "schema": {
                "columns": [{"kind": "categorical", "name": "user"}],
                "labels": [*tasks],
                **({"sample_weight": "w"} if weighted else {}),
                **({"groups": {"by": "user"}} if group else {}),
            },
            "model": {"name": "lr" if len(tasks) == 1 else "mmoe"},
            "training": {"keep_negatives": keep},
        }
    )


def expected(parts, task, weighted, keep, by_item):
    """The rate of an item has ten rows of the mean beside its own."""
    train, test = parts["train"], parts["test"]
    there = ~np.isnan(train[task])
    weight = train["w"] if weighted else np.ones(600)
    total = weight[there].sum()
    mean = (weight * np.nan_to_num(train[task]))[there].sum() / total
    rates = {}
    for item in {*train["item"]} - {None}:
        mine = there & np.array([i == item for i in train["item"]])
        good = (weight * np.nan_to_num(train[task]))[mine].sum()
        rates[item] = (good + 10 * mean) / (weight[mine].sum() + 10)
    score = np.array([rates.get(i, mean) for i in test["item"]])
    if not by_item:
        score[:] = mean  # (total * mean + 10 * mean) / (total + 10)
    odds = score / (1 - score) * keep
    score = odds / (1 + odds)
    known = ~np.isnan(test[task])
    label, score = test[task][known], score[known]
    weight = test["w"][known] if weighted else np.ones(known.sum())
    user = np.array(test["user"])[known]
    by_user, weights = [], []
    for each in {*user}:
        mine = user == each
        if len({*label[mine]}) == 2:
            own = roc_auc_score(label[mine], score[mine], sample_weight=weight[mine])
            by_user.append(own)
            weights.append(weight[mine].sum())
    return {
        "auc": roc_auc_score(label, score, sample_weight=weight),
        "gauc": np.average(by_user, weights=weights),
        "log_loss": log_loss(label, score, sample_weight=weight),
    }


@pytest.mark.parametrize("tasks", [TASKS, TASKS[:1]])
@pytest.mark.parametrize(
    ("weighted", "group", "keep", "item"),
    [(False, False, 1.0, "item"), (True, True, 1.0, "item"), (False, True, 1.0, None)],
)
def test_rates_of_items(samples, tasks, weighted, group, keep, item):
    parts, folder = samples
    found = item_rates(config(tasks, weighted, group, keep, item), folder)
    wanted = {}
    for task in tasks:
        for name, value in expected(parts, task, weighted, keep, bool(item)).items():
            if group or name != "gauc":
                wanted[f"{task}_{name}" if tasks[1:] else name] = value
    assert {*found} == {*wanted}
    for name, value in wanted.items():
        close(found[name], value, terms=2000)


def test_rates_are_those_of_all_rows_where_negatives_were_left_out(samples):
    parts, folder = samples
    found = item_rates(config(("like",), False, False, 0.25), folder)
    wanted = expected(parts, "like", False, 0.25, True)
    close(found["log_loss"], wanted["log_loss"], terms=2000)
    close(found["auc"], wanted["auc"], terms=2000)


def test_a_model_that_is_doubts_is_told_so():
    read = config(TASKS, False, False)
    found = {
        "best_epoch": 9,
        "monitor": "val_auc",
        "test": {"like_auc": 0.7, "like_log_loss": 0.5, "buy_auc": 0.6, "loss": 1.0},
        "baseline": {
            "like_auc": 0.69, "like_log_loss": 0.4, "buy_auc": 0.6, "buy_gauc": 0.9,
        },
    }  # fmt: skip
    said = doubts(read, found)
    assert [text.partition(" ")[0] for text in said] == ["like_log_loss", "buy_auc"]
    assert "is 0.5000, and 0.4000 of the rates of items alone" in said[0]
    grid = of_test_rows(read, [found])
    unknown = {**found, "baseline": {"like_auc": np.nan, "buy_auc": np.nan}}
    assert doubts(read, unknown) == []
    last = doubts(read, {**found, "best_epoch": 10})
    assert (
        last[:2] == said and "The last of 10 epochs was the best by val_auc" in last[2]
    )
    assert ["auc, rates of items alone", "0.6900", "0.6000", ""] in grid.rows
    assert ["gauc, rates of items alone", "", "0.9000", ""] in grid.rows
