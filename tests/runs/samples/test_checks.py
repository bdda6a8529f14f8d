"""What is said of samples, on planted data."""

import ibis
import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from recsys.runs.samples import check_samples
from recsys.runs.samples.checks import stability
from recsys.runs.samples.leaks import auc
from tests.close import close
from tests.runs.samples.configs import COLUMNS, config, write

SIZES = {"train": 2000, "valid": 500, "test": 500}
NUMBER = {"kind": "numeric", "fill": 0.0}
RICH = [
    *COLUMNS,
    {**NUMBER, "name": "price"},
    {"kind": "categorical", "name": "place"},
    {"kind": "multivalue", "name": "past", "length": 4, "emb": "item"}
    | {"belong": "history", "separator": " "},
]


def part(name, seed=0):
    """Rows without anything odd."""
    n, rng = SIZES[name], np.random.default_rng([seed, *map(ord, name)])
    return {
        "user": rng.integers(0, 50, n),
        "item": rng.integers(0, 30, n),
        "time": np.arange(n),
        "price": rng.random(n),
        "place": rng.choice(["home", "work", "way"], n, p=[0.5, 0.3, 0.2]),
        "past": [" ".join(map(str, ids)) for ids in rng.integers(0, 30, (n, 3))],
        "click": rng.integers(0, 2, n).astype(float),
    }


def told(tmp_path, change=lambda name, columns: None, labels=("click",), **sections):
    parts = {name: part(name) for name in SIZES}
    for name, columns in parts.items():
        change(name, columns)
    write(tmp_path, **parts)
    return check_samples(config(RICH, labels, **sections), tmp_path)


def test_nothing_is_said_of_rows_without_anything_odd(tmp_path):
    assert told(tmp_path) == []
    # Nor of few, whose shares differ by chance.
    small = {name: {k: v[:60] for k, v in part(name).items()} for name in SIZES}
    write(tmp_path, **small)
    said = check_samples(config(RICH), tmp_path)
    assert not any("stability" in text for text in said)


def test_missing_values(tmp_path):
    def change(name, columns):
        n = len(columns["price"])
        columns["price"][: n * 6 // 10] = np.nan
        if name == "test":
            columns["place"][: n // 5] = ""
            columns["past"][: n * 3 // 20] = [""] * (n * 3 // 20)

    said = told(tmp_path, change)
    assert said[:3] == [
        "Column 'price': most of its values are missing, 60.0% in train, 60.0% in "
        "valid, 60.0% in test.",
        "Column 'place': the share of missing values differs, 0.0% in train, 0.0% in "
        "valid, 20.0% in test.",
        "Column 'past': the share of missing values differs, 0.0% in train, 0.0% in "
        "valid, 15.0% in test.",
    ]


def test_drift(tmp_path):
    def change(name, columns):
        if name == "test":
            columns["price"] = columns["price"] / 3 + 0.5
            columns["place"] = np.where(
                columns["place"] == "home", "moon", columns["place"]
            )

    said = told(tmp_path, change)
    values = part("train")["price"]
    edges = np.quantile(values, np.arange(1, 10) / 10)
    moved = part("test")["price"] / 3 + 0.5
    p, q = (
        np.bincount(np.searchsorted(edges, v, "right"), minlength=10)
        for v in (values, moved)
    )
    p, q = (p + 0.5) / (2000 + 5), (q + 0.5) / (500 + 5)
    index = np.sum((p - q) * np.log(p / q))
    assert said == [
        "Column 'price': its values in test are not those of train, with a population "
        f"stability index of {index:.2f} (above 0.25 is much).",
        "Column 'place': its values in test are not those of train, with a population "
        f"stability index of {said[1].split(' of ')[-1][:4]} (above 0.25 is much).",
    ]


def test_the_index_by_hand_and_by_chance():
    index, noise = stability({"a": 50, "b": 50}, {"a": 90, "b": 10})
    p, q = 50.5 / 101, np.array([90.5, 10.5]) / 101
    close(index, np.sum((p - q) * np.log(p / q)))
    close(noise, 2 / 100)
    rng = np.random.default_rng(0)
    drawn = [
        stability(
            dict(enumerate(rng.multinomial(2000, [0.1] * 10))),
            dict(enumerate(rng.multinomial(100, [0.1] * 10))),
        )
        for _ in range(300)
    ]
    assert np.mean(drawn, axis=0)[0] == pytest.approx(drawn[0][1], rel=0.15)


def test_labels_of_one_class(tmp_path):
    def one_class(which):
        def change(name, columns):
            if name == which:
                columns["click"][:] = 1

        return change

    wanted = "'click' must have several values in train. Received: all are 1 in 2,000"
    with pytest.raises(ValueError, match=wanted):
        told(tmp_path, one_class("train"))
    said = told(tmp_path, one_class("valid"))
    assert said[0] == (
        "Label 'click' must have several values in valid. Received: all are 1 in 500 "
        "rows."
    )
    said = told(tmp_path, one_class("test"))
    assert (
        "leaks cannot be looked for, as test has 0 rows of 0 and 500 of 1" in said[-1]
    )

    def unknown(name, columns):
        columns["click"][:] = np.nan

    with pytest.raises(ValueError, match="Received: none is known in 2,000 rows"):
        told(tmp_path, unknown)


def test_rates_of_labels(tmp_path):
    def change(name, columns):
        if name == "test":
            columns["click"][100:] = 0

    said = told(tmp_path, change)
    rates = {name: part(name)["click"].mean() for name in SIZES}
    rates["test"] = part("test")["click"][:100].sum() / 500
    assert said == [
        f"Label 'click': its rate is {rates[name]:.4f} in {name} and "
        f"{rates['test']:.4f} in test, which differ by more than a factor of 2."
        for name in ("train", "valid")
    ]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_that_tells_the_label(tmp_path, sign):
    def change(name, columns):
        columns["price"] = sign * (columns["click"] + 0.6 * columns["price"])
        columns["click"][::7] = np.nan

    said = told(tmp_path, change)
    assert len(said) == 1
    assert said[0].startswith("Column 'price' by itself has an AUC of 1.000 on label ")


def test_a_category_that_tells_more_than_the_ids(tmp_path):
    def change(name, columns):
        rng = np.random.default_rng(len(columns["click"]))
        known = np.where(columns["click"] == 1, "yes", "no")
        columns["place"] = np.where(rng.random(len(known)) < 0.4, known, "maybe")

    said = told(tmp_path, change)
    assert len(said) == 1 and "'place' by itself has an AUC of 0.8" in said[0]
    assert "(the better of the ids: 0." in said[0]

    def ids_too(name, columns):
        change(name, columns)
        columns["item"] = columns["item"] % 2 * 2 + columns["click"].astype(int)

    assert not any("place" in text for text in told(tmp_path, ids_too))


def test_categories_are_judged_by_rows_that_did_not_make_their_means(tmp_path):
    def change(name, columns):
        n = len(columns["place"])
        columns["place"] = np.array([f"{name}{i}" for i in range(n)])  # each once

    assert not any("by itself" in text for text in told(tmp_path, change))


def test_a_history_that_holds_its_target(tmp_path):
    def change(name, columns):
        for row in np.flatnonzero(columns["click"]):
            columns["past"][row] += f" {columns['item'][row]}"

    said = told(tmp_path, change)
    assert len(said) == 1 and said[0].startswith(
        "Column 'past', whether it holds the row's own 'item', by itself has an AUC of "
        "0.9"
    )


def test_ids_that_train_has_not(tmp_path):
    def change(name, columns):
        if name == "test":
            columns["user"][:50] = 999

    said = told(tmp_path, change)
    assert said[-1] == (
        "Column 'user': 10.0% of the test rows have a value that no training row has "
        "(50 of 500)."
    )
    assert told(tmp_path, change, split={"by": "users"}) == []


@pytest.mark.parametrize("seed", range(3))
def test_auc_with_ties_and_missing_scores(engine, seed):
    rng = np.random.default_rng(seed)
    score, label = rng.integers(0, 9, 200).astype(float), rng.integers(0, 2, 200) * 1.0
    table = {"//score": pa.array(score, mask=score == 4), "//label": label}
    score[score == 4] = -1
    got = auc(ibis.memtable(pa.table(table)), engine)
    close(got, roc_auc_score(label, score), terms=1_000, dtype="float64")
