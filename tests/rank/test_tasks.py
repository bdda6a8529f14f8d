"""What a model's docstring says of tasks is what it takes."""

import importlib
import inspect
import re

import numpy as np
import pytest

from recsys import Task
from recsys.rank.xdeepfm import xdeepfm
from tests import oracle, zoo
from tests.close import close

ONE_TASK = [entry for entry in zoo.ENTRIES if "task" in entry.arguments()]
OFF = {"hidden_units": (), "tri_bce": False, "distillation": 0.0, "search_weight": 0.0}
ON = {"hidden_units": (8,)}
KINDS = {
    "The task": {"binary", "regression", "count", "multiclass"},
    "any": {"binary", "regression", "count", "multiclass"},
    "Any but a multiclass one": {"binary", "regression", "count"},
    "any but a multiclass one": {"binary", "regression", "count"},
    "A binary or regression task": {"binary", "regression"},
    "A binary task": {"binary"},
}


def _cases(entry):
    """The arguments that the docstring makes a difference of, and the kinds for each.

    `task: <kinds>`, or `task: <kinds>; without `argument` <kinds>`.
    """
    build = getattr(
        importlib.import_module(f"recsys.{entry.family}.{entry.name}"), entry.name
    )
    text = re.search(r"\n +task: (.*?)\.(\n|$)", inspect.getdoc(build), re.DOTALL)[1]
    kinds, _, condition = " ".join(text.split()).partition("; ")
    without = re.fullmatch(r"without `(\w+)` (.*)", condition)
    if without is None:
        return [({}, KINDS[kinds])]
    argument, others = without.groups()
    default = inspect.signature(build).parameters[argument].default
    return [
        ({} if default else {argument: ON[argument]}, KINDS[kinds]),
        ({argument: OFF[argument]}, KINDS[others]),
    ]


@pytest.mark.parametrize("entry", ONE_TASK, ids=lambda entry: entry.name)
def test_a_model_takes_the_tasks_that_its_docstring_says(entry):
    for given, kinds in _cases(entry):
        for kind in sorted(KINDS["any"]):
            if len(kinds) == len(KINDS["any"]) and kind != "multiclass":
                continue
            task = Task("t", kind, num_classes=3 if kind == "multiclass" else 1)
            if kind in kinds:
                model = entry.build(task=task, **given)
                assert model.output.shape == (None, task.num_classes)
            else:
                with pytest.raises(ValueError, match=f"Task 't': .*belong='{kind}'"):
                    entry.build(task=task, **given)


ADDITIVE = ("afm", "deep_crossing", "fibinet", "lr", "nfm", "wide_deep", "xdeepfm")


@pytest.mark.parametrize("name", ADDITIVE)
def test_classes_of_additive_models_have_logits_of_their_own(name):
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == name)
    model = entry.build(task=Task("t", "multiclass", num_classes=3))
    zoo.jitter(model, scale=0.1)
    found = model.predict(zoo.rows(50), verbose=0)
    close(found.sum(axis=1), np.ones(50))
    ratios = np.log(found[:, 1:] / found[:, :1])
    assert np.linalg.matrix_rank(ratios - ratios.mean(axis=0), tol=1e-2) == 2


def test_crosses_and_parts_of_several_classes_add_up():
    task = Task("t", "multiclass", num_classes=3)
    model = xdeepfm(zoo.fields(dim=4), task, cin_units=(4,), hidden_units=())
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    e = np.stack(oracle.fm_embeddings(x, w), axis=1)
    pairs = np.einsum("bid,bjd->bdij", e, e).reshape(9, 4, -1)
    assert w["dnn_cin/kernel_0"].shape == (64, 4)
    maps = (pairs @ w["dnn_cin/kernel_0"]).sum(axis=1)
    logits = oracle.dense(maps, w, "dnn_cin_logit/logit", 3, bias=False)
    expected = oracle.softmax(oracle.first_order(x, w) + logits)
    close(model.predict(x, verbose=0), expected, terms=300)
