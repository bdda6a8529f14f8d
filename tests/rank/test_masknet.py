"""MaskNet against eq. 2-9 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.masknet import MaskBlock, masknet
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
SMALL = {"block_units": (6, 5), "hidden_units": (8, 7)}
LOGIT = Task("ctr", return_logit=True)


def _embeddings(w, x):
    """By column: the tables' vectors."""
    history = oracle.zoo_attention(x, w)
    e = {name: oracle.column(name, x, w, "embedding_") for name in COLUMNS}
    return e | {"seen": history[:, :8], "seen_category": history[:, 8:]}


def _block(e, x, w, i):
    """Eq. 4, and 8 or 9; a mask is twice as wide inside as what it masks."""
    name, width = f"dnn_block_{i}", x.shape[1]
    inner = oracle.relu(oracle.dense(e, w, f"{name}/aggregate", 2 * width))
    mask = oracle.dense(inner, w, f"{name}/project", width)
    units = SMALL["block_units"][i]
    hidden = oracle.dense(mask * x, w, f"{name}/dense", units, bias=False)
    return oracle.relu(oracle.norm(hidden, w, f"{name}/norm"))


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.oracle
def test_it_computes_the_paper(parallel):
    model, x = masknet(zoo.fields(), LOGIT, parallel=parallel, **SMALL), zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    by_name = _embeddings(w, x)
    e = np.concatenate([*by_name.values()], -1)
    normed = [oracle.norm(v, w, f"dnn_norm_{n}") for n, v in by_name.items()]
    z = np.concatenate(normed, -1)
    if parallel:
        blocks = [_block(e, z, w, i) for i in (0, 1)]
        top = np.concatenate([*blocks, x["scores"]], -1)
        logit = oracle.tower(top, w, "dnn_mlp", SMALL["hidden_units"])
    else:
        for i in (0, 1):
            z = _block(e, z, w, i)
        top = np.concatenate([z, x["scores"]], -1)
        logit = oracle.tower(top, w, "dnn_mlp", ())
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


@pytest.mark.parametrize("parallel", [True, False])
def test_parameters(parallel):
    model = masknet(zoo.fields(), parallel=parallel, **SMALL)
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    attention = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    d = 4 + 3 + 5 + 8 + 4 + 2 + 12

    def block(z, q):
        return d * 2 * z + 2 * z + 2 * z * z + z + z * q + 2 * q

    if parallel:
        blocks = block(d, 6) + block(d, 5)
        top = (6 + 5 + 2) * 8 + 8 + 8 * 7 + 7 + 7 + 1
    else:
        blocks, top = block(d, 6) + block(6, 5), 5 + 2 + 1
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + 2 * d + blocks + top


def _ones(block):
    """Makes the mask of a block all ones."""
    block.project.kernel.assign(block.project.kernel * 0)
    block.project.bias.assign(np.ones(block.project.bias.shape))


def test_a_mask_of_ones_leaves_a_normalised_layer_and_zeros_a_constant():
    rng = np.random.default_rng(0)
    e, x = (rng.normal(size=(5, width)).astype("float32") for width in (4, 3))
    block = MaskBlock(6)
    block([e, x])
    _ones(block)
    z = x @ np.asarray(block.dense.kernel)
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    close(block([e, x]), np.maximum(z, 0), terms=1_000)
    block.project.bias.assign(np.zeros(3))
    block.norm.beta.assign(np.arange(6))
    out = np.asarray(block([e, x]))
    np.testing.assert_array_equal(out, np.tile(np.arange(6), (5, 1)))


def test_with_masks_of_ones_the_length_of_an_embedding_does_not_matter():
    model, x = masknet(zoo.fields(), LOGIT, **SMALL), zoo.rows(9)
    x["seen"] = x["seen"] * 0  # attention is not a norm
    for layer in model.layers:
        if isinstance(layer, MaskBlock):
            _ones(layer)
        elif layer.name in ("embedding_user_id", "embedding_hour"):
            layer.embeddings.assign(layer.embeddings * 100)  # far above epsilon
    before = oracle.logit(model, x)
    table = model.get_layer("embedding_user_id").embeddings
    table.assign(table * 7)
    after = oracle.logit(model, x)
    close(after, before, terms=1_000)


def test_it_learns_which_field_matters():
    planted.assert_learns(masknet, planted.gate, learning_rate=0.01)
