"""M2M against section 3 of the paper."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.multidomain.m2m import m2m
from tests import oracle, zoo
from tests.close import close
from tests.layers.test_meta import leaky, unit

EXPERTS, VIEW, SCENARIO = 3, 5, 4
TOWER, UNIT = 2, 2
"""Meta units in the tower, and layers of each."""
TASK_FIELDS = [
    Field("click_id", vocabulary_size=3, belong="task", group="click"),
    Field("click_rate", belong="task", group="click", dtype="float32"),
]


def _columns(x):
    rng = np.random.default_rng(5)
    n = len(x["hour"])
    return {**x, "click_id": rng.integers(0, 3, n), "click_rate": rng.random(n)}


def _model(fields=(), **kwargs):
    given = {"num_experts": EXPERTS, "view_dim": VIEW, "scenario_dim": SCENARIO}
    given |= {"meta_tower_depth": TOWER, "meta_unit_depth": UNIT}
    given |= {"history_agg": "mean_pooling"}
    model = m2m([*zoo.fields(domain=True), *fields], zoo.TASKS, **{**given, **kwargs})
    zoo.jitter(model)
    return model


def _view(x, w, name, width):
    return oracle.mlp(x, w, name, (width,), leaky)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.oracle
def test_it_computes_the_paper(shared):
    model, x = _model(TASK_FIELDS, meta_unit_shared=shared), _columns(zoo.rows(9))
    w = oracle.weights(model)
    rate = x["domain_rate"][:, None] * w["embedding_domain_rate/embeddings"]
    domain = [w["embedding_domain_id/embeddings"][x["domain_id"]], rate]
    names = [*oracle.PLAIN, "seen", "seen_category"]
    features = oracle.columns(names, x, w)
    experts = oracle.experts(features, w, "dnn_experts", EXPERTS, (VIEW,), leaky)
    user = oracle.columns(["user_id", "age", "tags"], x, w)
    scenario = np.concatenate([user, *domain], axis=-1)  # in the order of the fields
    s = _view(scenario, w, "dnn_scenario", SCENARIO)
    click = np.concatenate(
        [
            w["embedding_click_id/embeddings"][x["click_id"]],
            x["click_rate"][:, None] * w["embedding_click_rate/embeddings"],
        ],
        axis=-1,
    )
    views = [
        _view(click, w, "dnn_task_click", VIEW),
        np.repeat(w["dnn_task_like/view"], 9, axis=0),
    ]
    outputs = []
    for t, task in enumerate(zoo.TASKS):
        end, own = ("", t) if shared else (f"_{task.name}", 0)
        scores = []
        for i in range(EXPERTS):
            pair = np.concatenate([experts[:, i], views[t]], axis=-1)[:, None]
            h = unit(pair, s, w, f"dnn_meta_attention{end}/unit/", UNIT)
            scores.append(h[:, 0] @ w[f"dnn_meta_attention{end}/score"][own])
        shares = oracle.softmax(np.stack(scores, axis=-1))
        r = np.einsum("bi,biv->bv", shares, experts)[:, None]
        for j in range(TOWER):
            r = leaky(unit(r, s, w, f"dnn_meta_tower{end}/unit_{j}/", UNIT) + r)
        outputs.append(oracle.tower(r[:, 0], w, f"dnn_tower_{task.name}", ()))
    expected = oracle.sigmoid(np.concatenate(outputs, axis=-1))
    found = zoo.predictions(model, x)
    close(found, expected, terms=1_000)


@pytest.mark.parametrize("shared", [True, False])
def test_parameters(shared):
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2 + 3 * 4 + 4
    width, v, k = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12, 5, 4
    views = 3 * (width * v + v) + (4 + 3 + 5 + 8) * k + k + 2 * v
    attention = 2 * (k + 1) * (4 * v * v + 2 * v)
    tower = 2 * 2 * (k + 1) * (v * v + v)
    times = 1 if shared else 2
    heads = 2 * 2 * v + 2 * (v + 1)
    found = _model(meta_unit_shared=shared).count_params()
    assert found == tables + views + times * (attention + tower) + heads


def test_without_a_tower_it_is_a_mixture_of_experts():
    model, x = _model(meta_tower_depth=0), zoo.rows(9)
    experts = model.get_layer("dnn_experts").output
    attention = model.get_layer("dnn_meta_attention")
    inner = keras.Model(model.input, [experts, *attention.input])
    every, *given = inner.predict(x, verbose=0)
    mixed = np.asarray(attention.shares(given)) @ every
    w = oracle.weights(model)
    # What is below the mixture has been computed by the layers.
    w.beside("embedding_", "dnn_experts", "dnn_scenario", "dnn_task", "dnn_meta")
    for t, task in enumerate(zoo.TASKS):
        logit = oracle.tower(mixed[:, t], w, f"dnn_tower_{task.name}", ())
        found = model.predict(x, verbose=0)[task.name]
        close(found, oracle.sigmoid(logit), terms=1_000)


@pytest.mark.parametrize(("num_experts", "num_tasks"), [(2, 2), (3, 2), (2, 4)])
def test_weights_are_generated_once_a_batch(num_experts, num_tasks):
    """Not once for each expert and task: v 5, two layers a unit, a tower of two."""
    tasks = [Task(name) for name in ("click", "like", "buy", "share")[:num_tasks]]
    model = m2m(zoo.fields(domain=True), tasks, num_experts, 5, 4, 2, 2)
    batch = 7
    feed = {name: tf.constant(zoo.rows(batch)[name]) for name in model.input}
    graph = tf.function(model).get_concrete_function(feed).graph
    products = [
        int(np.prod(op.outputs[0].shape.as_list()))
        for op in graph.get_operations()
        if op.type in ("MatMul", "BatchMatMulV2", "Einsum")
        and op.outputs[0].shape.is_fully_defined()
    ]
    assert products.count(batch * 10 * 10) == 2  # of the attention, 2v wide
    assert products.count(batch * 5 * 5) == 2 * 2  # of the tower


def test_the_call_of_version_1():
    fields = [*zoo.fields(domain=True), *TASK_FIELDS]
    model = m2m(fields, list(zoo.TASKS), 2, 8, 4, 1, 1, history_agg="sum_pooling")
    model.compile("adam", keras.losses.BinaryCrossentropy(), metrics=["accuracy"])
    model.fit(_columns(zoo.rows(32)), zoo.labels("multitask", 32), verbose=0)


def test_counts_have_the_poisson_loss_of_their_logits():
    tasks = [Task("clicks", "count"), Task("like")]
    model = m2m(zoo.fields(domain=True), tasks, 2, 5, 4, 1, 1)
    zoo.jitter(model)
    loss = {"clicks": "poisson", "like": "binary_crossentropy"}
    model.compile("adam", loss)
    x = zoo.rows(24)
    y = {"clicks": np.arange(24) % 5, "like": zoo.labels("rank", 24)}
    p = {k: v[:, 0].astype("float64") for k, v in model.predict(x, verbose=0).items()}
    z, one = np.log(p["clicks"]), y["like"] == 1
    expected = (np.exp(z) - y["clicks"] * z).mean()
    expected -= np.log(np.where(one, p["like"], 1 - p["like"])).mean()
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    close(logs["loss"], expected, terms=100)
    with pytest.raises(ValueError, match="'clicks' must be at least 0.*-1"):
        model.fit(x, {**y, "clicks": y["clicks"] - 1}, verbose=0)


def test_errors():
    with pytest.raises(ValueError, match="m2m needs.*belong='domain'.*'user_id'"):
        m2m(zoo.fields(), zoo.TASKS)
    odd = Field("x", vocabulary_size=3, belong="task", group="buy")
    with pytest.raises(ValueError, match=r"'x': group.*\['click', 'like'\].*'buy'"):
        m2m([*zoo.fields(domain=True), odd], zoo.TASKS)
