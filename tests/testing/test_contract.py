"""The contract notices what a factory does wrong."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from recsys import Field, Task
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.heads import predict
from recsys.testing import contract
from recsys.testing.contract import check_model
from recsys.testing.subject import Subject
from recsys.train.model import Model


class BesideRows(keras.layers.Layer):
    """Each row minus the mean of its batch."""

    def call(self, inputs):
        return inputs - ops.mean(inputs, axis=0, keepdims=True)


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


def writes_dims(fields):
    fields[0].dim *= 2
    return model(fields)


def counts_an_edge(fields):
    fields[0].counts = np.ones(40)
    return model(fields)


def writes_units(fields, hidden_units=()):
    hidden_units.append(1)
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
    (
        contract.the_optimizer_dict_reaches_every_weight,
        lambda f: model(f, name="end"),
        "must start with embedding or dnn, not .'end/kernel'",
    ),
    (contract.no_two_weights_start_equal, lambda f: model(f, *same(7)), "start equal"),
    (contract.the_same_seed_gives_the_same_weights, other_seeds, "of one seed"),
    (
        contract.the_callers_objects_stay_as_they_were,
        writes_dims,
        r"field 'user_id' must stay.*'dim'",
    ),
    (contract.the_callers_objects_stay_as_they_were, counts_an_edge, "'counts'"),
    (contract.the_callers_objects_stay_as_they_were, writes_units, "'hidden_units'"),
]


@pytest.mark.parametrize(("check", "factory", "what"), WRONG)
def test_what_is_wrong_is_said(check, factory, what):
    with pytest.raises(AssertionError, match=f"{factory.__name__}: .*{what}"):
        check(Subject(factory))


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


def test_a_factory_of_a_users_own_passes():
    def mine(fields, hidden_units=()):
        return model([replace(field) for field in fields])

    check_model(mine)
