"""FNN against eq. 1-6 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Task
from recsys.rank.fm import fm
from recsys.rank.fnn import fnn
from tests import oracle, planted, zoo
from tests.close import close

EMBEDDED = ["user_id", "age", "tags", "item_id", "category", "hour"]
EMBEDDED += ["seen", "seen_category"]
COLUMNS = [*EMBEDDED[:6], "scores", *EMBEDDED[6:]]
LOGIT = Task("ctr", return_logit=True)
UNITS = (8, 4)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = fnn(zoo.fields(), LOGIT, hidden_units=UNITS), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    first = oracle.columns(COLUMNS, x, w, "embedding_linear__")
    v = oracle.columns(EMBEDDED, x, w)
    w0 = np.full((9, 1), w["dnn_bias/bias"])  # eq. 3
    z = np.concatenate([first, v, w0], -1)
    logit = oracle.tower(z, w, "dnn_mlp", UNITS, np.tanh)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_parameters():
    widths = {"user_id": 4, "age": 3, "tags": 5, "item_id": 8, "category": 4, "hour": 2}
    sizes = {"user_id": 40, "age": 1, "tags": 12, "item_id": 30, "category": 7}
    sizes["hour"] = 24
    tables = sum(sizes[name] * (widths[name] + 1) for name in sizes) + 2
    z = 1 + len(COLUMNS) + sum(widths.values()) + 8 + 4
    mlp = z * 200 + 200 + 200 * 300 + 300 + 300 * 100 + 100 + 100 + 1
    assert fnn(zoo.fields()).count_params() == tables + 1 + mlp


def test_it_starts_from_a_factorization_machine():
    first = fm(zoo.fields(dim=4))
    zoo.jitter(first)
    model = fnn(zoo.fields(dim=4), pretrained_fm=first)
    mine, given = oracle.values(model), oracle.values(first)
    shared = {path for path in mine if not path.startswith("dnn_mlp")}
    assert shared == set(given)
    for path in shared:
        np.testing.assert_array_equal(mine[path], given[path])


def test_a_machine_of_other_fields_is_refused_and_nothing_copied():
    with pytest.raises(ValueError, match="same fields.*embedding_.*none"):
        fnn(zoo.fields(), pretrained_fm=fm(zoo.fields(dim=4)[:1]))


def test_with_frozen_tables_only_the_mlp_learns():
    model = fnn(zoo.fields(), hidden_units=(8,))
    for layer in model.layers:
        if layer.name.startswith(("embedding_", "dnn_bias")):
            layer.trainable = False
    model.compile(keras.optimizers.Adam(), "binary_crossentropy")
    before = oracle.values(model)
    model.fit(zoo.rows(64), zoo.labels("rank", 64), verbose=0)
    for path, value in oracle.values(model).items():
        assert np.array_equal(value, before[path]) != path.startswith("dnn_mlp"), path


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(lambda f: fnn(f, hidden_units=(32, 16)), planted.pairwise)
