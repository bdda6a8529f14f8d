"""EulerNet against section 3 of the paper, and complex arithmetic."""

import numpy as np
import pytest

from recsys import Task
from recsys.rank.eulernet import EulerInteraction, eulernet
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
COLUMNS += ["seen", "seen_category"]
R, P = np.random.default_rng(0).normal(size=(2, 5, 4, 3)).astype("float32")


def _layer(z, w, name):
    """One layer on `(rows, dim, num)`, complex."""
    r, p = z.real, z.imag
    dim, orders = w[f"{name}/shift_phase"].shape
    log, theta = np.log(np.abs(z)), np.angle(z)
    exponent, phase = np.empty((2, len(z), dim, orders))
    for k in range(orders):
        a = w[f"{name}/orders"][:, k]
        exponent[..., k] = (log * a).sum(-1) + w[f"{name}/shift_modulus"][:, k]
        phase[..., k] = (theta * a).sum(-1) + w[f"{name}/shift_phase"][:, k]
    explicit = np.exp(exponent) * np.exp(1j * phase)
    parts = [
        oracle.relu(oracle.dense(part.reshape(len(z), -1), w, name)).reshape(
            len(z), dim, orders
        )
        for part in (r, p)
    ]
    out = [parts[0] + explicit.real, parts[1] + explicit.imag]
    for i, norm in enumerate(("ln_real", "ln_imaginary")):
        if f"{name}/{norm}/gamma" in w:
            centred = out[i] - out[i].mean(1, keepdims=True)
            scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
            gamma, beta = w[f"{name}/{norm}/gamma"], w[f"{name}/{norm}/beta"]
            out[i] = scaled * gamma[:, None] + beta[:, None]
    return out[0] + 1j * out[1]


@pytest.mark.parametrize("options", [{}, {"use_ln": True}], ids=str)
@pytest.mark.oracle
def test_it_computes_the_paper(options):
    task = Task("ctr", return_logit=True)
    model = eulernet(zoo.fields(dim=4), task, num_orders=(8, 5), **options)
    zoo.jitter(model)
    x, w = zoo.rows(9), oracle.weights(model)
    e = np.stack([oracle.column(name, x, w, "embedding_") for name in COLUMNS], axis=2)
    z = w["dnn_euler_features/modulus"] * np.exp(1j * e)
    for i in range(2):
        z = _layer(z, w, f"dnn_euler_{i}")
    flat = np.hstack([(z.real + z.imag).reshape(9, -1), x["scores"]])
    found = model.predict(x, verbose=0)["logit"]
    expected = oracle.dense(flat, w, "dnn_logit/logit")
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
    layer = EulerInteraction(2, dropout_rate=0.5)
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
    with pytest.raises(ValueError, match="at least 1. Received: num_orders=0"):
        eulernet(zoo.fields(dim=4), num_orders=(0,))
    with pytest.raises(ValueError, match="one dim.*'user_id': 4.*'age': 3"):
        eulernet(zoo.fields())


def test_it_learns_a_pairwise_interaction():
    planted.assert_learns(
        lambda fields: eulernet(fields, num_orders=(4,)), planted.pairwise
    )
