"""GwPFM against the double sum, and the machines it contains."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from recsys import Field, Task
from recsys.layers.interaction.gwpfm import GwPFM
from recsys.rank.gwpfm import field_groups, gwpfm
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
GROUPS = {"user_id": 0, "age": 0, "tags": 0, "item_id": 1, "category": 1, "hour": 2}
GROUPS |= {"seen": 1, "seen_category": 1}


def _double_sum(v, groups, r):
    """v: (rows, fields, groups, dim); r: (groups, groups), symmetric."""
    pairs = itertools.combinations(range(len(groups)), 2)
    return sum(
        r[groups[i], groups[j]] * v[:, i, groups[j]] * v[:, j, groups[i]]
        for i, j in pairs
    )


def _symmetric(stored, n):
    r = np.zeros((n, n))
    r[np.triu_indices(n)] = stored
    return r + np.triu(r, 1).T


def _layer(groups, dim=3, seed=0, rows=5):
    rng = np.random.default_rng(seed)
    n = max(groups) + 1
    v = rng.normal(size=(rows, len(groups), n, dim)).astype("float32")
    layer = GwPFM(n, groups)
    inputs = [v[:, i].reshape(rows, -1) for i in range(len(groups))]
    layer(inputs)
    stored = rng.normal(size=n * (n + 1) // 2)
    layer.r.assign(stored)
    return layer, v, inputs, _symmetric(stored, n)


@pytest.mark.parametrize("groups", [[0, 1, 0, 2, 1], [0, 0, 0], [0, 1, 2, 3], [0]])
def test_the_layer_is_the_double_sum(groups):
    layer, v, inputs, r = _layer(groups)
    expected = _double_sum(v.astype("float64"), groups, r) + np.zeros((5, 3))
    close(layer(inputs), expected, terms=100)


def test_the_order_of_fields_does_not_matter():
    groups = [0, 1, 0, 2, 1]
    layer, _, inputs, _ = _layer(groups)
    order = [3, 0, 4, 2, 1]
    other = GwPFM(3, [groups[i] for i in order])
    moved = [inputs[i] for i in order]
    other(moved)
    other.r.assign(layer.r)
    close(other(moved), layer(inputs), terms=100)


def test_merging_groups_with_equal_vectors_changes_nothing():
    layer, v, _, _ = _layer([0, 1, 2, 1])
    v[:, :, 2] = v[:, :, 1]
    r = np.array([[0.5, 2, 2], [2, 3, 3], [2, 3, 3]])
    layer.r.assign(r[np.triu_indices(3)])
    merged = GwPFM(2, [0, 1, 1, 1])
    narrow = [v[:, i, :2].reshape(5, -1) for i in range(4)]
    merged(narrow)
    merged.r.assign([0.5, 2, 3])
    wide = [v[:, i].reshape(5, -1) for i in range(4)]
    close(merged(narrow), layer(wide), terms=1_000)


def _vectors(w, x, groups=3, dim=4):
    pooled = oracle.zoo_attention(x, w).reshape(9, 2, groups * dim)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    e += [pooled[:, 0], pooled[:, 1]]
    return np.stack(e, 1).reshape(9, 8, groups, dim)


def _interaction(w, x):
    r = _symmetric(w["dnn_gwpfm/r"], 3)
    return _double_sum(_vectors(w, x), list(GROUPS.values()), r)


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = gwpfm(_fields(), LOGIT), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    u = _interaction(w, x)
    names = [*COLUMNS, "scores", "seen", "seen_category"]
    first = sum(oracle.column(n, x, w, "embedding_linear__") for n in names)
    logit = w["dnn_bias/bias"] + first + u.sum(-1, keepdims=True)
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def _fields():
    groups = {"category": "item_id", "age": "user_id", "tags": "user_id"}
    return [
        f if f.belong == "history" else replace(f, group=groups.get(f.name, f.name))
        for f in zoo.fields(dim=4)
    ]


@pytest.mark.oracle
def test_with_hidden_units_an_mlp_reads_the_vector():
    model, x = gwpfm(_fields(), LOGIT, hidden_units=(6, 5)), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    top = np.concatenate([_interaction(w, x), x["scores"]], 1)
    logit = oracle.tower(top, w, "dnn_mlp", (6, 5))
    out = oracle.logit(model, x)
    close(out, logit, terms=100)


def test_parameters_and_the_fields_stay_as_they_are():
    fields = _fields()
    before = [replace(f) for f in fields]
    tables = 40 + 1 + 12 + 30 + 7 + 24
    attention = 4 * 24 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    for _ in range(2):
        model = gwpfm(fields)
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
        assert trainable == tables * (3 * 4 + 1) + 2 + 1 + 6 + attention
    assert fields == before


def test_groups():
    fields = zoo.fields()
    assert set(field_groups(fields)) == set(GROUPS)
    assert field_groups(fields) == GROUPS  # by belong, as no field names a group
    assert field_groups(_fields()) == GROUPS
    alone = [Field("u", group="a"), Field("i", group="b")]
    alone.append(Field("h", vocabulary_size=5, belong="history", length=2))
    assert field_groups(alone) == {"u": 0, "i": 1, "h": 2}


@pytest.mark.parametrize(
    ("groups", "shapes", "error"),
    [
        ([0, 2], None, "every group from 0 to 2"),
        ([0, 1, 2], [3, 3], "one embedding for each of the 3 fields.*2"),
        ([0, 1, 2], [4, 4, 4], "3 groups times dim.*4"),
    ],
)
def test_what_does_not_fit_is_refused(groups, shapes, error):
    with pytest.raises(ValueError, match=error):
        GwPFM(3, groups)([np.zeros((1, width)) for width in shapes])


def test_widths_are_named_as_the_caller_gave_them():
    with pytest.raises(ValueError, match="one dim.*'user_id': 4, 'age': 3"):
        gwpfm(zoo.fields())


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(gwpfm, planted.pairwise, 0.05)
