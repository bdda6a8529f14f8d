"""What every model of the registry must do, whatever its paper."""

import copy
from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import load_model
from recsys.layers.table import Embedding
from recsys.train.columns import all_layers
from tests import zoo
from tests.close import close

OPTIMIZER = {"embedding": "adagrad", "dnn": "adam", "default": "sgd"}


@pytest.fixture(scope="module", params=zoo.ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def model(entry):
    """A model with two steps behind it, shared by the checks below."""
    keras.utils.set_random_seed(1)
    model = _compiled(entry)
    zoo.jitter(model, seed=entry.seed)
    before = [weight.numpy() for weight in model.trainable_weights]
    _two_steps(model, zoo.rows(64), entry.labels(64))
    pairs = zip(before, model.trainable_weights, strict=True)
    model.moved = [bool(np.any(a != b.numpy())) for a, b in pairs]
    return model


def _compiled(entry):
    model = entry.build()
    paths = [variable.path for variable in model.trainable_variables]
    used = [key for key in OPTIMIZER if any(path.startswith(key) for path in paths)]
    optimizer = {key: OPTIMIZER[key] for key in (*used, "default")}
    model.compile(optimizer=optimizer, loss=entry.loss())
    return model


@pytest.fixture(scope="module")
def rows():
    return zoo.rows(24, seed=3)


def test_rows_are_independent_and_a_batch_of_one_works(model, rows):
    together = zoo.predictions(model, rows)
    assert np.isfinite(together).all()
    for i in (0, 5):
        alone = zoo.predictions(model, zoo.take(rows, slice(i, i + 1)))
        close(alone, together[i : i + 1], terms=100)
    order = np.random.default_rng(0).permutation(24)
    shuffled = zoo.predictions(model, zoo.take(rows, order))
    close(shuffled, together[order], terms=100)


def test_side_and_content_of_padding_do_not_matter(model, rows):
    before = zoo.predictions(model, rows)
    left = dict(rows)
    for name in ("seen", "seen_category"):
        ids = rows[name]
        order = np.argsort(ids != 0, axis=1, kind="stable")
        left[name] = np.take_along_axis(ids, order, axis=1)
    assert (left["seen"] != rows["seen"]).any()
    close(zoo.predictions(model, left), before, terms=100)

    tables = [
        model.get_layer(name).embeddings
        for name in ("embedding_item_id", "embedding_category", "embedding_tags")
        if any(layer.name == name for layer in model.layers)
    ]
    kept = [table.numpy() for table in tables]
    for table, value in zip(tables, kept, strict=True):
        table.assign(np.concatenate([value[:1] + 7, value[1:]]))
    after = zoo.predictions(model, rows)
    for table, value in zip(tables, kept, strict=True):
        table.assign(value)
    close(after, before, terms=100)


def test_padding_gets_no_gradient(entry, model, rows):
    gradients = _gradients(entry, model, rows)
    for name in ("embedding_item_id", "embedding_category", "embedding_tags"):
        gradient = gradients.get(f"{name}/embeddings")
        if gradient is not None:
            row = tf.convert_to_tensor(gradient)[0]
            np.testing.assert_array_equal(row, np.zeros_like(row))


def test_an_empty_history_is_finite(entry, model, rows):
    empty = {**rows, "seen": rows["seen"] * 0, "seen_category": rows["seen"] * 0}
    assert np.isfinite(zoo.predictions(model, empty)).all()
    for name, gradient in _gradients(entry, model, empty).items():
        assert np.isfinite(tf.convert_to_tensor(gradient)).all(), name


def test_every_weight_gets_a_gradient_and_tables_a_sparse_one(entry, model, rows):
    gradients = _gradients(entry, model, rows)
    for weight in model.trainable_variables:
        gradient = gradients[weight.path]
        assert gradient is not None, f"{weight.path} gets no gradient"
        assert np.any(tf.convert_to_tensor(gradient)), f"{weight.path} gets only zeros"
    for layer in all_layers(model):
        if isinstance(layer, Embedding):
            gradient = gradients[layer.embeddings.path]
            assert isinstance(gradient, tf.IndexedSlices), layer.name


def _gradients(entry, model, rows):
    y = entry.labels(len(rows["item_id"]))
    x = {name: tf.convert_to_tensor(rows[name]) for name in model.input}
    with tf.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    variables = model.trainable_variables
    found = tape.gradient(loss, [variable.value for variable in variables])
    return dict(zip([v.path for v in variables], found, strict=True))


def test_the_callers_objects_stay_as_they_were(entry):
    fields, units = entry.fields(), [8, 4]
    before = copy.deepcopy(fields)
    kwargs = {key: units for key in entry.arguments() if key.endswith("hidden_units")}
    counts = [entry.build(**kwargs).count_params() for _ in range(2)]
    assert counts[0] == counts[1]
    assert units == [8, 4]
    assert fields == before


def test_the_same_seed_gives_the_same_weights(entry):
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        weights.append(entry.build().get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_two_weights_start_equal(entry):
    seen = {}
    for weight in entry.build().trainable_weights:
        value = weight.numpy()
        if value.ndim > 1 and value.std() > 0:
            key = (value.shape, value.tobytes())
            assert key not in seen, f"{weight.path} starts as {seen[key]}"
            seen[key] = weight.path


def test_a_file_restores_everything(entry, model, rows, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
    loaded = load_model(path)
    assert type(loaded) is type(model)
    _assert_same_state(loaded, model)
    for one, other in zip(*(_called(m, rows) for m in (loaded, model)), strict=True):
        np.testing.assert_array_equal(one, other)
    x, y = zoo.rows(32), entry.labels(32)
    assert _two_steps(loaded, x, y) == _two_steps(model, x, y)
    _assert_same_state(loaded, model)


def _assert_same_state(loaded, model):
    """Weights, slots and random state are equal to the bit."""
    states = [(*m.variables, *m.optimizer.variables) for m in (loaded, model)]
    for one, other in zip(*states, strict=True):  # paths tell who built a layer first
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=other.path)


@contextmanager
def _without_graphs(model):
    """Tracing is most of a short `fit`; `test_contract_all.py` traces every model's."""
    model.run_eagerly, model.train_function, model.test_function = True, None, None
    yield
    model.run_eagerly, model.train_function, model.test_function = False, None, None


def _two_steps(model, x, y):
    half = len(x["item_id"]) // 2
    with _without_graphs(model):
        return model.fit(x, y, batch_size=half, verbose=0, shuffle=False).history


def _called(model, rows):
    """What the model says of rows, without a graph."""
    outputs = model({name: tf.convert_to_tensor(rows[name]) for name in model.input})
    return [*outputs.values()] if isinstance(outputs, dict) else [outputs]


@pytest.mark.parametrize("name", zoo.MECHANISMS)
def test_training_goes_on_in_a_graph_from_a_file(name, tmp_path):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == name)
    model = _compiled(entry)
    # One size of batch: another is another graph, which rounds otherwise.
    x, y = zoo.rows(64), entry.labels(64)
    model.fit(x, y, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    histories = [
        m.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False).history
        for m in (model, load_model(tmp_path / "model.keras"))
    ]
    assert histories[0] == histories[1]


def test_the_optimizer_dict_reaches_every_weight(model):
    by_key = model.special_layer_variables
    assert all(v.path.startswith("embedding") for v in by_key["embedding"])
    assert not by_key["default"], [v.path for v in by_key["default"]]
    assert np.mean(model.moved) > 0.9


def test_evaluate_gives_a_finite_loss(entry, model, rows):
    with _without_graphs(model):
        logs = model.evaluate(rows, entry.labels(24), verbose=0, return_dict=True)
    assert np.isfinite(logs["loss"])
