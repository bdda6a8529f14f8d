"""The planted click log has the effects it says."""

import numpy as np

from recsys.data.synthetic import HISTORY, click_log


def test_shapes_and_values() -> None:
    log = click_log(500, num_users=20, num_items=30)
    assert {values.shape for values in log.values()} == {(500,)}
    assert {*log["label"]} == {0, 1}
    assert 0 <= log["user_id"].min() and log["user_id"].max() < 20
    assert 0 <= log["item_id"].min() and log["item_id"].max() < 30
    assert (np.diff(log["timestamp"]) >= 0).all()
    assert len({*zip(log["user_id"], log["timestamp"], strict=True)}) < 500  # ties


def test_seed_decides() -> None:
    first, again, other = (click_log(300, seed=seed) for seed in (1, 1, 2))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["label"] != other["label"]).any()


def test_labels_follow_the_logit() -> None:
    log = click_log(50_000)
    chance = 1 / (1 + np.exp(-log["logit"]))
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        chosen = (chance >= low) & (chance < high)
        assert abs(log["label"][chosen].mean() - chance[chosen].mean()) < 0.02
    assert 0.3 < log["label"].mean() < 0.6


def test_history_effect_looks_at_strictly_earlier_events_only() -> None:
    log = click_log(3000, num_users=20)
    share = np.empty(3000)
    for i in range(3000):
        past = (log["user_id"] == log["user_id"][i]) & (
            log["timestamp"] < log["timestamp"][i]
        )
        last = log["category"][past][-HISTORY:]
        share[i] = (last == log["category"][i]).mean() if len(last) else 0
    rest = log["logit"] + 0.5 * np.log(log["price"]) - 5 * share
    # What is left depends on the item and the segment only.
    pairs = log["item_id"] * 10 + log["segment"]
    for pair in np.unique(pairs):
        assert np.ptp(rest[pairs == pair]) < 1e-9


def test_all_three_effects_matter() -> None:
    log = click_log(20_000)
    item_means = np.bincount(log["item_id"], log["logit"]) / np.maximum(
        np.bincount(log["item_id"]), 1
    )
    pairs = log["segment"] * 10 + log["category"]
    pair_means = np.bincount(pairs, log["logit"]) / np.bincount(pairs)
    by_item = item_means[log["item_id"]]
    assert np.std(by_item) > 0.5
    assert np.std(pair_means[pairs] - by_item) > 0.5
    assert np.std(log["logit"] - pair_means[pairs]) > 0.5
