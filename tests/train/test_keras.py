"""What Keras and TensorFlow do not promise: an upgrade fails here first."""

import ast
import gc
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest

import recsys
from recsys import Field
from recsys.rank.deepfm import deepfm
from recsys.train import _keras, optimizers
from tests.close import close

NAMES = """_keras_history _inbound_nodes _inputs _standardize_inputs _loss_tracker
_get_metrics_result_or_logs _compile_loss _initial_epoch _tracker _untrack_variable
_use_cached_eval_dataset _flush_futures _get_variable_index _use_weight_decay
_apply_weight_decay _clip_gradients _inner_optimizers _exclude_from_weight_decay
_var_key _all_reduce_sum_gradients _experimental_lower_tensor_list_ops
_flatten_layers _experimental_default_to_single_batch_in_tensor_list_ops""".split()


def _words(path):
    for node in ast.walk(ast.parse(path.read_text())):
        yield from (v for v in vars(node).values() if isinstance(v, str))


def test_private_names_are_in_one_file():
    home = Path(_keras.__file__)
    assert {*NAMES} <= {*_words(home)}
    for path in Path(recsys.__file__).parent.rglob("*.py"):
        if path != home:
            mine = {w for w in _words(path) if w in NAMES} - {"_inputs"}
            assert not mine, f"{path}: {mine}"


@pytest.fixture
def graph():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    shared = keras.layers.Dense(3, name="shared")
    both = keras.layers.Add(name="both")([shared(a), shared(b)])
    return a, b, shared, both


def test_a_tensor_knows_its_maker(graph):
    a, _, shared, both = graph
    assert _keras.maker(both).name == "both"
    assert _keras.place(a) == ("a", 0)
    first, second = _keras.nodes(shared)
    assert first is not second and first.input_tensors[0] is a
    assert first is _keras.node_of(shared.output)


def test_a_call_knows_its_arguments():
    class Twice(keras.layers.Layer):
        def call(self, x, times=2):
            return times * x

    layer = Twice()
    layer(keras.Input((2,)), times=3)
    (node,) = _keras.nodes(layer)
    assert node.arguments.kwargs == {"times": 3}


def test_calls_behind_a_tensor_come_once(graph):
    names = [node.operation.name for node in _keras.nodes_behind([graph[-1]])]
    assert names[0] == "both"
    assert sorted(names) == ["a", "b", "both", "shared", "shared"]


def test_a_dataset_knows_its_sources():
    import tensorflow as tf

    numbers = tf.data.Dataset.range(6)
    assert _keras.sources(numbers) == []
    assert _keras.sources(numbers.batch(2)) == [numbers]


@pytest.fixture
def model():
    fields = [Field("a", vocabulary_size=5, dim=2), Field("b", dim=2, dtype="float32")]
    model = deepfm(fields, fields, hidden_units=(2,))
    model.compile("adam", "binary_crossentropy", run_eagerly=True)
    return model


X = {"a": np.arange(4), "b": np.linspace(0, 1, 4)}
Y = np.array([0, 1, 1, 0])
_PARTS = {"m.weights.json": 1e-6}  # sizes of files of several


def test_keras_asks_for_columns_in_fit_and_in_calls(model, monkeypatch):
    seen = []
    ours = type(model)._columns_of
    monkeypatch.setattr(
        type(model), "_columns_of", lambda self, x: seen.append([*x]) or ours(self, x)
    )
    more = {"unread": np.zeros(4), **{k: v.astype("float32") for k, v in X.items()}}
    model(more)
    assert seen == [["unread", "a", "b"]]
    model.fit(X, Y, verbose=0)
    assert len(seen) == 2


def test_keras_asks_for_the_logs_of_an_epoch(model, monkeypatch):
    logs = {"loss": 7.0}
    monkeypatch.setattr(type(model), "_logs_of_epoch", lambda self, of: logs)
    assert model.fit(X, Y, verbose=0).history == {"loss": [7.0]}


def test_layers_are_in_a_file_by_number(model, tmp_path):
    model.fit(X, Y, verbose=0)
    shapes = Counter(tuple(weight.shape) for weight in model.weights)
    assert _keras.shapes_of_layers(model) == shapes
    for name in ("m.weights.h5", "m.keras", "m.weights.json"):
        if name == "m.keras":
            model.save(tmp_path / name)
        else:
            model.save_weights(tmp_path / name, max_shard_size=_PARTS.get(name))
        assert _keras.shapes_in_file(tmp_path / name) == shapes


def test_the_mean_loss_is_the_one_that_is_logged(model):
    model.fit(X, Y, verbose=0)
    assert model._mean_loss.name == "loss" and model._mean_loss in model.metrics


def test_losses_are_built_before_the_first_step():
    x = keras.Input((2,))
    model = _keras.OwnModel(x, {"y": keras.layers.Dense(1, name="y")(x)})
    model.compile("sgd", {"y": "mse"})
    assert not model._compile_loss.built
    model._build_losses(model.output)
    assert model._compile_loss.built


def test_fit_begins_at_an_epoch(model):
    class Begin(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model._begin_at(2)

    history = model.fit(X, Y, epochs=3, callbacks=[Begin()], verbose=0)
    assert history.epoch == [2]


def test_a_built_model_takes_a_weight_and_forgets_it(model):
    before = len(model.variables)
    state = model.add_state("state", "zeros", (2,), trainable=False)
    assert len(model.variables) == before + 1
    model._remove_state(state)
    assert len(model.variables) == before
    with pytest.raises(ValueError):  # locked again
        model.add_weight(shape=(1,))


def test_fit_says_that_it_asks_for_an_evaluation(model, monkeypatch):
    said = []
    ours = _keras.asked_by_fit
    monkeypatch.setattr(
        "recsys.train.model.asked_by_fit", lambda given: said.append(ours(given))
    )
    model.fit(X, Y, validation_data=(X, Y), verbose=0)
    model.evaluate(X, Y, verbose=0)
    assert said == [True, False]


def test_what_runs_beside_the_training_is_waited_for():
    done = []

    class Slow(keras.callbacks.Callback):
        async_safe = True

        def on_train_batch_end(self, batch, logs=None):
            done.append(batch)

    callbacks = keras.callbacks.CallbackList([Slow()], model=keras.Model())
    callbacks.on_train_batch_end(0)
    _keras.finish(callbacks)
    assert done == [0]


def test_an_optimizer_decays_and_clips_as_it_is_told():
    optimizer = optimizers.SGD(0.1, weight_decay=0.5, clipvalue=1.0)
    kept, free = (keras.Variable([1.0], name=name) for name in ("kept", "free"))
    optimizer.build([kept, free])
    assert [optimizer._place_of(v) for v in (kept, free)] == [0, 1]
    _keras.exempt_from_decay(optimizer, [free])
    assert optimizer._decays(kept) and not optimizer._decays(free)
    optimizer.apply([keras.ops.array([5.0]), keras.ops.array([5.0])])
    # 1 - 0.1 * 0.5 - 0.1 and 1 - 0.1: decay is in the step, once.
    close([float(kept[0]), float(free[0])], [0.85, 0.9])


def test_no_graph_of_a_fit_outlives_its_model():
    """As they would by what TensorFlow sums over replicas, of which there is one."""

    def graphs():
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    def fit():
        model = deepfm([Field("a", vocabulary_size=9, dim=4)], hidden_units=(3,))
        model.compile({"embedding": "adagrad", "default": "adam"}, "mse")
        model.fit({"a": np.arange(8)}, np.zeros(8), verbose=0)

    keras.backend.clear_session(free_memory=False)
    before = graphs()
    fit()
    keras.backend.clear_session(free_memory=False)
    assert graphs() == before


def test_an_optimizer_tells_its_parts():
    alone = optimizers.SGD()
    assert _keras.parts(alone) == [alone]
    both = optimizers.get({"embedding": "adagrad", "default": alone})
    assert [part.name for part in _keras.parts(both)] == ["adagrad", "sgd"]


def test_what_computes_rates_is_set_apart():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    both = optimizers.get(
        {"embedding": keras.optimizers.Adam(schedule), "default": "sgd"}
    )
    scaled = keras.optimizers.LossScaleOptimizer(both)
    for optimizer in (both, scaled):
        assert _keras.schedules(optimizer) == [schedule, None]
    found = _keras.without_rates(scaled).get_config()["inner_optimizer"]["config"]
    found = found["optimizers"]["embedding"]["config"]
    assert isinstance(found["learning_rate"], float)
    assert both["embedding"]._learning_rate is schedule
