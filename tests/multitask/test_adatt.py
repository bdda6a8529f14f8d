"""AdaTT against eq. 1-7 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.multitask.adatt import adatt
from recsys.multitask.mmoe import mmoe
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import of_task

NAMES = [task.name for task in zoo.TASKS]
EXPERTS, UNITS = (7, 4), (5,)


def _model(levels=1, m=2, common=0, tasks=zoo.TASKS, **kwargs):
    model = adatt(
        zoo.fields(), tasks, levels, m, common, EXPERTS, hidden_units=UNITS, **kwargs
    )
    zoo.jitter(model)
    return model


def _expected(x, w, levels, m, common, residual):
    """Eq. 1-7; the last level fuses for tasks alone."""
    streams = dict.fromkeys(NAMES, oracle.features(x, w))
    numbers = dict.fromkeys(NAMES, m)
    if common:
        streams["shared"], numbers["shared"] = streams["click"], common
    total = sum(numbers.values())
    free = max(m, common) > 1  # a single expert each is added as it is
    for level in range(levels):
        at, fused = f"dnn_level_{level}", {}
        every = {
            t: oracle.experts(s, w, f"{at}_experts_{t}", numbers[t], EXPERTS)
            for t, s in streams.items()
        }
        together = np.concatenate([*every.values()], axis=1)
        for t, s in streams.items():
            if t == "shared" and level == levels - 1:
                continue
            scores = oracle.dense(s, w, f"{at}_gate_{t}/gate/scores", total)
            fused[t] = np.einsum("bk,bke->be", oracle.softmax(scores), together)
            if residual:  # eq. 5
                v = w[f"{at}_native_{t}/v"][0] if free else np.ones(1)
                fused[t] = fused[t] + np.einsum("k,bke->be", v, every[t])
        streams = fused
    return oracle.task_towers(streams, w, UNITS)


@pytest.mark.parametrize(
    ("levels", "m", "common", "residual"),
    [(1, 1, 0, True), (1, 2, 0, False), (2, 2, 1, True), (3, 2, 0, True)],
)
@pytest.mark.oracle
def test_it_computes_the_paper(levels, m, common, residual):
    model = _model(levels, m, common, self_residual=residual)
    x, w = zoo.rows(9), oracle.weights(model)
    close(
        zoo.predictions(model, x),
        _expected(x, w, levels, m, common, residual),
        terms=1_000,
    )


def test_parameters():
    gate, expert = 40 * 4 + 4, 40 * 7 + 7 + 7 * 4 + 4
    dnn = [w for w in _model().weights if w.path.startswith(("dnn_level", "dnn_tower"))]
    expected = 4 * expert + 2 * (gate + 2) + 2 * (4 * 5 + 5 + 5 + 1)
    assert sum(np.prod(w.shape) for w in dnn) == expected


def test_a_single_task_with_one_expert_counts_it_twice():
    model = _model(1, 1, tasks=[Task("click")])
    x, w = zoo.rows(9), oracle.weights(model)
    name = "dnn_level_0_experts_click"
    a = oracle.experts(oracle.features(x, w), w, name, 1, EXPERTS)[:, 0]
    expected = oracle.task_towers({"click": 2 * a}, w, UNITS)
    close(zoo.predictions(model, x), expected, terms=1_000)


def test_without_native_experts_it_is_mmoe():
    model = _model()
    for weight in model.weights:
        if "native" in weight.path:
            weight.assign(np.zeros(weight.shape))
    other = mmoe(zoo.fields(), zoo.TASKS, 4, EXPERTS, UNITS, gate_bias=True)
    w = {weight.path: weight.numpy() for weight in model.weights}
    for weight in other.weights:
        path = weight.path.replace("dnn_gate", "dnn_level_0_gate")
        if path.startswith("dnn_experts"):
            paths = [path.replace("dnn", "dnn_level_0", 1)] * 2
            both = [
                w[p.replace("experts", f"experts_{t}")]
                for p, t in zip(paths, NAMES, strict=True)
            ]
            weight.assign(np.concatenate(both))
        else:
            weight.assign(w[path])
    x = zoo.rows(9)
    close(zoo.predictions(model, x), zoo.predictions(other, x), terms=1_000)


def test_a_gate_on_its_own_experts_isolates_a_task():
    model = _model(self_residual=False)
    gate = model.get_layer("dnn_level_0_gate_click").gate.scores
    gate.kernel.assign(gate.kernel * 0)
    gate.bias.assign([0.0, 0.0, -200.0, -200.0])
    found = of_task(model, zoo.rows(32), zoo.labels("multitask", 32), "click")
    moved = {path for path, gradient in found.items() if np.any(gradient)}
    assert "dnn_level_0_experts_click/kernel_0" in moved
    assert not [path for path in moved if "like" in path]


def test_errors():
    with pytest.raises(ValueError, match="num_experts must .*num_experts=0"):
        adatt(zoo.fields(), zoo.TASKS, 1, 0, 2)
