"""AME: tables of several widths that no task owns."""

import numpy as np
import pytest

from recsys.multitask.ame import ame
from tests import oracle, zoo
from tests.close import close
from tests.multitask.gradients import of_task

NAMES = [task.name for task in zoo.TASKS]
NUM_EXPERTS, EXPERTS, UNITS = 2, (7, 4), (5,)


def _model(times=(1, 2), **kwargs):
    model = ame(
        zoo.fields(),
        zoo.TASKS,
        times,
        NUM_EXPERTS,
        EXPERTS,
        UNITS,
        history_agg="mean_pooling",
        **kwargs,
    )
    zoo.jitter(model)
    return model


def _features(x, w, i):
    names = [*oracle.PLAIN, "seen", "seen_category"]
    return oracle.columns(names, x, w, f"embedding_set_{i}__")


@pytest.mark.parametrize("affinity", [None, {"like": [1]}])
@pytest.mark.oracle
def test_it_computes_the_paper(affinity):
    model = _model(affinity=affinity)
    x, w = zoo.rows(9), oracle.weights(model)
    features = [_features(x, w, i) for i in range(2)]
    mixed = {}
    for name in NAMES:
        sets = (affinity or {}).get(name, [0, 1])
        every = [
            oracle.experts(features[i], w, f"dnn_experts_{i}", NUM_EXPERTS, EXPERTS)
            for i in sets
        ]
        query = np.concatenate([features[i] for i in sets], axis=-1)
        mixed[name] = oracle.mixture(query, every, w, f"dnn_gate_{name}")
    close(zoo.predictions(model, x), oracle.task_towers(mixed, w, UNITS), terms=1_000)


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    embedded, raw = 4 + 3 + 5 + 8 + 4 + 2 + 12, 2
    expected = 2 * (4 * 5 + 5 + 5 + 1)
    for k in (1, 2):
        width = k * embedded + raw
        expected += k * tables + 2 * (width * 7 + 7 + 7 * 4 + 4) + 2 * width * 4
    assert _model().count_params() == expected


def test_a_task_trains_the_tables_it_may_use():
    x, y = zoo.rows(32), zoo.labels("multitask", 32)
    model = _model(affinity={"like": [1]})
    for name, sets in (("click", {0, 1}), ("like", {1})):
        found = of_task(model, x, y, name)
        moved = {
            i for i in (0, 1) if np.any(found[f"embedding_set_{i}__item_id/embeddings"])
        }
        assert moved == sets


def test_errors():
    with pytest.raises(ValueError, match=r"at least 1. Received: times=\(0,\)"):
        ame(zoo.fields(), zoo.TASKS, (0,))
    for wrong in ({"buy": [0]}, {"like": [3]}, {"like": []}):
        with pytest.raises(
            ValueError, match=r"\['click', 'like'\] sets of \[0, 1, 2\]"
        ):
            ame(zoo.fields(), zoo.TASKS, affinity=wrong)
