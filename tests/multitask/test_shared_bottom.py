"""Shared-Bottom: its equation, and that one task is an MLP."""

import pytest

from recsys import Task
from recsys.multitask.shared_bottom import shared_bottom
from tests import oracle, zoo
from tests.close import close


@pytest.mark.oracle
def test_it_computes_the_paper():
    """Eq. 1 of MMoE's paper."""
    model = shared_bottom(zoo.fields(), zoo.TASKS, (9, 6), (5,))
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    h = oracle.mlp(oracle.features(x, w), w, "dnn_bottom", (9, 6))
    expected = oracle.task_towers({"click": h, "like": h}, w, (5,))
    close(zoo.predictions(model, x), expected, terms=1_000)


def test_parameters():
    counts = [
        shared_bottom(zoo.fields(), tasks, (9, 6), (5,)).count_params()
        for tasks in (zoo.TASKS[:1], zoo.TASKS)
    ]
    assert counts[1] - counts[0] == 6 * 5 + 5 + 5 + 1


def test_without_a_bottom_a_task_is_an_mlp():
    model = shared_bottom(zoo.fields(), [Task("ctr")], (), (8, 4))
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    logit = oracle.tower(oracle.features(x, w), w, "dnn_tower_ctr", (8, 4))
    found = model.predict(x, verbose=0)
    assert list(found) == ["ctr"]
    close(found["ctr"], oracle.sigmoid(logit), terms=1_000)
