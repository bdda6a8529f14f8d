"""HMoE: several sets of embeddings, each with interactions of its own."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Task
from recsys.rank.hmoe import InteractionExpert, hmoe
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
CROSS, GWPFM = InteractionExpert.CrossNet, InteractionExpert.GwPFM
PRODUCT = InteractionExpert.ProductLayer
TWO_SETS = ({PRODUCT: {}, CROSS: {"num_layers": 1}}, {PRODUCT: {}})
LOGIT = Task("ctr", return_logit=True)
D, UNITS = 4, (6, 5)


def _model(experts=TWO_SETS, **kwargs):
    fields = zoo.fields(dim=D)
    model = hmoe(fields, experts, LOGIT, hidden_units=UNITS, **kwargs)
    zoo.jitter(model)
    return model


def _of_set(i, w):
    """The weights of one set, by the names that the oracle of the zoo knows."""
    return w.through(
        lambda path: path.replace("embedding_", f"embedding_set_{i}__").replace(
            "attention_default", f"attention_set_{i}__default"
        )
    )


def _hidden(w, x):
    """The outputs of the three experts of TWO_SETS."""
    for i, name in ((0, PRODUCT), (0, CROSS), (1, PRODUCT)):
        own = _of_set(i, w)
        history = oracle.zoo_attention(x, own)
        e = [oracle.column(n, x, own, "embedding_") for n in COLUMNS]
        e += [history[:, :D], history[:, D:]]
        flat = z = np.concatenate(e, -1)
        if name is PRODUCT:
            pairs = itertools.combinations(e, 2)
            inner = [(a * b).sum(-1, keepdims=True) for a, b in pairs]
            z = np.concatenate([flat, *inner], -1)
        else:
            cross = oracle.dense(flat, w, f"dnn_{name}_{i}/cross_0", 8 * D)
            z = flat * cross + flat
        z = np.concatenate([z, x["scores"]], -1)
        yield oracle.mlp(z, w, f"dnn_mlp_{name}_{i}", UNITS), flat


@pytest.mark.parametrize("combine", ["mean", "sum_weighted", "gate_weighted"])
@pytest.mark.oracle
def test_it_computes_the_paper(combine):
    model = _model(**({} if combine == "mean" else {combine: True}))
    x = zoo.rows(9)
    w = oracle.weights(model)
    experts, flat = zip(*_hidden(w, x), strict=True)
    if combine == "mean":
        hidden = np.mean(experts, axis=0)
    elif combine == "sum_weighted":
        hidden = np.tensordot(w["dnn_sum/scale"], experts, 1)
    else:
        scores = [
            oracle.dense(flat[0], w, "dnn_gate_0", 2),
            oracle.dense(flat[2], w, "dnn_gate_1", 1),
        ]
        share = np.exp(np.concatenate(scores, -1))
        share /= share.sum(-1, keepdims=True)
        hidden = np.einsum("bk,kbd->bd", share, np.stack(experts))
    logit = oracle.dense(hidden, w, "dnn_tower/logit", 1)
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_parameters():
    tables = (40 + 1 + 12 + 30 + 7 + 24) * D
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)

    def mlp(width):
        return (width + 2) * 6 + 6 + 6 * 5 + 5

    cross = 32 * 32 + 32
    expected = 2 * (tables + attention) + 2 * mlp(32 + 28) + mlp(32) + cross + 5 + 1
    trainable = sum(int(np.prod(v.shape)) for v in _model().trainable_weights)
    assert trainable == expected


def test_an_expert_reaches_the_tables_of_its_set_only():
    model = _model()
    x = {name: tf.constant(zoo.rows(9)[name]) for name in model.input}
    name = f"dnn_mlp_{PRODUCT}_1"
    inner = keras.Model(model.input, model.get_layer(name).output)
    tables = [w for w in model.trainable_weights if w.path.startswith("embedding_")]
    with tf.GradientTape() as tape:
        out = tf.reduce_sum(inner(x))
    gradients = tape.gradient(out, [table.value for table in tables])
    for table, gradient in zip(tables, gradients, strict=True):
        assert (gradient is not None) == table.path.startswith("embedding_set_1__")


def test_with_gwpfm_a_set_has_vectors_for_every_group():
    fields = zoo.fields(dim=D)
    model = hmoe(fields, ({GWPFM: {}}, {CROSS: {}}))
    shapes = {w.path: tuple(w.shape) for w in model.weights}
    assert shapes["embedding_set_0__user_id/embeddings"] == (40, 3 * D)
    assert shapes["embedding_set_1__user_id/embeddings"] == (40, D)
    assert fields == zoo.fields(dim=D)


def test_crosses_alone_take_any_widths():
    assert hmoe(zoo.fields(), ({CROSS: {}}, {CROSS: {}})).count_params()
    with pytest.raises(ValueError, match="one dim"):
        hmoe(zoo.fields(), ({CROSS: {}}, {PRODUCT: {}}))


@pytest.mark.parametrize("arguments", [{"hidden_units": ()}, {"expert_group": ({},)}])
def test_it_needs_experts_and_layers(arguments):
    with pytest.raises(ValueError, match="needs hidden_units, and an expert"):
        hmoe(zoo.fields(dim=D), **arguments)


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(lambda f: hmoe(f, gate_weighted=True), planted.cross, 0.01)
