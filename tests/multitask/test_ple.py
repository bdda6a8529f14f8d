"""PLE against eq. 1-6 of the paper, and which task moves what."""

import numpy as np
import pytest

from recsys.multitask.mmoe import mmoe
from recsys.multitask.ple import ple
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import of_task

NAMES = [task.name for task in zoo.TASKS]
EXPERTS, UNITS = (7, 4), (5,)


def _experts(x, w, name, num):
    return [oracle.experts(x, w, name, num, EXPERTS)] if num else []


def _expected(x, w, levels, own, common):
    """Eq. 1-6; the last level makes no shared stream, which nothing would read."""
    shared = oracle.features(x, w)
    streams = dict.fromkeys(NAMES, shared)
    for level in range(levels):
        at = f"dnn_level_{level}"
        a = {t: _experts(s, w, f"{at}_experts_{t}", own) for t, s in streams.items()}
        b = _experts(shared, w, f"{at}_experts_shared", common)
        streams = {
            t: oracle.mixture(s, [*a[t], *b], w, f"{at}_gate_{t}")
            for t, s in streams.items()
        }
        if level < levels - 1 and common:
            every = [*a["click"], *a["like"], *b]
            shared = oracle.mixture(shared, every, w, f"{at}_gate_shared")
    return oracle.task_towers(streams, w, UNITS)


def _model(levels=1, own=2, common=2, **kwargs):
    model = ple(
        zoo.fields(),
        zoo.TASKS,
        levels,
        own,
        common,
        EXPERTS,
        hidden_units=UNITS,
        **kwargs,
    )
    zoo.jitter(model)
    return model


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize(("own", "common"), [(2, 1), (0, 3), (1, 0)])
@pytest.mark.oracle
def test_it_computes_the_paper(levels, own, common):
    model = _model(levels, own, common)
    x, w = zoo.rows(9), oracle.weights(model)
    close(zoo.predictions(model, x), _expected(x, w, levels, own, common), terms=1_000)


def test_parameters():
    def level(d, shared_gate):
        experts = (2 * 2 + 1) * (d * 7 + 7 + 7 * 4 + 4)
        return experts + 2 * d * (2 + 1) + shared_gate * d * (2 * 2 + 1)

    expected = level(40, True) + level(4, False) + 2 * (4 * 5 + 5 + 5 + 1)
    model = _model(2, 2, 1)
    dnn = [w for w in model.weights if w.path.startswith(("dnn_level", "dnn_tower"))]
    assert sum(np.prod(w.shape) for w in dnn) == expected


def test_without_experts_of_tasks_a_level_is_mmoe():
    model, x = _model(1, 0, 3), zoo.rows(9)
    other = mmoe(zoo.fields(), zoo.TASKS, 3, EXPERTS, UNITS)
    w = {weight.path: weight.numpy() for weight in model.weights}
    for weight in other.weights:
        path = weight.path.replace("dnn_experts", "dnn_level_0_experts_shared")
        weight.assign(w[path.replace("dnn_gate", "dnn_level_0_gate")])
    close(zoo.predictions(model, x), zoo.predictions(other, x), terms=100)


def _moved_by(model, task):
    x, y = zoo.rows(32), zoo.labels("multitask", 32)
    found = of_task(model, x, y, task)
    return {path for path, gradient in found.items() if np.any(gradient)}


@pytest.mark.parametrize("levels", [1, 2])
def test_without_shared_experts_tasks_are_isolated(levels):
    moved = _moved_by(_model(levels, 2, 0), "click")
    assert any("experts_click" in path for path in moved)
    assert not [path for path in moved if "like" in path]


@pytest.mark.parametrize(("levels", "isolated"), [(1, True), (2, False)])
def test_a_task_moves_the_experts_of_another_through_a_lower_level(levels, isolated):
    moved = _moved_by(_model(levels), "click")
    assert ("dnn_level_0_experts_like/kernel_0" not in moved) == isolated
    assert not [p for p in moved if f"level_{levels - 1}" in p and "like" in p]


def test_the_order_of_experts_in_a_group_does_not_matter():
    model, x = _model(2), zoo.rows(9)
    before = zoo.predictions(model, x)
    for layer in model.layers:
        for weight in layer.weights:
            value = weight.numpy()
            if "level_0_experts_like" in weight.path:
                weight.assign(value[::-1])
            elif "level_0_gate_like" in weight.path:
                weight.assign(value[:, [1, 0, 2, 3]])
            elif "level_0_gate_shared" in weight.path:
                weight.assign(value[:, [0, 1, 3, 2, 4, 5]])
    close(zoo.predictions(model, x), before, terms=100)


def test_errors():
    with pytest.raises(ValueError, match="num_experts=0, num_shared_experts=0"):
        ple(zoo.fields(), zoo.TASKS, 1, 0, 0)
    with pytest.raises(ValueError, match="num_layers=0"):
        ple(zoo.fields(), zoo.TASKS, 0)
