"""STAR's layers: a product by group, statistics by domain, weights by domain."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.layers.grouped import KnownIds, grouped_matmul
from recsys.layers.star import PartitionedNormalization, StarDense, StarTopologyFCN
from tests import zoo
from tests.close import close

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, (40, 5)).astype("float32")


def _jittered(layer, *call):
    layer(*call)
    zoo.jitter(layer)
    return layer


@pytest.mark.parametrize("batch", [1, 2, 7, 300, 1000])
@pytest.mark.parametrize("groups", [1, 3, 40])
@pytest.mark.parametrize("training", [False, True])
def test_a_grouped_product_is_one_product_a_row(batch, groups, training):
    x, k = RNG.normal(size=(batch, 6)), RNG.normal(size=(groups, 6, 4))
    g = (RNG.integers(0, groups, batch) ** 2 % groups).astype("int32")  # some empty
    expected = np.einsum("bi,bio->bo", x, k[g])
    product = functools.partial(grouped_matmul, training=training)
    close(product(x, k, g), expected)
    unknown_batch = tf.function(
        product,
        input_signature=[tf.TensorSpec((None, 6), tf.float64)]
        + [tf.TensorSpec(k.shape, tf.float64), tf.TensorSpec((None,), tf.int32)],
    )
    close(unknown_batch(x, k, g), expected)


@pytest.mark.parametrize("training", [False, True])
def test_a_grouped_product_has_no_tensor_of_batch_width_units(training):
    """Nothing as large as kernels gathered by row, forward or backward."""
    x, k = tf.zeros((512, 6)), tf.zeros((3, 6, 4))

    @tf.function
    def step(x, k, g):
        with tf.GradientTape() as tape:
            tape.watch([x, k])
            y = tf.reduce_sum(grouped_matmul(x, k, g, training=training) ** 2)
        return tape.gradient(y, [x, k])

    graph = step.get_concrete_function(x, k, tf.zeros(512, tf.int32)).graph
    sizes = [
        np.prod(out.shape.as_list())
        for op in graph.get_operations()
        for out in op.outputs
        if out.shape.is_fully_defined()
    ]
    assert max(sizes) < 512 * 6 * 4 / 2


def test_a_grouped_product_has_one_gradient():
    x, k = RNG.normal(size=(50, 6)), RNG.normal(size=(3, 6, 4))
    g, weights = RNG.integers(0, 3, 50).astype("int32"), RNG.normal(size=(50, 4))
    found = []
    for training in (False, True):
        variables = [tf.Variable(x), tf.Variable(k)]
        with tf.GradientTape() as tape:
            y = grouped_matmul(*variables, g, training=training)
            loss = tf.reduce_sum(weights * y)
        found.append([tf.convert_to_tensor(d) for d in tape.gradient(loss, variables)])
    for blocks, parts in zip(*found, strict=True):
        close(blocks, parts)


def test_known_ids():
    layer = KnownIds(3)
    ids = np.array([[0, 2], [-1, 7]])
    np.testing.assert_array_equal(layer(ids), [[0, 2], [3, 3]])
    assert layer.get_config()["number"] == 3


def test_one_domain_is_batch_normalization():
    ours = PartitionedNormalization(1, momentum=0.9, epsilon=0.01)
    stock = keras.layers.BatchNormalization(momentum=0.9, epsilon=0.01)
    ids = np.zeros(40, "int32")
    for _ in range(3):
        close(ours([X, ids], training=True), stock(X, training=True), terms=1_000)
    close(ours([X, ids]), stock(X), terms=1_000)
    close(ours.domain_mean[0], stock.moving_mean, terms=100)
    close(ours.domain_variance[0], stock.moving_variance, terms=100)


@pytest.mark.parametrize("training", [True, False])
def test_gammas_multiply_and_betas_add(training):
    ids = np.arange(40) % 3
    layer = _jittered(PartitionedNormalization(3), [X, ids])
    layer([X - 1, ids], training=True)
    w = {v.name: v.numpy().astype("float64") for v in layer.weights}
    expected = np.empty(X.shape)
    for p in range(3):
        rows = X[ids == p].astype("float64")
        mean, variance = w["domain_mean"][p], w["domain_variance"][p]
        if training:
            mean, variance = rows.mean(0), rows.var(0)
        y = (rows - mean) / np.sqrt(variance + 1e-3)
        gamma, beta = w["gamma"] * w["domain_gamma"][p], w["beta"] + w["domain_beta"][p]
        expected[ids == p] = gamma * y + beta
    found = layer([X, ids], training=training)
    close(found, expected, terms=1_000)


def test_moving_statistics_are_those_of_a_domains_own_rows():
    ids = np.where(np.arange(40) < 30, 0, 2)
    layer = PartitionedNormalization(4)
    layer([X, ids], training=True)
    mean, variance = layer.domain_mean.numpy(), layer.domain_variance.numpy()
    close(mean[0], 0.01 * X[:30].mean(0), terms=1_000)
    close(variance[2], 0.99 + 0.01 * X[30:].var(0), terms=100)
    for absent in (1, 3):
        np.testing.assert_array_equal(mean[absent], 0)
        np.testing.assert_array_equal(variance[absent], 1)
    np.testing.assert_array_equal(layer.domain_rows[:, 0], [30, 0, 10, 0])


def test_an_absent_domain_keeps_its_statistics_to_the_bit():
    layer = PartitionedNormalization(3)
    for _ in range(4):
        layer([X, np.arange(40) % 3], training=True)
    before = [v[2].numpy() for v in (layer.domain_mean, layer.domain_variance)]
    layer([X, np.arange(40) % 2], training=True)
    after = [v[2].numpy() for v in (layer.domain_mean, layer.domain_variance)]
    np.testing.assert_array_equal(before, after)


def test_a_single_row_has_no_statistics():
    """Its own would make it zero, whatever it is."""
    layer = PartitionedNormalization(2)
    ids = np.zeros(40, "int32")
    layer([X, ids], training=True)
    statistics = layer.domain_mean.numpy(), layer.domain_variance.numpy()
    ids[7] = 1
    alone = layer([X, ids], training=True).numpy()[7]
    close(alone, X[7] / np.sqrt(1 + 1e-3), terms=100)
    np.testing.assert_array_equal(layer.domain_mean[1], statistics[0][1])
    np.testing.assert_array_equal(layer.domain_variance[1], statistics[1][1])
    assert layer.domain_rows.numpy()[1] == 0


@pytest.mark.parametrize("ids", [[5, 5], [-1, -1]])
def test_an_unknown_domain_has_the_average_statistics(ids):
    layer = PartitionedNormalization(2)
    fresh = layer([X[:2], np.array(ids)])
    close(fresh, X[:2] / np.sqrt(1 + 1e-3), terms=100)
    layer([X, np.where(np.arange(40) < 30, 0, 1)], training=True)
    layer.domain_gamma.assign(np.full((2, 5), 7.0))
    share = np.array([0.75, 0.25])
    mean, variance = share @ layer.domain_mean, share @ layer.domain_variance
    found = layer([X[:2], np.array(ids)])
    close(found, (X[:2] - mean) / np.sqrt(variance + 1e-3), terms=1_000)
    before = layer.domain_mean.numpy()
    layer([X[:2], np.array(ids)], training=True)
    np.testing.assert_array_equal(layer.domain_mean, before)


def test_ones_leave_the_shared_network():
    ids = np.arange(40) % 3
    fcn = StarTopologyFCN(3, (7, 4))
    shared = X
    found = fcn([X, ids])
    for dense in fcn.dense:
        shared = np.maximum(shared @ dense.kernel.numpy() + dense.bias.numpy(), 0)
        np.testing.assert_array_equal(
            dense.domain_kernel, np.ones((3, *dense.kernel.shape))
        )
    close(found, shared, terms=1_000)


def test_weights_multiply_and_biases_add():
    ids = np.arange(40) % 3
    layer = _jittered(StarDense(4, 3), [X, ids])
    w = {v.name: v.numpy().astype("float64") for v in layer.weights}
    expected = np.stack(
        [
            X[i] @ (w["kernel"] * w["domain_kernel"][p])
            + w["bias"]
            + w["domain_bias"][p]
            for i, p in enumerate(ids)
        ]
    )
    close(layer([X, ids]), expected, terms=1_000)
    unknown = layer([X, ids * 0 + 3])
    close(unknown, X @ w["kernel"] + w["bias"], terms=1_000)
    np.testing.assert_array_equal(layer([X, ids[:, None]]), layer([X, ids]))


def test_doubling_the_shared_and_halving_each_domain_changes_nothing():
    ids = np.arange(40) % 3
    layer = _jittered(StarDense(4, 3), [X, ids])
    before = layer([X, ids])
    layer.kernel.assign(layer.kernel * 2)
    layer.domain_kernel.assign(layer.domain_kernel / 2)
    close(layer([X, ids]), before, terms=100)


def test_the_penalty_of_a_domain_is_on_what_it_differs_by():
    layer = StarDense(4, 3, l2_reg=0.1)
    layer([X, np.arange(40) % 3])
    kernel = layer.kernel.numpy()
    close(sum(layer.losses), 0.1 * (kernel**2).sum(), terms=100)
    layer.domain_kernel.assign(layer.domain_kernel + 1)
    expected = 0.1 * ((kernel**2).sum() + 3 * kernel.size)
    close(sum(layer.losses), expected, terms=100)


def test_without_hidden_units_nothing_happens():
    np.testing.assert_array_equal(StarTopologyFCN(2, ())([X, X[:, 0] * 0]), X)


def test_config():
    for layer in (
        PartitionedNormalization(3, momentum=0.9, min_rows=4, affine=False),
        StarDense(4, 3, 0.1),
        StarTopologyFCN(3, (4, 2), "dice", 0.1, 0.2),
    ):
        config = layer.get_config()
        assert type(layer).from_config(config).get_config() == config
