"""From a history to a vector, against float64 NumPy."""

import keras
import numpy as np
import pytest

from recsys.layers.activation_unit import AttentionLayer
from recsys.layers.aggregation import (
    AGGREGATIONS,
    get_agg_layer,
    history_embedding_aggregation,
)
from tests import oracle, zoo
from tests.close import close

QUERY, LENGTH, WIDTH, DFF = 4, 5, 4, 6
VALID = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0] * 5]) > 0


@pytest.fixture(params=AGGREGATIONS)
def name(request):
    return request.param


def _made(name, **kwargs):
    layer = get_agg_layer(name, name="agg", **kwargs)
    rng = np.random.default_rng(0)
    query = rng.normal(size=(4, QUERY)).astype("float32")
    history = rng.normal(size=(4, LENGTH, WIDTH)).astype("float32")
    layer([query, history])
    zoo.jitter(layer)
    return layer, query, history


def _softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def _ages(valid):
    """How many behaviours follow each, row by row."""
    return [[int(row[t + 1 :].sum()) for t in range(LENGTH)] for row in valid]


def _expected(name, layer, query, history):
    w = oracle.weights(layer)
    pooled = []
    for row in range(4):
        e, q = history[row][VALID[row]].astype("float64"), query[row].astype("float64")
        ages = np.array(_ages(VALID)[row])[VALID[row]].astype(int)
        if not len(e):
            pooled.append(np.zeros(WIDTH))
        elif name == "mean_pooling":
            pooled.append(e.mean(0))
        elif name == "sum_pooling":
            pooled.append(e.sum(0))
        elif name == "max_pooling":
            pooled.append(e.max(0))
        elif name == "attention":
            seen = np.ones((1, len(e)), bool)
            pooled.append(oracle.activation_unit(q[None], e[None], seen, w, "agg")[0])
        elif name == "tim":
            p = w["agg/positions"]
            e, q = e + p[ages + 1], q + p[0]
            a = _softmax(e @ q / np.sqrt(WIDTH))
            pooled.append((a[:, None] * (e * q)).sum(0))
        else:
            pooled.append(_transformer(w, q, e, ages))
    return np.array(pooled)


def _transformer(w, q, e, ages):
    """One layer of two heads: LN(q + attention), then LN(x + MLP(x))."""

    def norm(x, name):
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
        return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

    layer = "agg/encoder/layer_0"
    e = e + w["agg/pos/positions"][ages]
    at = f"{layer}/cross_attention/attention"
    qs, ks, vs = (
        oracle.dense(x, w, f"{at}/{part}", WIDTH)
        for x, part in ((q, "query"), (e, "key"), (e, "value"))
    )
    heads = []
    for h in (slice(0, 2), slice(2, 4)):
        heads.append(_softmax(ks[:, h] @ qs[h] / np.sqrt(2)) @ vs[:, h])
    attended = oracle.dense(np.concatenate(heads), w, f"{at}/output", WIDTH)
    x = norm(q + attended, f"{layer}/cross_attention/norm")
    change = oracle.relu(oracle.dense(x, w, f"{layer}/ffn/expand", DFF))
    change = oracle.dense(change, w, f"{layer}/ffn/contract", WIDTH)
    return norm(x + change, f"{layer}/ffn/norm")


def _kwargs(name):
    return {"transformer": {"dff": DFF, "num_heads": 2}}.get(name, {})


def test_each_computes_its_formula_and_zero_for_an_empty_history(name):
    layer, query, history = _made(name, **_kwargs(name))
    found = layer([query, history], valid=VALID)
    expected = _expected(name, layer, query, history)
    close(found, expected, terms=1_000)


def test_padding_has_no_influence_on_output_or_gradient(name):
    import tensorflow as tf

    layer, query, history = _made(name, **_kwargs(name))
    noisy = np.where(VALID[..., None], history, 1e3).astype("float32")
    close(
        layer([query, noisy], valid=VALID),
        layer([query, history], valid=VALID),
        terms=100,
    )
    x = tf.Variable(noisy)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer([query, x], valid=VALID) ** 2)
    gradient = tape.gradient(loss, x).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[~VALID], 0)


def test_the_side_of_padding_does_not_matter(name):
    layer, query, history = _made(name, **_kwargs(name))
    order = np.argsort(VALID, axis=1, kind="stable")
    moved = np.take_along_axis(history, order[..., None], axis=1)
    valid = np.take_along_axis(VALID, order, axis=1)
    close(
        layer([query, moved], valid=valid),
        layer([query, history], valid=VALID),
        terms=1_000,
    )


def test_each_survives_its_config(name):
    layer, query, history = _made(name, **_kwargs(name))
    again = layer.__class__.from_config(layer.get_config())
    again([query, history])
    again.set_weights(layer.get_weights())
    close(again([query, history], valid=VALID), layer([query, history], valid=VALID))


@pytest.mark.parametrize(("name", "ordered"), [("transformer", True), ("tim", True)])
def test_positions_make_the_order_matter(name, ordered):
    layer, query, history = _made(name)
    turned = layer([query, history[:, ::-1]])
    assert np.abs(turned - layer([query, history])).max() > 1e-3


def test_weights_of_values():
    _, _, history = _made("mean_pooling")
    w = np.random.default_rng(0).random((4, LENGTH))
    total = (w * VALID).sum(1, keepdims=True)
    expected = (history * (w * VALID)[..., None]).sum(1)
    found = get_agg_layer("sum_pooling")(history, valid=VALID, weights=w)
    close(found, expected, terms=100)
    found = get_agg_layer("mean_pooling")(history, valid=VALID, weights=w)
    close(found, expected / np.where(total > 0, total, 1), terms=100)


def test_a_wide_query_is_projected_and_positions_may_be_concatenated():
    layer = get_agg_layer(
        "transformer", d_model=6, position_merge="concat", num_heads=3
    )
    out = layer([np.ones((2, 4), "float32"), np.ones((2, 5, 8), "float32")])
    assert out.shape == (2, 6)
    odd = get_agg_layer("transformer")  # two heads of a width of three
    assert odd([np.ones((2, 3), "float32"), np.ones((2, 5, 3), "float32")]).shape == (
        2,
        3,
    )


def test_a_history_longer_than_its_positions():
    layer = get_agg_layer("tim", max_len=2)
    out = layer([np.ones((2, 4), "float32"), np.ones((2, 9, 4), "float32")])
    assert np.isfinite(out).all() and layer.positions.shape == (3, 4)


def test_the_form_of_version_1():
    query = keras.Input((4,))
    groups = {name: keras.Input((5, 4)) for name in ("seq_1", "seq_2")}
    out = history_embedding_aggregation(groups, query, "attention", prefix="dnn/his")
    assert out.shape == (None, 8)
    names = {layer.name for layer in keras.Model([query, *groups.values()], out).layers}
    assert {"dnn_his_attention_seq_1", "dnn_his_attention_seq_2"} <= names
    assert history_embedding_aggregation(groups["seq_1"], query, "tim").shape == (
        None,
        4,
    )


def test_errors():
    with pytest.raises(ValueError, match="history_agg must be one of.*'avg'"):
        get_agg_layer("avg")
    with pytest.raises(ValueError, match="as wide as the history, 3.*width 4"):
        AttentionLayer()([np.ones((2, 4)), np.ones((2, 5, 3))])
