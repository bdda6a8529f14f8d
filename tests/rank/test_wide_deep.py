"""Wide & Deep against eq. 1-3 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field, Task
from recsys.rank.wide_deep import CrossProduct, wide_deep
from recsys.train.optimizers import FTRL
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
HISTORY = ["seen", "seen_category"]
CROSSES = [("user_id", "category"), ("hour", "category", "item_id")]
LOGIT = Task("ctr", return_logit=True)
UNITS = (8, 4)


def _model(**kwargs):
    model = wide_deep(zoo.fields(), **{"hidden_units": UNITS, **kwargs})
    zoo.jitter(model)
    return model


def _wide(w, x):
    names = [*COLUMNS, *HISTORY]
    columns = [oracle.column(n, x, w, "embedding_linear__") for n in names]
    return w["dnn_bias/bias"] + sum(columns)


def _deep(w, x):
    z = [oracle.columns(COLUMNS, x, w), oracle.zoo_attention(x, w)]
    return oracle.tower(np.concatenate(z, -1), w, "dnn_mlp", UNITS, bias=False)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(crosses=CROSSES, task=LOGIT), zoo.rows(9)
    w = oracle.weights(model)
    pair = w["embedding_linear__user_id_x_category/embeddings"]
    triple = w["embedding_linear__hour_x_category_x_item_id/embeddings"]
    logit = _wide(w, x) + _deep(w, x)
    logit += pair[x["user_id"] * 7 + x["category"]]  # eq. 1: an id for each cross
    logit += triple[(x["hour"] * 7 + x["category"]) * 30 + x["item_id"]]
    out = model.predict(x, verbose=0)
    close(out["logit"], logit, terms=100)
    close(out["ctr"], oracle.sigmoid(logit), terms=100)


def test_without_hidden_units_it_is_logistic_regression():
    model, x = _model(hidden_units=(), task=LOGIT), zoo.rows(9)
    logit = _wide(oracle.weights(model), x)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_without_wide_weights_it_is_an_mlp():
    model, x = _model(crosses=CROSSES, task=LOGIT), zoo.rows(9)
    for weight in model.weights:
        if weight.path.startswith(("embedding_linear__", "dnn_bias")):
            weight.assign(weight * 0)
    w = oracle.weights(model)
    logit = _deep(w, x)
    w.beside("embedding_linear__", "dnn_bias")  # zeros
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_parameters():
    model = wide_deep(zoo.fields(), crosses=CROSSES, num_buckets=1000)
    tables = 40 * 5 + 4 + 12 * 6 + 30 * 9 + 7 * 5 + 24 * 3 + 2  # with linear weights
    attention = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    mlp = width * 1024 + 1024 + 1024 * 512 + 512 + 512 * 256 + 256 + 256
    crosses = 40 * 7 + 1000
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + 1 + attention + mlp + crosses


def test_every_combination_has_an_id_or_is_hashed():
    a, b = (v.ravel() for v in np.meshgrid(np.arange(40), np.arange(25)))
    exact = np.asarray(CrossProduct((40, 25), 1000)([a, b]))
    assert sorted(exact) == list(range(1000))
    hashed = np.asarray(CrossProduct((40, 25), 997)([a, b]))
    assert hashed.min() >= 0 and hashed.max() < 997
    assert len(np.unique(hashed)) > 0.6 * 997  # 1 - 1/e of a perfect hash
    large = np.random.default_rng(0).integers(0, 2**31 - 1, (3, 10_000))
    spread = np.asarray(CrossProduct((2**31,) * 3, 1000)(list(large)))
    assert np.bincount(spread, minlength=1000).max() < 30
    assert spread.min() >= 0


@pytest.mark.parametrize("names", [("user_id",), ("user_id", "tags"), ("seen", "age")])
def test_a_cross_needs_single_ids(names):
    with pytest.raises(ValueError, match="at least two fields.*Received"):
        wide_deep(zoo.fields(), crosses=[names])


def test_two_optimizers_as_in_the_paper():
    model = _model(crosses=CROSSES)
    wide = FTRL(l1_regularization_strength=0.01)
    model.compile(
        {"embedding_linear": wide, "dnn_bias": "ftrl", "default": "adagrad"},
        "binary_crossentropy",
    )
    groups = model.special_layer_variables
    assert len(groups["embedding_linear"]) == 7 + 2
    assert all("linear__" in v.path for v in groups["embedding_linear"])
    model.fit(zoo.rows(64), zoo.labels("rank", 64), verbose=0)


@pytest.mark.all
def test_it_learns_a_cross_without_a_deep_part():
    planted.assert_learns(
        lambda fields: wide_deep(fields, crosses=[("a", "b", "c")], hidden_units=()),
        planted.cross,
        learning_rate=0.1,
    )


def test_the_wide_part_takes_a_shared_table():
    fields = [
        Field("item", vocabulary_size=9, belong="item"),
        Field("last_item", emb="item"),
    ]
    model = wide_deep(fields, crosses=[("item", "last_item")])
    assert isinstance(model, keras.Model)
    assert model.get_layer("embedding_linear__item_x_last_item").count_params() == 81
