"""Row-wise optimizers against dense ones, and the dict of several."""

import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.layers.table import Embedding
from recsys.train import optimizers
from recsys.train.optimizers.choice import LARGE_TABLE, warn_if_slow
from tests import zoo
from tests.close import close

ROWS, DIM = 6, 3
BATCHES = [[1, 1, 2, 1], [2, 5, 5, 0], [1, 3, 3, 3]]
EXACT = [
    (optimizers.Adagrad, {}),
    (optimizers.RowWiseAdagrad, {}),
    (optimizers.SGD, {}),
]
OURS = [
    (optimizers.Adam, keras.optimizers.Adam, {}),
    (optimizers.Adam, keras.optimizers.Adam, {"amsgrad": True}),
    (optimizers.Adam, keras.optimizers.AdamW, {"weight_decay": 0.1}),
    (optimizers.Adagrad, keras.optimizers.Adagrad, {}),
    (optimizers.FTRL, keras.optimizers.Ftrl, {}),
    (
        optimizers.FTRL,
        keras.optimizers.Ftrl,
        {
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.1,
            "l2_shrinkage_regularization_strength": 0.1,
            "beta": 0.2,
        },
    ),
    (optimizers.SGD, keras.optimizers.SGD, {}),
    (optimizers.SGD, keras.optimizers.SGD, {"momentum": 0.9}),
    (optimizers.SGD, keras.optimizers.SGD, {"momentum": 0.9, "nesterov": True}),
    (optimizers.Adam, keras.optimizers.Adam, {"weight_decay": 0.01}),
]


def _train(optimizer, sparse, batches=BATCHES):
    """Trains a table on sums of squares of its rows; returns it and the slots."""
    start = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype("float32")
    layer = Embedding(ROWS, DIM, keras.initializers.Constant(0))
    layer.build()
    layer.embeddings.assign(start)
    optimizer.build([layer.embeddings])
    target = tf.constant([1.0, -2.0, 0.5])
    for ids in batches:
        with tf.GradientTape() as tape:
            if sparse:
                rows = layer(tf.constant(ids))
            else:
                rows = tf.one_hot(ids, ROWS) @ layer.embeddings.value
            loss = tf.reduce_sum((rows - target) ** 2)
        gradient = tape.gradient(loss, layer.embeddings.value)
        assert isinstance(gradient, tf.IndexedSlices) == sparse
        optimizer.apply([gradient], [layer.embeddings])
    return layer.embeddings.numpy(), [v.numpy() for v in optimizer.variables[2:]]


@pytest.mark.parametrize(
    ("kind", "kwargs"), EXACT, ids=lambda v: getattr(v, "__name__", "")
)
def test_repeated_ids_give_the_dense_result(kind, kwargs):
    table, slots = _train(kind(0.1, **kwargs), sparse=True)
    dense_table, dense_slots = _train(kind(0.1, **kwargs), sparse=False)
    close(table, dense_table, terms=100)
    for slot, dense_slot in zip(slots, dense_slots, strict=True):
        close(slot, dense_slot)


def test_stock_adagrad_does_not_give_the_dense_result():
    """Why these classes exist: Keras squares the parts of a repeated id."""
    table, _ = _train(keras.optimizers.Adagrad(0.1), sparse=True)
    dense_table, _ = _train(keras.optimizers.Adagrad(0.1), sparse=False)
    assert np.abs(table - dense_table).max() > 1e-2
    ours, _ = _train(optimizers.Adagrad(0.1), sparse=True)
    close(ours, dense_table, terms=100)


@pytest.mark.parametrize(
    ("ours", "stock", "kwargs"), OURS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_a_dense_gradient_is_treated_as_in_keras(ours, stock, kwargs):
    results = []
    for kind in (ours, stock):
        variable = keras.Variable(np.arange(12.0).reshape(4, 3) / 10, name="kernel")
        optimizer = kind(0.1, **kwargs)
        optimizer.build([variable])
        rng = np.random.default_rng(0)
        for _ in range(4):
            gradient = tf.constant(rng.normal(size=(4, 3)), "float32")
            optimizer.apply([gradient], [variable])
        results.append(variable.numpy())
    close(*results, terms=10)


@pytest.mark.parametrize(
    ("kind", "_", "kwargs"), OURS, ids=lambda v: getattr(v, "__name__", str(v))
)
def test_rows_outside_the_batch_and_rows_of_zeros_stay(kind, _, kwargs):
    """Also where the gradient is dense, as on JAX and PyTorch."""
    found = []
    for sparse in (True, False):
        layer = Embedding(ROWS, DIM)
        layer.build()
        layer.embeddings.assign(np.ones((ROWS, DIM)))
        optimizer = kind(0.1, **kwargs)
        optimizer.build([layer.embeddings])
        for ids, scale in (([1, 2, 2], 1.0), ([2, 4, 1], [[0.5], [0.25], [0.0]])):
            values = tf.ones((3, DIM)) * scale
            gradient = tf.IndexedSlices(values, tf.constant(ids), (ROWS, DIM))
            if not sparse:
                gradient = tf.convert_to_tensor(gradient)
            before = layer.embeddings.numpy()
            if sparse:
                optimizer.apply([gradient], [layer.embeddings])
            else:  # as other backends call it, with the variable itself
                optimizer.update_step(gradient, layer.embeddings, 0.1)
                optimizer.iterations.assign_add(1)
        after = layer.embeddings.numpy()
        assert (after[[2, 4]] != before[[2, 4]]).all()
        np.testing.assert_array_equal(after[[0, 1, 3, 5]], before[[0, 1, 3, 5]])
        found.append(after)
    close(*found, terms=10)


def test_lazy_adam_is_adam_on_the_rows_of_the_batch():
    optimizer = optimizers.Adam(0.1)
    table, _ = _train(optimizer, sparse=True, batches=[[1, 1], [1, 2]])
    start = np.random.default_rng(0).normal(size=(ROWS, DIM))
    target, row, m, v = np.array([1.0, -2.0, 0.5]), start[1], 0.0, 0.0
    for t, count in ((1, 2), (2, 1)):
        g = count * 2 * (row - target)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        row = row - step * m / (np.sqrt(v) + 1e-7)
    close(table[1], row, terms=100)
    close(table[3], start[3])


@pytest.mark.parametrize("name", ["adam", "adagrad", "rowwiseadagrad", "ftrl", "sgd"])
def test_a_step_reads_no_whole_table(name):
    layer = Embedding(1000, 4)
    layer.build()
    optimizer = optimizers.get(name)
    optimizer.build([layer.embeddings])

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(ids) ** 2)
        optimizer.apply(
            [tape.gradient(loss, layer.embeddings.value)], [layer.embeddings]
        )

    graph = step.get_concrete_function(tf.TensorSpec((None,), "int32")).graph
    large = {
        op.type
        for op in graph.get_operations()
        for out in op.outputs
        if out.shape.rank and out.shape[0] == 1000
    }
    assert not large


@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_sees_the_sum_of_repeated_ids_and_keeps_it_sparse(clip):
    kwargs = {clip: 0.5}
    table, _ = _train(optimizers.SGD(0.1, **kwargs), sparse=True)
    dense, _ = _train(keras.optimizers.SGD(0.1, **kwargs), sparse=False)
    close(table, dense, terms=100)


@pytest.mark.parametrize(
    ("stock", "twin"),
    [
        (keras.optimizers.Adam(0.3, beta_1=0.7), optimizers.Adam),
        (keras.optimizers.AdamW(0.3, weight_decay=0.2), optimizers.Adam),
        (keras.optimizers.Adagrad(0.3, 0.2), optimizers.Adagrad),
        (keras.optimizers.Ftrl(0.3, beta=0.1), optimizers.FTRL),
        (keras.optimizers.SGD(0.3, momentum=0.5), optimizers.SGD),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_a_stock_instance_becomes_its_twin_with_the_same_config(stock, twin):
    ours = optimizers.get(stock)
    assert type(ours) is twin
    assert ours.get_config() == stock.get_config()


def test_names_and_schedules_and_others():
    assert type(optimizers.get("Adagrad")) is optimizers.Adagrad
    close(float(optimizers.get("adagrad").learning_rate), 0.05)
    assert type(optimizers.get("adamw")) is optimizers.Adam
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    ours = optimizers.get(keras.optimizers.Adam(schedule))
    assert isinstance(ours._learning_rate, type(schedule))
    other = keras.optimizers.Lion()
    assert optimizers.get(other) is other
    with pytest.raises(ValueError, match="nosuch"):
        optimizers.get("nosuch")


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """Nobody registered it, and it has no config."""

    def __call__(self, step):
        return 0.5 / (1.0 + tf.cast(step, "float32"))


class Rate:
    def __call__(self):
        return 0.25


def quarter():
    return 0.25


@pytest.mark.parametrize("rate", [Falling(), quarter, lambda: 0.25, Rate()])
def test_what_computes_a_rate_need_not_be_known_to_files(rate):
    entry = zoo.ENTRIES[0]
    for stock in (keras.optimizers.Adam, keras.optimizers.SGD):
        given = stock(rate)
        model = entry.compiled({"embedding": given, "default": stock(rate)})
        model.fit(zoo.rows(8), entry.labels(8), batch_size=8, verbose=0)
        ours = model.optimizer["embedding"]
        assert ours._learning_rate is rate is given._learning_rate
        close(float(ours.learning_rate), 0.25)


def test_an_optimizer_of_keras_on_a_large_table_warns():
    layer = Embedding(LARGE_TABLE, 1, name="embedding_big")
    layer.build()
    with pytest.warns(UserWarning, match="Lion reads and writes all.*embedding_big"):
        warn_if_slow(keras.optimizers.Lion(), [layer.embeddings])


def test_the_first_component_with_a_key_and_the_longest_key_decide():
    optimizer = optimizers.OptimizerByPrefix(
        {
            "embedding": "adagrad",
            "embedding_linear": "ftrl",
            "dnn/": "adam",
            "default": "sgd",
        }
    )
    assert optimizer.key("embedding_item/embeddings") == "embedding"
    assert optimizer.key("embedding_linear__item/embeddings") == "embedding_linear"
    assert optimizer.key("dnn_his/pos/embeddings") == "dnn/"
    assert optimizer.key("outer/dnn_mlp/embedding") == "dnn/"
    assert optimizer.key("bias") == "default"


def test_errors_of_the_dict():
    entry = zoo.ENTRIES[0]
    with pytest.raises(ValueError, match="'default'.*\\['embedding'\\]"):
        entry.compiled({"embedding": "adam"})
    with pytest.raises(ValueError, match="\\['embeding'\\] match no variable"):
        entry.compiled({"embeding": "adam", "default": "adam"})


def test_the_dict_survives_its_config_and_callbacks_reach_its_parts():
    optimizer = optimizers.get(
        {"embedding": keras.optimizers.Adagrad(0.3), "default": "adam"}
    )
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(optimizer)
    )
    assert {key: type(copy[key]) for key in copy} == {
        "embedding": optimizers.Adagrad,
        "default": optimizers.Adam,
    }
    close(float(copy["embedding"].learning_rate), 0.3)

    entry = zoo.ENTRIES[0]
    model = entry.compiled({"embedding": "adagrad", "default": "adam"})
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(zoo.rows(8), entry.labels(8), callbacks=[halve], verbose=0)
    close(float(model.optimizer["embedding"].learning_rate), 0.025)
    close(float(model.optimizer["default"].learning_rate), 0.0005)


def test_the_state_may_be_called_as_in_version_1():
    optimizer = optimizers.Adam()
    assert optimizer.variables() == optimizer.variables


@pytest.mark.parametrize("name", ["adam", "adagrad", "ftrl", "sgd"])
def test_a_vector_has_no_rows(name):
    """Ids that repeat in a gather from a vector count as their sum."""
    ids, values = [0, 1, 1, 0, 0, 1], np.arange(1.0, 7.0, dtype="float32")
    sparse = tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant([2]))
    found = []
    for gradient in (sparse, tf.constant([10.0, 11.0])):
        weight = keras.Variable([0.5, -0.5])
        optimizer = optimizers.get(name)
        optimizer.build([weight])
        for _ in range(2):
            optimizer.apply([gradient], [weight])
        found.append(weight.numpy())
    close(*found, terms=10)


def test_threads_that_compile_one_optimizer_keep_its_schedule():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    adam = keras.optimizers.Adam(schedule)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            twins = [*threads.map(optimizers.get, [adam] * 800)]
    finally:
        sys.setswitchinterval(before)
    assert {id(twin._learning_rate) for twin in twins} == {id(schedule)}
