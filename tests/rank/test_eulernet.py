"""EulerNet against section 3 of the paper, and complex arithmetic."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.eulernet import EulerInteraction, eulernet
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category"]
ORDERS = (8, 5)
R, P = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")


def _layer(z, w, name, orders, use_ln):
    """One layer on `(rows, dim, num)`, complex."""
    r, p = z.real, z.imag
    dim = z.shape[1]
    log, theta = np.log(np.abs(z)), np.angle(z)
    exponent, phase = np.empty((2, len(z), dim, orders))
    for k in range(orders):
        a = w[f"{name}/orders"][:, k]
        exponent[..., k] = (log * a).sum(-1) + w[f"{name}/shift_modulus"][:, k]
        phase[..., k] = (theta * a).sum(-1) + w[f"{name}/shift_phase"][:, k]
    explicit = np.exp(exponent) * np.exp(1j * phase)
    dense = (
        oracle.dense(part.reshape(len(z), -1), w, name, dim * orders) for part in (r, p)
    )
    parts = [oracle.relu(part).reshape(len(z), dim, orders) for part in dense]
    out = [parts[0] + explicit.real, parts[1] + explicit.imag]
    if use_ln:  # over the units of an order
        norms = (f"{name}/ln_real", f"{name}/ln_imaginary")
        turned = [part.swapaxes(1, 2) for part in out]
        normed = [oracle.norm(o, w, n) for o, n in zip(turned, norms, strict=True)]
        out = [part.swapaxes(1, 2) for part in normed]
    return out[0] + 1j * out[1]


@pytest.mark.parametrize("use_ln", [False, True])
@pytest.mark.oracle
def test_it_computes_the_paper(use_ln):
    task = Task("ctr", return_logit=True)
    model = eulernet(zoo.fields(dim=4), task, num_orders=ORDERS, use_ln=use_ln)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    e = np.stack([oracle.column(name, x, w, "embedding_") for name in COLUMNS], axis=2)
    z = w["dnn_euler_features/modulus"] * np.exp(1j * e)
    for i, orders in enumerate(ORDERS):
        z = _layer(z, w, f"dnn_euler_{i}", orders, use_ln)
    flat = np.hstack([(z.real + z.imag).reshape(9, -1), x["scores"]])
    found = oracle.logit(model, x)
    expected = oracle.dense(flat, w, "dnn_logit/logit", 1)
    close(found, expected, terms=1_000)


def test_parameters():
    model = eulernet(zoo.fields(dim=4), num_orders=(8, 5))
    tables = (40 + 1 + 12 + 30 + 7 + 24) * 4
    layers = [m * n + 2 * 4 * n + 4 * n * (4 * m + 1) for m, n in ((8, 8), (8, 5))]
    assert model.count_params() == tables + 8 + sum(layers) + (4 * 5 + 2) + 1


def _explicit(num_orders):
    layer = EulerInteraction(num_orders)
    layer.build([R.shape, P.shape])
    for weight in (*layer.shifts, layer.kernel):
        weight.assign(np.zeros(weight.shape))
    return layer


def test_integer_orders_are_complex_products():
    layer, z = _explicit(2), R + 1j * P
    layer.orders.assign([[1.0, 2.0], [1.0, 0.0], [0.0, -1.0]])
    expected = [z[..., 0] * z[..., 1], z[..., 0] ** 2 / z[..., 2]]
    r, p = layer([R, P])
    close(r.numpy() + 1j * p.numpy(), np.stack(expected, axis=-1), terms=1_000)


def test_as_many_orders_as_fields_start_as_the_identity():
    for part, found in zip((R, P), _explicit(3)([R, P]), strict=True):
        close(found, part, terms=1_000)


def test_other_numbers_of_orders_start_near_one_field_each():
    orders = _explicit(40).orders.numpy()
    close(orders.sum(0), np.ones(40), terms=100)
    assert np.median(orders.max(0)) > 0.99
    assert set(orders.argmax(0)) == {0, 1, 2}


def test_dropout_in_training_only():
    layer = EulerInteraction(2, dropout=0.5)
    before = layer([R, P])[0].numpy()
    np.testing.assert_array_equal(layer([R, P], training=False)[0], before)
    assert np.any(layer([R, P], training=True)[0].numpy() != before)


def test_penalty_and_config():
    layer = EulerInteraction(2, 0.1, True, 0.1)
    layer.build([R.shape, P.shape])
    square = float((layer.kernel.numpy() ** 2).sum())
    close(float(sum(layer.losses)), 0.1 * square, terms=100)
    config = layer.get_config()
    assert EulerInteraction.from_config(config).get_config() == config


def test_errors():
    with pytest.raises(ValueError, match=r"at least 1. Received: num_orders=\(0,\)"):
        eulernet(zoo.fields(dim=4), num_orders=(0,))
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        eulernet(zoo.fields())


@pytest.mark.all
def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: eulernet(fields, num_orders=(4,)), planted.pairwise
    )
