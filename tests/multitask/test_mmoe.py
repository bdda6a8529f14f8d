"""MMoE against eq. 5-7 of the paper."""

import numpy as np
import pytest

from recsys import load_model
from recsys.multitask.mmoe import mmoe
from recsys.multitask.shared_bottom import shared_bottom
from tests import oracle, zoo
from tests.close import close

NAMES = [task.name for task in zoo.TASKS]
NUM_EXPERTS, EXPERTS, UNITS = 3, (7, 4), (5,)


def _expected(x, w, gates, gate_units=(), gate_bias=False):
    """Eq. 5-7."""
    features, mixed = oracle.features(x, w), {}
    every = oracle.experts(features, w, "dnn_experts", NUM_EXPERTS, EXPERTS)
    for name, gate in zip(NAMES, gates, strict=True):
        h = oracle.mlp(features, w, f"{gate}/gate/mlp", gate_units)
        scores = oracle.dense(h, w, f"{gate}/gate/scores", NUM_EXPERTS, gate_bias)
        mixed[name] = np.einsum("bk,bke->be", oracle.softmax(scores), every)
    return oracle.task_towers(mixed, w, UNITS)


@pytest.mark.parametrize("one_gate", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"gate_units": (5,), "gate_bias": True}], ids=["linear", "mlp"]
)
@pytest.mark.oracle
def test_it_computes_the_paper(options, one_gate):
    sizes = (NUM_EXPERTS, EXPERTS, UNITS)
    model = mmoe(zoo.fields(), zoo.TASKS, *sizes, one_gate=one_gate, **options)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    gates = ["dnn_gate"] * 2 if one_gate else [f"dnn_gate_{name}" for name in NAMES]
    close(zoo.predictions(model, x), _expected(x, w, gates, **options), terms=1_000)


def test_parameters():
    width = 4 + 3 + 5 + 8 + 4 + 2 + 2 + 12
    counts = [
        mmoe(zoo.fields(), zoo.TASKS, n, (7, 4), (5,)).count_params() for n in (1, 3)
    ]
    expert = width * 7 + 7 + 7 * 4 + 4
    assert counts[1] - counts[0] == 2 * expert + 2 * 3 * width


def test_one_expert_is_a_shared_bottom(tmp_path):
    model = mmoe(zoo.fields(), zoo.TASKS, 1, (7, 4), (5,))
    zoo.jitter(model)
    other = shared_bottom(zoo.fields(), zoo.TASKS, (7, 4), (5,))
    w = {weight.path: weight.numpy() for weight in model.weights}
    for weight in other.weights:
        path = weight.path
        if "dnn_bottom" in path:
            kind, i = path.split("/")[-1], path.split("dense_")[1][0]
            path = f"dnn_experts/{kind}_{i}"
        weight.assign(w[path].reshape(weight.shape))
    x = zoo.rows(9)
    close(zoo.predictions(model, x), zoo.predictions(other, x), terms=100)
    assert not [path for path in w if "dnn_gate" in path]
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(zoo.predictions(loaded, x), zoo.predictions(model, x))


def _change(model, change):
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(change(weight.path, weight.numpy()))


def test_the_order_of_experts_does_not_matter():
    model, x, order = mmoe(zoo.fields(), zoo.TASKS, 3), zoo.rows(9), [2, 0, 1]
    zoo.jitter(model)
    before = zoo.predictions(model, x)

    def permuted(path, value):
        if path.startswith("dnn_experts"):
            return value[order]
        return value[:, order] if path.startswith("dnn_gate") else value

    _change(model, permuted)
    close(zoo.predictions(model, x), before, terms=100)


def test_of_equal_experts_a_gate_can_choose_as_it_likes():
    model, x = mmoe(zoo.fields(), zoo.TASKS, 3), zoo.rows(9)
    zoo.jitter(model)

    def equal(path, value):
        if path.startswith("dnn_experts"):
            return np.repeat(value[:1], 3, axis=0)
        return value

    _change(model, equal)
    before = zoo.predictions(model, x)
    _change(model, lambda path, v: v * -3 if path.startswith("dnn_gate") else v)
    close(zoo.predictions(model, x), before, terms=100)
