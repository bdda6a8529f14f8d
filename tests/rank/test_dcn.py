"""DCN and DCN-V2 against eq. 3, and eq. 1-2, of the papers."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.dcn import dcn
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
UNITS = (8, 6)
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 2 + (8 + 4)
ATTENTION = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
TABLES = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2


def _crossed(x0, w, layers, cross_type="matrix", low_rank_dim=None):
    """Eq. 3 of DCN, or eq. 1 and, of a rank, 2 of DCN-V2."""
    x = x0
    for i in range(layers):
        name = f"dnn_cross/cross_{i}"
        if cross_type == "vector":
            product = oracle.dense(x, w, name, 1, bias=False)
            x = x0 * product + w[f"{name}/bias"] + x
        elif low_rank_dim is None:
            x = x0 * oracle.dense(x, w, name, WIDTH) + x
        else:
            low = x @ w[f"{name}/v"]
            assert low.shape[1] == low_rank_dim
            x = x0 * (low @ w[f"{name}/u"] + w[f"{name}/bias"]) + x
    return x


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.parametrize(
    "kind", [{}, {"low_rank_dim": 5}, {"cross_type": "vector"}], ids=str
)
@pytest.mark.oracle
def test_it_computes_the_papers(kind, structure):
    task = Task("ctr", return_logit=True)
    kwargs = {"num_layers": 3, "hidden_units": UNITS, "structure": structure, **kind}
    model = dcn(zoo.fields(), task, **kwargs)
    zoo.jitter(model, 0.1)
    x, w = zoo.rows(9), oracle.weights(model)
    x0 = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    crossed = _crossed(x0, w, 3, **kind)
    if structure == "stacked":
        logit = oracle.tower(crossed, w, "dnn_mlp", UNITS)
    else:
        both = [crossed, oracle.mlp(x0, w, "dnn_mlp", UNITS)]
        logit = oracle.dense(np.concatenate(both, -1), w, "dnn_joint/logit", 1)
    found = model.predict(x, verbose=0)
    close(found["logit"], logit, terms=1_000)
    close(found["ctr"], oracle.sigmoid(logit), terms=1_000)


@pytest.mark.parametrize(
    ("kind", "of_layer"),
    [
        ({"cross_type": "vector"}, 2 * WIDTH),
        ({}, WIDTH**2 + WIDTH),
        ({"low_rank_dim": 5}, 2 * WIDTH * 5 + WIDTH),
    ],
    ids=str,
)
def test_parameters(kind, of_layer):
    model = dcn(zoo.fields(), num_layers=3, **kind)
    mlp = WIDTH * 100 + 100 + 100 * 64 + 64
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == TABLES + ATTENTION + 3 * of_layer + mlp + (WIDTH + 64) + 1


def test_without_hidden_units_only_the_cross_network_is_left():
    for structure in ("parallel", "stacked"):
        model = dcn(zoo.fields(), hidden_units=(), structure=structure)
        names = {w.path for w in model.weights if w.path.startswith("dnn_mlp")}
        assert names == {"dnn_mlp/logit/kernel", "dnn_mlp/logit/bias"}


def test_several_classes():
    model = dcn(zoo.fields(), Task("kind", "multiclass", num_classes=3))
    out = model.predict(zoo.rows(5), verbose=0)
    close(out.sum(1), np.ones(5), terms=100)
    assert out.shape == (5, 3)


def test_errors():
    with pytest.raises(ValueError, match=r"'stacked'\). Rec.*structure='serial'"):
        dcn(zoo.fields(), structure="serial")


@pytest.mark.parametrize("cross_type", ["vector", "matrix"])
def test_it_learns_a_cross(cross_type):
    """Without an MLP: the product of three ids comes from the cross network."""
    planted.assert_learns(
        lambda fields: dcn(fields, cross_type=cross_type, hidden_units=()),
        planted.cross,
        epochs=20,
    )
