"""ETA against equations 1-9 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.eta import eta
from tests import oracle, zoo
from tests.close import close
from tests.rank.test_sim import _table_gradient

BOTH = Task("ctr", return_logit=True)


def _distances(x, w):
    e, valid, q = oracle.history(x, w)
    r = w["dnn_hash_default/hash/directions"]
    differ = ((e @ r > 0) != ((q @ r) > 0)[:, None]).sum(-1)
    return np.where(valid, differ, r.shape[1] + 1)


@pytest.mark.parametrize("k", [2, 50])
@pytest.mark.oracle
def test_it_computes_the_paper(k):
    model = eta(zoo.fields(), BOTH, (8, 4), k=k, num_bits=32)
    zoo.jitter(model)
    x, w = zoo.rows(24), oracle.weights(model)
    e, valid, q = oracle.history(x, w)
    distances, rows = _distances(x, w), []
    for row in range(24):
        newest = np.flatnonzero(valid[row])[::-1]
        found = newest[np.argsort(distances[row][newest], kind="stable")][:k]
        z, seen = e[row, found], np.ones((1, len(found)), bool)
        attended = oracle.attention(
            q[row][None], z, seen, 2, w, "dnn_attention_default/attention"
        )
        rows.append(attended[0] if len(found) else 0 * attended[0])
    expected = oracle.with_interest(x, w, np.stack(rows), (8, 4))
    logit = oracle.logit(model, x)
    close(logit, expected, terms=1_000)


def test_the_item_itself_is_found_first_and_nothing_else_learns():
    x, y = zoo.rows(1), np.array([1])
    x["seen"], x["item_id"] = np.array([[11, 12, 13, 14, 15, 16]]), np.array([13])
    x["seen_category"], x["category"] = np.array([[1, 2, 3, 4, 5, 6]]), np.array([3])
    model = eta(zoo.fields(), k=1)
    zoo.jitter(model)
    assert _distances(x, oracle.values(model))[0, 2] == 0
    touched = np.flatnonzero(np.abs(_table_gradient(model, x, y)).max(1))
    assert list(touched) == [13]


def test_predictions_do_not_change_from_call_to_call():
    model, x = eta(zoo.fields(), k=2), zoo.rows(9)
    one, other = model.predict(x, verbose=0), model.predict(x, verbose=0)
    np.testing.assert_array_equal(one, other)


def test_the_hash_is_saved_and_not_trained():
    model = eta(zoo.fields(), num_bits=8)
    frozen = [v.path for v in model.non_trainable_weights if "moving" not in v.path]
    assert frozen == ["dnn_hash_default/hash/directions"]
