"""Deep Crossing against eq. 1-3 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Task
from recsys.rank.deep_crossing import ResidualUnit, deep_crossing
from tests import oracle, planted, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
UNITS = (6, 5)


def _logit(model, x, one_hot_below):
    w = oracle.weights(model)
    sizes = {"user_id": 40, "item_id": 30, "category": 7, "hour": 24}
    stack, embedded = [], []
    for name in ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]:
        if name in ("age", "scores"):
            stack.append(x[name].reshape(len(x[name]), -1))
        elif sizes.get(name, 1e9) < one_hot_below:
            stack.append(np.eye(sizes[name])[x[name]])
        else:
            embedded.append(oracle.column(name, x, w, "embedding_"))
    embedded.append(oracle.zoo_attention(x, w))
    shifted = np.concatenate(embedded, -1) + w["dnn_embedded/bias"]  # eq. 1
    z = np.concatenate([*stack, oracle.relu(shifted)], -1)
    for i, units in enumerate(UNITS):  # figure 2
        inner = oracle.relu(oracle.dense(z, w, f"dnn_residual_{i}/inner", units))
        outer = oracle.dense(inner, w, f"dnn_residual_{i}/outer", z.shape[-1])
        z = oracle.relu(z + outer)
    return oracle.dense(z, w, "dnn_logit/logit", 1)


@pytest.mark.oracle
def test_it_computes_the_paper():
    for one_hot_below in (0, 25, 256):
        model = deep_crossing(
            zoo.fields(), LOGIT, one_hot_below=one_hot_below, hidden_units=UNITS
        )
        zoo.jitter(model)
        x = zoo.rows(9)
        close(
            oracle.logit(model, x),
            _logit(model, x, one_hot_below),
            terms=100,
        )


def test_small_vocabularies_have_no_table():
    model = deep_crossing(zoo.fields(), one_hot_below=31)
    tables = {w.path for w in model.weights if w.path.startswith("embedding_")}
    assert tables == {
        f"embedding_{name}/embeddings"
        for name in (
            "user_id",
            "tags",
            "item_id",
            "category",
        )  # two of them for history
    }


def test_parameters():
    model = deep_crossing(zoo.fields(), one_hot_below=25, hidden_units=(6, 5))
    tables = 40 * 4 + 12 * 5 + 30 * 8 + 7 * 4
    attention = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    embedded = 4 + 5 + 8 + 12
    width = embedded + 1 + 2 + 7 + 24
    units = sum(2 * width * h + h + width for h in (6, 5))
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + embedded + units + width + 1


def test_a_unit_without_weights_passes_what_is_not_negative():
    unit = ResidualUnit(4)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    unit(x)
    unit.set_weights([w * 0 for w in unit.get_weights()])
    np.testing.assert_array_equal(unit(x), np.maximum(x, 0))
    np.testing.assert_array_equal(unit(np.abs(x)), np.abs(x))


def test_embeddings_are_not_negative():
    model = deep_crossing(zoo.fields())
    zoo.jitter(model, 1.0)
    inner = keras.Model(model.input, model.get_layer("dnn_embedded").output)
    x = {name: zoo.rows(64)[name] for name in model.input}
    assert inner.predict(x, verbose=0).min() == 0


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(
        lambda fields: deep_crossing(fields, hidden_units=(32, 32)), planted.cross
    )
