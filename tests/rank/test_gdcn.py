"""GDCN against eq. 2 of the paper, and DCN-V2, of which it is a gated form."""

import numpy as np
import pytest

from recsys import Task
from recsys.layers.interaction.cross import MatrixCross
from recsys.rank.gdcn import GatedCross, GatedCrossNet, gdcn
from tests import oracle, planted, zoo
from tests.close import close

DEEP = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
WIDTH = 4 + 3 + 5 + 8 + 4 + 2 + 2 + (8 + 4)
UNITS = (8, 4)


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
@pytest.mark.oracle
def test_it_computes_the_paper(structure):
    task = Task("ctr", return_logit=True)
    model = gdcn(
        zoo.fields(), task, num_layers=3, structure=structure, hidden_units=UNITS
    )
    zoo.jitter(model, 0.1)
    x, w = zoo.rows(9), oracle.weights(model)
    x0 = np.concatenate([oracle.columns(DEEP, x, w), oracle.zoo_attention(x, w)], -1)
    c = x0
    for i in range(3):  # eq. 2
        name = f"dnn_cross/cross_{i}"
        product = np.einsum("bi,ij->bj", c, w[f"{name}/kernel"]) + w[f"{name}/bias"]
        gate = oracle.sigmoid(np.einsum("bi,ij->bj", c, w[f"{name}/gate"]))
        c = x0 * product * gate + c
    if structure == "stacked":
        logit = oracle.tower(c, w, "dnn_mlp", UNITS)
    else:
        both = [c, oracle.mlp(x0, w, "dnn_mlp", UNITS)]
        logit = oracle.dense(np.concatenate(both, -1), w, "dnn_joint/logit", 1)
    found = oracle.logit(model, x)
    close(found, logit, terms=1_000)


def test_parameters():
    counts = [gdcn(zoo.fields(), num_layers=n).count_params() for n in (2, 5)]
    assert counts[1] - counts[0] == 3 * (2 * WIDTH**2 + WIDTH)


@pytest.mark.parametrize(("gate", "share"), [(0.0, 0.5), (1e3, 1.0)])
def test_with_a_constant_gate_it_is_the_cross_of_dcn_v2(gate, share):
    """W_g = 0 halves the product; a gate that is wide open leaves it."""
    gated, plain = GatedCross(), MatrixCross()
    x = np.random.default_rng(0).uniform(0.1, 1, (2, 5, 4)).astype("float32")
    for layer in (gated, plain):
        layer.build([(None, 4), (None, 4)])
    zoo.jitter(gated)
    gated.gate_kernel.assign(np.full((4, 4), gate))
    plain.kernel.assign(share * gated.kernel)
    plain.bias.assign(share * gated.bias)
    close(gated([*x]), plain([*x]), terms=100)


def test_penalty_and_config():
    net = GatedCrossNet(2, 0.1)
    net.build((None, 4))
    squares = sum(float((w.numpy() ** 2).sum()) for w in net.weights)  # bias is 0
    close(float(sum(net.losses)), 0.1 * squares, terms=100)
    assert GatedCrossNet.from_config(net.get_config()).get_config() == net.get_config()


def test_errors():
    with pytest.raises(ValueError, match=r"'stacked'\). Rec.*structure='serial'"):
        gdcn(zoo.fields(), structure="serial")


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(lambda fields: gdcn(fields, hidden_units=()), planted.cross)
