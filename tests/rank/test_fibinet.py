"""FiBiNET against eq. 1-9 of the paper."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.fibinet import fibinet
from recsys.rank.fibinet_plus import fibinet_plus
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
D, F = 4, 8
INNER = F // 3  # units of SENET, by the default ratio


def _logit(model, x, bilinear_type, units):
    w = oracle.weights(model)
    names = [*COLUMNS, "scores", "seen", "seen_category"]
    logit = w["dnn_bias/bias"] + sum(
        oracle.column(name, x, w, "embedding_linear__") for name in names
    )
    history = oracle.zoo_attention(x, w)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    e += [history[:, :D], history[:, D:]]
    z = np.stack([v.mean(-1) for v in e], 1)  # section 3.2
    a = oracle.relu(oracle.dense(z, w, "dnn_senet/squeeze", INNER, bias=False))
    a = oracle.relu(oracle.dense(a, w, "dnn_senet/excite", F, bias=False))
    weighted = [a[:, f : f + 1] * v for f, v in enumerate(e)]
    bits = []  # section 3.3
    for vectors, layer in ((e, "dnn_bilinear"), (weighted, "dnn_bilinear_senet")):
        for i, j in itertools.combinations(range(F), 2):
            matrix = w[f"{layer}/kernel_{0 if bilinear_type == 'all' else i}"]
            if bilinear_type == "interaction":
                matrix = matrix[:, (j - i - 1) * D : (j - i) * D]
            bits.append((vectors[i] @ matrix) * vectors[j])
    if not units:
        return logit + np.concatenate(bits, -1).sum(-1, keepdims=True)
    top = np.concatenate([*bits, x["scores"]], -1)
    return logit + oracle.tower(top, w, "dnn_mlp", units, bias=False)


@pytest.mark.parametrize("bilinear_type", ["all", "each", "interaction"])
@pytest.mark.parametrize("units", [(), (8, 6)])
@pytest.mark.oracle
def test_it_computes_the_paper(bilinear_type, units):
    model = fibinet(
        zoo.fields(dim=D), LOGIT, bilinear_type=bilinear_type, hidden_units=units
    )
    zoo.jitter(model)
    x = zoo.rows(9)
    out = oracle.logit(model, x)
    logit = _logit(model, x, bilinear_type, units)
    close(out, logit, terms=1_000)


def test_parameters():
    model = fibinet(zoo.fields(dim=D), hidden_units=(8,))
    tables = (40 + 1 + 12 + 30 + 7 + 24) * (D + 1) + 2 + 1
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    senet, matrices = 2 * F * INNER, 2 * D * D
    mlp = (F * (F - 1) * D + 2) * 8 + 8 + 8
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + senet + matrices + mlp


def test_the_two_branches_have_matrices_of_their_own():
    w = oracle.values(fibinet(zoo.fields(dim=D), bilinear_type="all"))
    one, other = (w[f"dnn_{n}/kernel_0"] for n in ("bilinear", "bilinear_senet"))
    assert (one != other).all()


@pytest.mark.parametrize(
    "argument",
    [{"num_groups": 2}, {"bilinear_output_size": 9}, {"bilinear_1bit": True}],
)
def test_arguments_of_the_second_model_build_it(argument):
    model = fibinet(zoo.fields(dim=D), **argument)
    assert model.name == "fibinet_plus"
    assert (
        model.count_params()
        == fibinet_plus(zoo.fields(dim=D), **argument).count_params()
    )


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(fibinet, planted.pairwise)
