"""AutoInt and AutoInt+ against eq. 5-10 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.autoint import FieldAttention, autoint
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category"]
DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
DEEP += ["seen", "seen_category"]
E = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")


def _attention(e, w, name, heads, head_dim):
    """Eq. 5-8, head by head."""

    def heads_of(kind):
        projected = e @ w[f"{name}/{kind}"]
        assert projected.shape[-1] == heads * head_dim
        return np.split(projected, heads, axis=-1)

    mixed = []
    kinds = (heads_of(kind) for kind in ("query", "key", "value"))
    for q, k, v in zip(*kinds, strict=True):
        mixed.append(oracle.softmax(np.einsum("bmd,bkd->bmk", q, k)) @ v)
    residual = e @ w[f"{name}/residual"]
    return oracle.relu(np.concatenate(mixed, axis=-1) + residual)


@pytest.mark.parametrize("hidden_units", [(), (10, 6)])
@pytest.mark.oracle
def test_it_computes_the_paper(hidden_units):
    task = Task("ctr", return_logit=True)
    model = autoint(
        zoo.fields(dim=4), task, num_layers=2, head_dim=5, hidden_units=hidden_units
    )
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    e = np.stack([oracle.column(name, x, w, "embedding_") for name in COLUMNS], axis=1)
    for i in range(2):
        e = _attention(e, w, f"dnn_attention_{i}", heads=2, head_dim=5)
    flat = e.reshape(9, -1)
    if hidden_units:
        deep = oracle.columns(DEEP, x, w)
        logit = oracle.dense(flat, w, "dnn_attention_logit/logit", 1)
        logit = logit + oracle.tower(deep, w, "dnn_mlp", hidden_units, bias=False)
    else:
        flat = np.concatenate([flat, x["scores"]], axis=-1)
        logit = oracle.dense(flat, w, "dnn_attention_logit/logit", 1)
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


def test_parameters():
    model = autoint(zoo.fields(dim=4))
    layers = [4 * d * 2 * 32 for d in (4, 64, 64)]
    tables = (40 + 1 + 12 + 30 + 7 + 24) * 4
    assert model.count_params() == tables + sum(layers) + (8 * 64 + 2) + 1


def _layer():
    layer = FieldAttention(2, 5, 0.1)
    layer.build(E.shape)
    zoo.jitter(layer)
    return layer


def test_a_permutation_of_the_fields_permutes_the_output():
    layer, order = _layer(), [2, 0, 1]
    permuted = layer(E[:, order]).numpy()
    close(permuted, layer(E).numpy()[:, order], terms=100)


def test_without_values_only_the_residual_is_left():
    layer = _layer()
    layer.value.assign(np.zeros(layer.value.shape))
    expected = oracle.relu(E @ layer.residual.numpy())
    close(layer(E), expected, terms=100)


def test_equal_fields_share_their_attention():
    """The mean of equal values is the value: what one field alone would give."""
    layer, e = _layer(), E[:, [0, 0, 0]]
    kernel = layer.value.numpy() + layer.residual.numpy()
    close(layer(e), oracle.relu(e @ kernel), terms=1_000)


def test_attention_pools_histories_if_asked():
    model = autoint(zoo.fields(dim=4), history_agg="attention", hidden_units=(8,))
    assert model.get_layer("dnn_his_attention_default")


def test_several_classes():
    model = autoint(zoo.fields(dim=4), Task("kind", "multiclass", num_classes=3))
    assert model.predict(zoo.rows(5), verbose=0).shape == (5, 3)


def test_penalty_and_config():
    layer = _layer()
    squares = sum(float((w.numpy() ** 2).sum()) for w in layer.weights)
    close(float(sum(layer.losses)), 0.1 * squares, terms=100)
    config = layer.get_config()
    assert FieldAttention.from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="at least 1. Received: num_heads=0"):
        autoint(zoo.fields(dim=4), num_heads=0)
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        autoint(zoo.fields())


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: autoint(fields, num_layers=2, head_dim=8), planted.pairwise
    )
