"""DCN and DCN-V2 against eq. 3, and eq. 1-2, of the papers."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.dcn import dcn
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 2 + (8 + 4)
ATTENTION = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
TABLES = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2


def _crossed(x0, w):
    x, i = x0, 0
    while f"dnn_cross/cross_{i}/bias" in w:
        name = f"dnn_cross/cross_{i}"
        kernel, bias = w.get(f"{name}/kernel"), w[f"{name}/bias"]
        if kernel is not None and kernel.shape[1] == 1:
            x = x0 * (x * kernel[:, 0]).sum(1, keepdims=True) + bias + x
        else:
            if kernel is None:
                kernel = w[f"{name}/v"] @ w[f"{name}/u"]
            x = x0 * (np.einsum("bi,ij->bj", x, kernel) + bias) + x
        i += 1
    return x


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.parametrize(
    "kind", [{}, {"low_rank_dim": 5}, {"cross_type": "vector"}], ids=str
)
@pytest.mark.oracle
def test_it_computes_the_papers(kind, structure):
    task = Task("ctr", return_logit=True)
    model = dcn(zoo.fields(), task, layer_num=3, structure=structure, **kind)
    zoo.jitter(model, 0.1)
    x, w = zoo.rows(9), oracle.weights(model)
    x0 = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    if structure == "stacked":
        logit = oracle.tower(_crossed(x0, w), w, "dnn_mlp")
    else:
        both = [_crossed(x0, w), oracle.mlp(x0, w, "dnn_mlp")]
        logit = oracle.dense(np.concatenate(both, -1), w, "dnn_joint/logit")
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
    model = dcn(zoo.fields(), layer_num=3, **kind)
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
    with pytest.raises(ValueError, match="'stacked'. Received: structure='serial'"):
        dcn(zoo.fields(), structure="serial")


@pytest.mark.parametrize("cross_type", ["vector", "matrix"])
def test_it_learns_a_cross(cross_type):
    """Without an MLP: the product of three ids comes from the cross network."""
    planted.assert_learns(
        lambda fields: dcn(fields, cross_type=cross_type, hidden_units=()),
        planted.cross,
        epochs=20,
    )
