"""The contract notices what a factory does wrong."""

import inspect
from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from recsys import Field, Task
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.testing import contract
from recsys.testing.contract import check_model
from recsys.testing.subject import Subject
from recsys.train.model import Model


class BesideRows(keras.layers.Layer):
    """Each row minus the mean of its batch."""

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


class Gated(Layer):
    """Weights that stop what trains them; files do not know the layer."""

    def __init__(self, power=1.0, stops=False, **kwargs):
        super().__init__(**kwargs)
        self.stops, self._power = stops, power

    held = {"power": "_power"}

    def build(self, input_shape):
        self.w = self.add_weight(shape=input_shape[-1:], name="w")

    def call(self, inputs):
        w = ops.stop_gradient(self.w) if self.stops else self.w
        return inputs * ops.sigmoid(self._power * w)


@keras.saving.register_keras_serializable("tests")
class Lost(Gated):
    held = {}


class Endless(keras.layers.Layer):
    """Nothing divided by nothing, where all is zero."""

    def call(self, inputs):
        return inputs / ops.sum(ops.abs(inputs), axis=-1, keepdims=True)


def model(fields, *layers, name="dnn_end", reads_padding=False):
    embed = FieldEmbedder(fields)
    x = embed(fields, "mean_pooling").concat()
    if reads_padding:
        oldest = ops.cast(embed.column("seen")[:, :1], "float32")
        x = keras.layers.Concatenate()([x, oldest])
    for layer in layers:
        x = layer(x)
    x = keras.layers.Dense(1, name=name)(x)
    return Model(inputs=embed.inputs, outputs=predict(Task("t"), x), name="mine")


def same(seed):
    """Two layers of one shape that start alike."""
    kernel = {"kernel_initializer": keras.initializers.GlorotUniform(seed)}
    return [keras.layers.Dense(9, name=f"dnn_{i}", **kernel) for i in range(3)]


def doubles_a_dim(fields):
    fields[0].dim *= 2
    return model(fields)


def sets_dims(fields):
    for field in fields:
        field.dim = 5
    return model(fields)


def sets_a_penalty(fields):
    fields[0].l2_reg = 0.5
    return model(fields)


def turns_the_list(fields):
    fields.reverse()
    return model(fields)


def counts_an_edge(fields):
    fields[0].counts = np.ones(40)
    return model(fields)


def writes_units(fields, hidden_units=()):
    hidden_units.append(1)
    return model(fields)


def fills_a_mapping(fields, options=None):
    options.setdefault("sizes", []).append(3)
    return model(fields)


def other_seeds(fields):
    chosen = np.random.SeedSequence().entropy % 2**31
    return model(fields, *same(int(chosen)))


WRONG = [
    (contract.rows_are_independent, lambda f: model(f, BesideRows()), "rows beside it"),
    (
        contract.padding_does_not_matter,
        lambda f: model(f, reads_padding=True),
        "at the left",
    ),
    (contract.no_two_weights_start_equal, lambda f: model(f, *same(7)), "start equal"),
    (contract.the_same_seed_gives_the_same_weights, other_seeds, "of one seed"),
]


@pytest.mark.parametrize(("check", "factory", "what"), WRONG)
def test_what_is_wrong_is_said(check, factory, what):
    with pytest.raises(AssertionError, match=f"{factory.__name__}: .*{what}"):
        check(Subject(factory))


@pytest.mark.parametrize(
    ("factory", "what", "given"),
    [
        (doubles_a_dim, "'dim' of field 'user_id'", {}),
        (sets_dims, "'dim' of field 'user_id'", {}),
        (sets_a_penalty, "'l2_reg' of field 'user_id'", {}),
        (counts_an_edge, "'counts' of field 'user_id'", {}),
        (turns_the_list, "the list of fields", {}),
        (writes_units, "argument 'hidden_units'", {}),
        (fills_a_mapping, "argument 'options'", {"options": {"sizes": [8]}}),
    ],
)
def test_what_a_factory_writes_to_is_said_at_its_first_call(factory, what, given):
    made = []

    def counted(*args, **kwargs):
        made.append(factory)
        return factory(*args, **kwargs)

    counted.__signature__ = inspect.signature(factory)
    with pytest.raises(AssertionError, match=f"^counted: {what} must stay as the cal"):
        check_model(counted, **given)
    assert len(made) == 1


IDS = [
    Field("user", vocabulary_size=9, dim=3),
    Field("item", vocabulary_size=9, dim=3, belong="item"),
]


def _ids(n, seed):
    rng = np.random.default_rng(seed)
    return {field.name: rng.integers(0, 9, n) for field in IDS}


def compiled(fields):
    made = model(fields)
    made.compile("sgd")
    return made


def plain(fields):
    made = model(fields)
    return keras.Model(made.inputs, made.output)


@pytest.mark.parametrize(
    ("factory", "what"),
    [
        (3, "^3: a factory must be a function of fields"),
        (lambda f: None, "return a recsys.train.Model, not compiled; not None"),
        (plain, "^plain: a factory must return a recsys.train.Model, .* <Functional"),
        (compiled, "^compiled: a factory must return .* not compiled; not one that is"),
        (lambda f: 1 / 0, "ends in ZeroDivisionError: division by zero"),
        (
            lambda f: model(f, Gated(stops=True, name="gated")),
            "every weight must get a gradient, and gated/w gets none: .*trainable=Fal",
        ),
        (
            lambda f: model(f, Gated()),
            "the check that a file restores everything ends in (?s:.*)class 'Gated'"
            "(?s:.*)register_keras_serializable",
        ),
        (
            lambda f: model(f, Lost(2.0, name="lost")),
            "a file restores everything ends in ValueError: Layer 'lost': a file must "
            "have each argument of Lost .*'power'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_what_cannot_be_asked_is_explained(factory, what):
    with pytest.raises(AssertionError, match=what):
        check_model(factory, IDS, _ids)


def test_fields_without_their_rows():
    wanted = r"model: `rows` must give a column for each .* lacks \['item', 'user'\]"
    with pytest.raises(AssertionError, match=wanted):
        check_model(model, IDS)


def test_an_empty_history_that_is_nan():
    fields = [
        Field("item", vocabulary_size=9, dim=3, belong="item"),
        Field("seen", emb="item", length=4, belong="history"),
    ]

    def nan(fields):
        embed = FieldEmbedder(fields)
        x = Endless()(embed(fields[1:]).concat())
        x = keras.layers.Concatenate()([x, embed(fields[:1]).concat()])
        x = keras.layers.Dense(1, name="dnn_end")(x)
        return Model(inputs=embed.inputs, outputs=predict(Task("t"), x), name="nan")

    def rows(n, seed):
        rng = np.random.default_rng(seed)
        return {"item": rng.integers(1, 9, n), "seen": rng.integers(1, 9, (n, 4))}

    with pytest.raises(AssertionError, match="^nan: predictions of an empty history"):
        contract.an_empty_history_is_finite(Subject(nan, fields, rows))


def test_fields_in_other_arguments_are_those_of_the_fields():
    def mine(fields, other=None):
        assert any(other is field for field in fields)
        return model(fields)

    Subject(mine, IDS, _ids, other=IDS[1]).build()


def test_a_factory_of_a_users_own_passes():
    def mine(fields, hidden_units=()):
        return model([replace(field) for field in fields], name="end")

    check_model(mine)
