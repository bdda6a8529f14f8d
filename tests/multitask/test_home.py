"""HoME: its three parts, and what a category does not see."""

import numpy as np
import pytest

from recsys import Task
from recsys.multitask.home import FeatureGate, SelfGate, home
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import of_task

TASKS = (Task("click"), Task("like"), Task("long"))
CATEGORIES = {"interact": ["like", "click"], "watch": ["long"]}
EXPERTS, UNITS = (6,), (5,)
PAIRS = 2
"""Pairs of matrices of a feature gate."""


def _model(categories=CATEGORIES, n=2, common=1, **kwargs):
    sizes = (n, common, EXPERTS, UNITS)
    model = home(zoo.fields(), TASKS, categories, *sizes, **kwargs)
    zoo.jitter(model)
    return model


def _swish(z):
    return z * oracle.sigmoid(z)


def _weighed(x, w, name, n):
    """The input of each expert, its bits weighed by pairs of matrices."""
    gate, d = f"dnn_feature_gate_{name}", x.shape[-1]
    rank = max(4, d // 16)
    down, up = w[f"{gate}/down"], w[f"{gate}/up"]
    assert down.shape == (n * PAIRS, d, rank) and up.shape == (n * PAIRS, rank, d)
    scores = oracle.dense(x, w, f"{gate}/choice", n * PAIRS, bias=False)
    choice = oracle.softmax(scores.reshape(len(x), n, PAIRS))
    inputs = []
    for k in range(n):
        weight = 0.0
        for i in range(PAIRS):
            each = 2 * oracle.sigmoid(x @ down[PAIRS * k + i] @ up[PAIRS * k + i])
            weight += choice[:, k, [i]] * each
        inputs.append(weight * x)
    return np.stack(inputs, axis=1)


def _experts(inputs, w, name, use_bn):
    """Linear, batch norm by the moving statistics, Swish; `inputs` one for each."""
    at, (_, n, d), (units,) = f"dnn_experts_{name}", inputs.shape, EXPERTS
    kernel, outputs = w[f"{at}/kernel_0"], []
    assert kernel.shape == (n, d, units)
    for k in range(n):
        z = inputs[:, k] @ kernel[k] + w[f"{at}/bias_0"][k]
        if use_bn:
            part = slice(k * units, (k + 1) * units)
            gamma, beta, mean, variance = (
                w[f"{at}/bn_0/{key}"][part]
                for key in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            z = gamma * (z - mean) / np.sqrt(variance + 1e-5) + beta
        outputs.append(_swish(z))
    return np.stack(outputs, axis=1)


def _owned(x, own, w, name):
    """What the owner of experts adds to a mixture; of a single one its sigmoid."""
    n = own.shape[1]
    scores = oracle.dense(x, w, f"dnn_self_gate_{name}/scores", n, bias=False)
    g = oracle.sigmoid(scores) if n == 1 else oracle.softmax(scores)
    return np.einsum("bk,bke->be", g, own)


def _expected(
    x, w, n, common, feature_gate=True, self_gate=True, use_bn=True, shared_meta="own"
):
    def experts(v, name, number):
        same = np.repeat(v[:, None], number, axis=1)
        inputs = _weighed(v, w, name, number) if feature_gate else same
        return _experts(inputs, w, name, use_bn)

    def mixture(v, seen, name, own, at):
        mixed = oracle.mixture(v, seen, w, f"dnn_gate_{name}")
        return mixed + _owned(at, own, w, name) if self_gate else mixed

    v = oracle.features(x, w)
    shared = experts(v, "meta_shared", common)
    of = {c: experts(v, f"meta_{c}", n) for c in CATEGORIES}
    seen = [shared, *of.values()] if shared_meta == "all" else [shared]
    m_0 = mixture(v, seen, "meta_shared", shared, v)
    s_0, mixed = experts(m_0, "shared", common), {}
    for c, members in CATEGORIES.items():
        m_c = mixture(v, [shared, of[c]], f"meta_{c}", of[c], v)
        s_c = experts(m_c, f"category_{c}", n)
        query = np.concatenate([m_0, m_c], axis=-1)
        for t in members:
            p_t = experts(m_c, f"task_{t}", n)
            mixed[t] = mixture(query, [s_0, s_c, p_t], f"task_{t}", p_t, m_c)
    mixed = {task.name: mixed[task.name] for task in TASKS}
    return oracle.task_towers(mixed, w, UNITS, _swish)


@pytest.mark.parametrize(
    ("n", "common", "kwargs"),
    [
        (2, 1, {}),
        (1, 2, {"shared_meta": "all"}),
        (1, 1, {"feature_gate": False, "self_gate": False, "use_bn": False}),
    ],
    ids=str,
)
@pytest.mark.oracle
def test_it_computes_the_paper(n, common, kwargs):
    model = _model(CATEGORIES, n, common, **kwargs)
    x, w = zoo.rows(9), oracle.weights(model)
    expected = _expected(x, w, n, common, **kwargs)
    close(zoo.predictions(model, x), expected, terms=1_000)


def test_by_default_all_tasks_are_of_one_category():
    models = [_model(None), _model({"all": [task.name for task in TASKS]})]
    paths = [sorted(w.path for w in model.weights) for model in models]
    assert paths[0] == paths[1]


def test_parameters():
    def experts(n, d):
        r = max(4, d // 16)
        return n * (2 * 2 * d * r + 2 * d) + n * (d * 6 + 6 + 2 * 6)

    def gates(d, seen, own, at):
        return d * seen * (seen > 1) + at * own

    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    meta = experts(1, 40) + 2 * experts(2, 40) + gates(40, 1, 1, 40)
    meta += 2 * gates(40, 3, 2, 40)
    upper = experts(1, 6) + 2 * experts(2, 6) + 3 * experts(2, 6)
    upper += 3 * (gates(12, 5, 2, 6) + 6 * 5 + 5 + 5 + 1)
    model = _model(history_agg="mean_pooling")
    found = sum(np.prod(w.shape) for w in model.trainable_weights)
    assert found == tables + meta + upper


@pytest.mark.parametrize(("shared_meta", "isolated"), [("own", True), ("all", False)])
def test_a_category_leaves_the_experts_of_another_alone(shared_meta, isolated):
    model = _model(shared_meta=shared_meta)
    y = {"long": np.random.default_rng(0).integers(0, 2, 32)}
    found = of_task(model, zoo.rows(32), y, "long")
    moved = {path for path, gradient in found.items() if np.any(gradient)}
    assert "dnn_experts_meta_watch/kernel_0" in moved
    assert "dnn_experts_meta_shared/kernel_0" in moved
    assert ("dnn_experts_meta_interact/kernel_0" not in moved) == isolated
    other = ("category_interact", "task_like", "task_click", "tower_like")
    assert not [path for path in moved if any(name in path for name in other)]


def test_a_feature_gate_of_zeros_lets_all_through():
    layer, x = FeatureGate(3), np.random.default_rng(0).normal(size=(4, 8))
    layer.build(x.shape)
    layer.down.assign(layer.down * 0)
    found = layer(x.astype("float32"))
    expected = np.repeat(x[:, None], 3, axis=1)
    close(found, expected)
    assert layer.down.shape == (6, 8, 4)


def test_a_single_pair_needs_no_choice():
    layer, x = FeatureGate(2, 1, 3), np.ones((4, 8), "float32")
    assert layer(x).shape == (4, 2, 8)
    assert [w.name for w in layer.weights] == ["down", "up"]


def test_a_self_gate_of_one_is_a_sigmoid():
    layer, x = SelfGate(), np.ones((4, 3), "float32")
    one = np.ones((4, 1, 2), "float32")
    layer.build([x.shape, one.shape])
    layer.scores.kernel.assign(np.zeros((3, 1)))
    np.testing.assert_array_equal(layer([x, one]), np.full((4, 2), 0.5))


def test_config():
    layer = FeatureGate(2, 3, 5, 0.1)
    assert (
        FeatureGate.from_config(layer.get_config()).get_config() == layer.get_config()
    )


def test_errors():
    for wrong in (
        {"a": ["click", "like"]},
        {"a": ["click", "like", "long"], "b": ["long"]},
        {"shared": ["click", "like", "long"]},
    ):
        with pytest.raises(ValueError, match="categories must name each task"):
            home(zoo.fields(), TASKS, wrong)
