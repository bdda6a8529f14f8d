"""DCN-Mix against eq. 4-5 of DCN-V2."""

import keras
import numpy as np
import pytest

from recsys import Task
from recsys.layers.interaction.cross import MatrixCross
from recsys.rank.dcn_mix import MixtureCross, MixtureCrossNet, dcn_mix
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
UNITS = (8, 6)
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 2 + (8 + 4)


def _crossed(x0, w, layers, experts, rank, gate):
    """Eq. 4-5, expert by expert, as the paper writes it."""
    x = x0
    for i in range(layers):
        v, c, u, g, bias = (
            w[f"dnn_cross/cross_{i}/{name}"] for name in ("v", "c", "u", "gate", "bias")
        )
        score = x @ g
        weight = {"softmax": oracle.softmax, "sigmoid": oracle.sigmoid}[gate](score)
        total = x
        for k in range(experts):
            own = slice(k * rank, (k + 1) * rank)
            low = np.tanh(np.tanh(x @ v[:, own]) @ c[k])
            total = total + weight[:, k : k + 1] * x0 * (low @ u[own] + bias)
        x = total
    return x


@pytest.mark.parametrize("gate", ["softmax", "sigmoid"])
@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.oracle
def test_it_computes_the_paper(gate, structure):
    task = Task("ctr", return_logit=True)
    options = {"num_experts": 3, "low_rank_dim": 5, "gate": gate}
    options |= {"structure": structure, "hidden_units": UNITS}
    model = dcn_mix(zoo.fields(), task, **options)
    zoo.jitter(model, 0.2)
    x, w = zoo.rows(9), oracle.weights(model)
    x0 = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    crossed = _crossed(x0, w, 2, 3, 5, gate)
    if structure == "stacked":
        logit = oracle.tower(crossed, w, "dnn_mlp", UNITS)
    else:
        both = [crossed, oracle.mlp(x0, w, "dnn_mlp", UNITS)]
        logit = oracle.dense(np.concatenate(both, -1), w, "dnn_joint/logit", 1)
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


def test_parameters():
    rank = WIDTH // 4
    of_layer = 4 * (2 * WIDTH * rank + rank**2 + WIDTH) + WIDTH
    counts = [dcn_mix(zoo.fields(), num_layers=n).count_params() for n in (2, 5)]
    assert counts[1] - counts[0] == 3 * of_layer


def test_one_linear_expert_is_a_low_rank_matrix():
    mixture, matrix = MixtureCross(1, 3, activation=None), MatrixCross(3)
    for layer in (mixture, matrix):
        layer.build([(None, 6), (None, 6)])
        zoo.jitter(layer)
    mixture.c.assign(np.eye(3)[None])
    for name in ("u", "v", "bias"):
        getattr(mixture, name).assign(getattr(matrix, name))
    assert len(mixture.weights) == 4  # the softmax of one score is 1
    x = np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32")
    close(mixture([*x]), matrix([*x]), terms=100)


def test_experts_start_at_the_scale_of_their_input():
    layer = MixtureCross(4, 64)
    layer.build([(None, 8), (None, 8)])
    assert np.std(layer.c.numpy()) == pytest.approx(64**-0.5, rel=0.05)
    for weight in (layer.u, layer.v, layer.c):
        assert np.unique(weight.numpy()).size > 0.99 * weight.numpy().size


def test_penalty_and_config():
    layer = MixtureCross(2, 3, "sigmoid", "relu", 0.1)
    layer.build([(None, 6), (None, 6)])
    squares = sum(float(keras.ops.sum(w**2)) for w in layer.weights[:-1])
    close(float(sum(layer.losses)), 0.1 * squares, terms=100)
    for each in (layer, MixtureCrossNet(3, 2, 5, "sigmoid", None, 0.1)):
        config = each.get_config()
        assert type(each).from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match="'sigmoid'.*Received: gate='tanh'"):
        dcn_mix(zoo.fields(), gate="tanh")
    with pytest.raises(ValueError, match="at least 1. Received: .*num_experts=0"):
        dcn_mix(zoo.fields(), num_experts=0)
    with pytest.raises(ValueError, match=r"'stacked'\). Rec.*structure='serial'"):
        dcn_mix(zoo.fields(), structure="serial")


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(
        lambda fields: dcn_mix(fields, hidden_units=()), planted.cross
    )
