"""PNN against the papers of 2016 and 2018."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.pnn import pnn
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
D = 4


def _embeddings(w, x):
    history = oracle.zoo_attention(x, w)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    return [*e, history[:, :D], history[:, D:]]


@pytest.mark.parametrize(
    ("inner", "outer", "kernel"),
    [
        (True, False, "mat"),
        (False, True, None),
        (True, True, None),
        (False, True, "mat"),
    ],
)
@pytest.mark.oracle
def test_it_computes_the_paper(inner, outer, kernel):
    model = pnn(zoo.fields(dim=D), LOGIT, inner, outer, kernel, hidden_units=(8, 6))
    zoo.jitter(model)
    x = zoo.rows(9)
    w = oracle.weights(model)
    e = _embeddings(w, x)
    pairs = list(itertools.combinations(range(8), 2))
    z = [*e]
    if inner:  # TOIS, eq. 9
        z += [(e[i] * e[j]).sum(-1, keepdims=True) for i, j in pairs]
    if outer and kernel is None:  # ICDM, eq. 13
        z.append(np.einsum("bi,bj->bij", sum(e), sum(e)).reshape(9, D * D))
    elif outer:  # TOIS, section 3.2
        k = w["dnn_product/outer/kernel"]
        assert k.shape == (28, D, D)
        z += [
            np.einsum("bi,ij,bj->b", e[i], k[p], e[j])[:, None]
            for p, (i, j) in enumerate(pairs)
        ]
    top = np.concatenate([*z, x["scores"]], -1)
    out = oracle.logit(model, x)
    logit = oracle.tower(top, w, "dnn_mlp", (8, 6))
    close(out, logit, terms=1_000)


@pytest.mark.parametrize(
    ("arguments", "kernel", "width"),
    [
        ((True, False), 0, 28),
        ((False, True, None), 0, 16),
        ((True, True, None), 0, 44),
        ((False, True, "num"), 28, 28),
        ((False, True, "vec"), 28 * D, 28),
        ((False, True, "mat"), 28 * D * D, 28),
    ],
)
def test_parameters(arguments, kernel, width):
    model = pnn(zoo.fields(dim=D), LOGIT, *arguments, hidden_units=(8,))
    tables = (40 + 1 + 12 + 30 + 7 + 24) * D
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    mlp = (8 * D + 2 + width) * 8 + 8 + 8 + 1
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + kernel + mlp


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(pnn, planted.pairwise)
