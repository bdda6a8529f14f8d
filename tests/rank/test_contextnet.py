"""ContextNet against eq. 5-14 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Task
from recsys.rank.contextnet import contextnet, feature_contributions
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
F, D, T = 8, 4, 5


def _model(**kwargs):
    kwargs = {"num_blocks": 2, "context_units": T, **kwargs}
    model = contextnet(zoo.fields(dim=D), LOGIT, **kwargs)
    zoo.jitter(model)
    return model


def _refined(w, x, share, single_layer):
    history = oracle.zoo_attention(x, w)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    refined = e = np.stack([*e, history[:, :D], history[:, D:]], 1)
    for i in (0, 1):
        a = f"dnn_aggregate_{i if share == 'none' else 0}"
        p = f"dnn_project_{0 if share == 'all' else i}"
        # Eq. 6: of the embeddings as they are in the tables.
        hidden = oracle.relu(oracle.dense(e.reshape(9, -1), w, a, T, bias=False))
        context = oracle.dense(hidden, w, p, F * D, bias=False)
        m = refined * context.reshape(9, F, D)
        name = f"dnn_block_{i}"
        if single_layer:  # eq. 13
            refined = oracle.dense(m, w, f"{name}/dense", D, bias=False)
        else:  # eq. 9 and 11-12
            inner = oracle.relu(oracle.dense(m, w, f"{name}/inner", D, bias=False))
            refined = oracle.dense(inner, w, f"{name}/outer", D, bias=False) + m
        refined = oracle.norm(refined, w, f"{name}/norm")
    return refined


@pytest.mark.parametrize("share", ["none", "aggregation", "all"])
@pytest.mark.parametrize("single_layer", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(share, single_layer):
    model, x = _model(share=share, single_layer=single_layer), zoo.rows(9)
    w = oracle.weights(model)
    refined = _refined(w, x, share, single_layer)
    by_field = (refined * w["dnn_contributions/kernel"]).sum(-1)  # eq. 14
    rest = oracle.tower(x["scores"], w, "dnn_raw", (), bias=False) + w["dnn_bias/bias"]
    out = oracle.logit(model, x)
    close(out, by_field.sum(-1, keepdims=True) + rest, terms=1_000)
    found = feature_contributions(model, x)
    assert list(found) == [*COLUMNS, "seen", "seen_category"]
    close(np.stack([*found.values()], 1), by_field, terms=1_000)


@pytest.mark.parametrize(
    ("share", "contexts"),
    [
        ("none", 2 * (T * F * D + F * T * D)),
        ("aggregation", T * F * D + 2 * F * T * D),
        ("all", T * F * D + F * T * D),
    ],
)
def test_parameters(share, contexts):
    tables = (40 + 1 + 12 + 30 + 7 + 24) * D
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    blocks = 2 * (2 * D * D + 2 * D)
    trainable = sum(
        int(np.prod(v.shape)) for v in _model(share=share).trainable_weights
    )
    assert trainable == tables + attention + contexts + blocks + F * D + 2 + 1


def test_the_context_comes_from_the_tables_and_blocks_refine_by_it_only():
    model, x = _model(), zoo.rows(9)
    projections = [model.get_layer(f"dnn_project_{i}") for i in (0, 1)]
    contexts = keras.Model(model.input, [p.output for p in projections])
    x = {name: x[name] for name in model.input}
    before = contexts.predict(x, verbose=0)
    inner = model.get_layer("dnn_block_0").inner.kernel
    inner.assign(inner * 3)
    for one, other in zip(before, contexts.predict(x, verbose=0), strict=True):
        np.testing.assert_array_equal(one, other)
    projections[1].kernel.assign(projections[1].kernel * 0)
    out = keras.Model(model.input, model.get_layer("dnn_block_1").output)
    beta = np.asarray(model.get_layer("dnn_block_1").norm.beta)
    np.testing.assert_array_equal(
        out.predict(x, verbose=0), np.broadcast_to(beta, (9, F, D))
    )


def test_another_way_to_share_is_refused():
    with pytest.raises(ValueError, match="'all'. Received: share='some'"):
        contextnet(zoo.fields(dim=4), share="some")


@pytest.mark.all
def test_it_learns_which_field_matters():
    planted.assert_learns(contextnet, planted.gate, learning_rate=0.01)
