"""PIN: its networks are tested in `tests/layers/test_product.py`."""

import itertools

import numpy as np
import pytest

from recsys import Task
from recsys.rank.pin import pin
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
D = 4


def _norm(x, scale, shift):
    mean, var = (f(x, axis=(1, 2), keepdims=True) for f in (np.mean, np.var))
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


@pytest.mark.oracle
def test_it_computes_the_paper():
    sizes = {"net_size": 5, "net_units": 2, "hidden_units": (8, 6)}
    model = pin(zoo.fields(dim=D), LOGIT, **sizes)
    zoo.jitter(model)
    x = zoo.rows(9)
    w = oracle.weights(model)
    history = oracle.zoo_attention(x, w)
    e = [oracle.column(name, x, w, "embedding_") for name in COLUMNS]
    e += [history[:, :D], history[:, D:]]
    z = np.stack(
        [np.concatenate([a, b, a * b], -1) for a, b in itertools.combinations(e, 2)],
        1,
    )
    for n, units in ((1, 5), (2, 2)):  # eq. 17-19
        kernel = w[f"dnn_nets/kernel_{n}"]
        assert kernel.shape == (28, z.shape[-1], units)
        z = np.einsum("bpi,pio->bpo", z, kernel)
        z = z + w[f"dnn_nets/bias_{n}"][:, 0]
        z = _norm(z, w[f"dnn_nets/scale_{n}"], w[f"dnn_nets/shift_{n}"])
        z = oracle.relu(z) if n == 1 else z
    top = np.concatenate([z.reshape(9, -1), x["scores"]], -1)
    logit = oracle.tower(top, w, "dnn_mlp", (8, 6))
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_parameters():
    model = pin(zoo.fields(dim=D), net_size=5, net_units=2, hidden_units=(8,))
    tables = (40 + 1 + 12 + 30 + 7 + 24) * D
    attention = 4 * 8 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    nets = 28 * (3 * D * 5 + 5 + 5 * 2 + 2) + 2 * 5 + 2 * 2
    mlp = (28 * 2 + 2) * 8 + 8 + 8 + 1
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + nets + mlp


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(pin, planted.pairwise, learning_rate=0.01)
