"""FiBiNet++ against eq. 3-16 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fibinet_plus import fibinet_plus
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
D, F = 4, 8
INNER = 4 * F // 3  # units of SENet+ with two groups, by the default ratio


def _layer_norm(x, w, name):
    """With the epsilon of the authors' re-weighting."""
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    x = (x - mean) / np.sqrt(var + 1e-6)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


def _batch_norm(x, w, name):
    mean, var = w[f"{name}/moving_mean"], w[f"{name}/moving_variance"]
    x = (x - mean) / np.sqrt(var + 1e-5)
    return x * w[f"{name}/gamma"] + w[f"{name}/beta"]


@pytest.mark.oracle
def test_it_computes_the_paper():
    model = fibinet_plus(
        zoo.fields(dim=D), LOGIT, bilinear_output_size=7, hidden_units=(8, 6)
    )
    zoo.jitter(model)
    x = zoo.rows(9)
    w = oracle.weights(model)
    history = oracle.zoo_attention(x, w)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    e += [history[:, :D], history[:, D:]]

    e = [  # eq. 3-5
        oracle.norm(v, w, "dnn_norm_age")
        if f == 1
        else _batch_norm(v, w, "dnn_norm_ids")
        for f, v in enumerate(e)
    ]
    p = [  # section 3.3
        ((e[i] @ w["dnn_bilinear/bilinear/kernel_0"]) * e[j]).sum(-1)
        for i, j in itertools.combinations(range(F), 2)
    ]
    h = oracle.dense(np.stack(p, 1), w, "dnn_bilinear/low_rank", 7)
    halves = [v[:, k : k + 2] for v in e for k in (0, 2)]  # section 3.4
    z = np.stack([g.mean(-1) for g in halves] + [g.max(-1) for g in halves], 1)
    a = oracle.relu(oracle.dense(z, w, "dnn_senet/squeeze", INNER, bias=False))
    a = oracle.dense(a, w, "dnn_senet/excite", F * D, bias=False)
    u = [v * a[:, f * D : f * D + D] + v for f, v in enumerate(e)]
    u = [_layer_norm(v, w, "dnn_senet/norm") for v in u]
    top = np.concatenate([h, *u, x["scores"]], -1)
    logit = oracle.tower(top, w, "dnn_mlp", (8, 6))
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_parameters():
    model = fibinet_plus(zoo.fields(dim=D), bilinear_output_size=7, hidden_units=(8,))
    tables = (40 + 1 + 12 + 30 + 7 + 24) * D
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    norms = 2 * D + 2 * D
    products = D * D + 28 * 7 + 7
    senet = 4 * F * INNER + INNER * F * D + 2 * D
    mlp = (7 + F * D + 2) * 8 + 8 + 8 + 1
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + norms + products + senet + mlp


def test_the_width_must_be_divisible_by_the_groups():
    with pytest.raises(ValueError, match="divisible by num_groups=3"):
        fibinet_plus(zoo.fields(dim=D), num_groups=3)


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fibinet_plus, planted.pairwise)
