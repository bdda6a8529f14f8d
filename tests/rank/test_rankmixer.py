"""RankMixer against eq. 1-8 of the paper."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.rankmixer import RankMixerBlock, mix, rankmixer
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
T, D, K = 3, 6, 2
SMALL = {"num_tokens": T, "token_dim": D, "expansion": K}
LOGIT = Task("ctr", return_logit=True)


def _mix(x):
    """x: (rows, tokens, dim)"""
    rows, tokens, dim = x.shape
    mixed = np.zeros_like(x)
    for h in range(tokens):
        chunks = [
            x[:, t, h * dim // tokens : (h + 1) * dim // tokens] for t in range(tokens)
        ]
        mixed[:, h] = np.concatenate(chunks, -1)
    return mixed


def _block(x, w, name):
    """Eq. 2-8."""
    s = oracle.norm(_mix(x) + x, w, f"{name}/norm_mixed")
    assert w[f"{name}/kernel_1"].shape == (T, D, K * D)
    assert w[f"{name}/kernel_2"].shape == (T, K * D, D)
    out = np.zeros_like(x)
    for t in range(x.shape[1]):
        z = s[:, t] @ w[f"{name}/kernel_1"][t] + w[f"{name}/bias_1"][t]
        cubic = np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)
        hidden = z * 0.5 * (1 + np.tanh(cubic))
        out[:, t] = hidden @ w[f"{name}/kernel_2"][t] + w[f"{name}/bias_2"][t]
    return oracle.norm(out + s, w, f"{name}/norm")


@pytest.mark.parametrize("units", [(), (8, 4)])
@pytest.mark.oracle
def test_it_computes_the_paper(units):
    model = rankmixer(zoo.fields(), LOGIT, hidden_units=units, **SMALL)
    x = zoo.rows(9)
    zoo.jitter(model)
    w = oracle.weights(model)
    z = np.concatenate([oracle.columns(COLUMNS, x, w), oracle.zoo_attention(x, w)], 1)
    assert z.shape[1] == 40  # padded to three slices of 14
    slices = np.pad(z, ((0, 0), (0, 2))).reshape(9, 3, 14)
    assert w["dnn_tokens/kernel"].shape == (T, 14, D)
    token = np.einsum("bts,tsd->btd", slices, w["dnn_tokens/kernel"])
    token = token + w["dnn_tokens/bias"][:, 0]
    for i in (0, 1):
        token = _block(token, w, f"dnn_block_{i}")
    logit = oracle.tower(token.mean(1), w, "dnn_mlp", units)
    out = oracle.logit(model, x)
    close(out, logit, terms=1_000)


def test_parameters():
    model = rankmixer(zoo.fields(), **SMALL)
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    attention = 4 * 12 * 80 + 80 + 80 * 40 + 40 + 40 + 1 + (80 + 40)
    block = 3 * (2 * 2 * 36 + 3 * 6) + 4 * 6
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    assert trainable == tables + attention + 42 * 6 + 3 * 6 + 2 * block + 7


def test_mixing_twice_is_nothing_and_keeps_every_number():
    x = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    mixed = np.asarray(mix(x))
    np.testing.assert_array_equal(mix(mixed), x)
    np.testing.assert_array_equal(np.sort(mixed.ravel()), np.sort(x.ravel()))
    assert (mixed != x).any()


def test_the_network_of_a_token_touches_that_token_only():
    x = np.random.default_rng(0).normal(size=(3, 5, 6)).astype("float32")
    block = RankMixerBlock(2)
    before = np.asarray(block(x))
    kernel = np.asarray(block.kernel_1)
    kernel[1] += 1
    block.kernel_1.assign(kernel)
    changed = (np.asarray(block(x)) != before).any((1, 2))
    assert changed.tolist() == [False, True, False]


def test_the_width_must_be_divisible():
    with pytest.raises(ValueError, match="divisible.*dim=7, num_tokens=3"):
        rankmixer(zoo.fields(), num_tokens=3, token_dim=7)


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: rankmixer(fields, num_tokens=4, token_dim=16),
        planted.pairwise,
        learning_rate=0.01,
    )
