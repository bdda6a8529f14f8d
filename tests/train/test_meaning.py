"""What a loss computes is one text in every process, and another one for another."""

import collections
import dataclasses
import enum
import functools
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from recsys.layers.heads import PredictLayer
from recsys.train.balance import DWA
from recsys.train.described import options_of
from recsys.train.losses import RankingLoss
from recsys.train.meaning import meaning_of

Pair = collections.namedtuple("Pair", "low high")


def keyword(scale):
    def loss(y, p, *, scale=scale):
        return scale * (y - p)

    return loss


def closure(scale):
    def inner(value):
        return scale * value

    return lambda y, p: inner(y - p)


class Scaled:
    def __init__(self, scale):
        self.scale, self.other = scale, self

    def __call__(self, y, p):
        return self.scale * (y - p)

    def method(self, y, p):
        return self(y, p)


@dataclasses.dataclass
class Data:
    scale: float
    kinds: frozenset = frozenset({"a", "b", "c", "d"})

    def __call__(self, y, p):
        return self.scale * (y - p)


class Slots:
    __slots__ = ("scale",)

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, y, p):
        return self.scale * (y - p)


class Loss(keras.losses.Loss):  # no `get_config`
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def call(self, y, p):
        return self.scale * (y - p)


class Ranking(RankingLoss):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale


class Balance(DWA):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale


def classes(scale):
    class Of:
        factor = scale

        @staticmethod
        def call(y, p):
            return Of.factor * (y - p)

        @property
        def kind(self):
            return scale

        @functools.cached_property
        def other(self):
            return scale

    return Of.call


class Kind(enum.Enum):
    ONE = 1.0
    MANY = 50.0


def of_array(scale):
    values = np.ones(5000, "float32")
    values[2500] = scale
    return values


def holds(value):
    return lambda y, p: (y - p, value)


def layer(scale):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dropout(scale / 100)(inputs))
    return model


MAKERS = {
    "keyword": keyword,
    "default": lambda scale: lambda y, p, of=scale: of * (y - p),
    "closure in a closure": closure,
    "bound method": lambda scale: Scaled(scale).method,
    "object": Scaled,
    "dataclass": Data,
    "slots": Slots,
    "loss": Loss,
    "loss of ours": Ranking,
    "balance": Balance,
    "partial": lambda scale: functools.partial(closure, scale=scale),
    "class": classes,
    "decorated": lambda scale: tf.function(closure(scale)),
    "array": lambda scale: holds(of_array(scale)),
    "tensor": lambda scale: holds(ops.convert_to_tensor(of_array(scale))),
    "number": lambda scale: holds(np.float32(scale)),
    "enum": lambda scale: holds(Kind(scale)),
    "tuple": lambda scale: holds([Pair(1, {"a": scale})]),
    "set": lambda scale: holds({"a", "b", "c", scale, Pair("d", scale)}),
    "keys": lambda scale: holds({"x": dict.fromkeys({"a", "b", "c"}, scale)}),
    "model": lambda scale: holds(layer(scale)),
    "of Keras": lambda scale: holds(keras.losses.Huber(scale)),
    "builtin": lambda scale: {1: 2.0, 2: scale}.get,
    "of C": lambda scale: holds([np.add if scale == 1.0 else np.subtract]),
    "keys alike": lambda scale: holds({Slots(1): scale, Slots(1): scale}),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_what_computes_something_else_is_another_text(make):
    one, same, other = (meaning_of(make(scale)) for scale in (1.0, 1.0, 50.0))
    assert one == same != other


def test_what_is_of_a_package_is_its_name():
    same = (keras.metrics.mean_squared_error, keras.losses.mean_squared_error)
    assert len({*map(meaning_of, same)}) == 1
    assert meaning_of(keras.losses.mean_absolute_error) != meaning_of(same[0])
    assert meaning_of(PredictLayer) != meaning_of(keras.layers.Dense)


class Plain(keras.layers.Layer):  # no `get_config`
    def __init__(self, of):
        super().__init__()
        self.of = of


class Chain:
    def __init__(self, of):
        self.of = of


class Broken:
    @property
    def __wrapped__(self):
        raise RuntimeError


OTHERS = {
    "lock": threading.Lock,
    "generator": lambda: (i for i in range(3)),
    "file": lambda: sys.stdout,
    "strategy": tf.distribute.get_strategy,
    "table": lambda: tf.lookup.experimental.MutableHashTable("int64", "float32", 1.0),
    "dataset": lambda: tf.data.Dataset.range(3),
    "layer": lambda: Plain(lambda x: x),
    "variable": lambda: tf.Variable(np.random.default_rng().random()),
    "variable of Keras": lambda: keras.Variable(np.random.default_rng().random()),
    "random": random.Random,
    "progress": lambda: keras.utils.Progbar(5),
    "chain": lambda: functools.reduce(lambda of, _: Chain(of), range(400), None),
    "broken": Broken,
}


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_what_no_other_process_has_counts_by_its_class(make):
    assert meaning_of(holds([make()])) == meaning_of(holds([make()]))
    assert meaning_of(Scaled(make())) == meaning_of(Scaled(make()))


def test_much_data_takes_no_time():
    rows = [{"a": i, "b": i} for i in range(100_000)]
    tangle = [Chain(None) for _ in range(1000)]
    for each in tangle:
        each.of = tangle
    begun = time.process_time()
    for of in (np.zeros(10_000_000, "float32"), rows, tangle, [rows[:999]] * 999):
        assert len(meaning_of(holds(of))) < 50
    assert time.process_time() - begun < 5
    assert meaning_of(holds(rows[:-1])) != meaning_of(holds(rows))


def test_layers_have_other_names_in_another_process():
    def loss():
        inner = layer(50.0)
        inputs = keras.Input((2, 3))
        return holds(keras.Model(inputs, keras.layers.TimeDistributed(inner)(inputs)))

    assert meaning_of(loss()) == meaning_of(loss())


def test_a_function_in_a_config_has_no_address():
    (one,), (same,) = (options_of({"of": [closure(1.0)]}).values() for _ in "ab")
    assert one == same and "0x" not in one


def member(y, p):
    return p if keras.backend.backend() in {"tensorflow", "jax", "torch", "x"} else y


TEXTS = """
from tests.train import test_meaning as t
for make in (*t.MAKERS.values(), lambda _: t.member):
    print(t.meaning_of(make(50.0)))
"""


def test_another_process_has_the_same_texts():
    run = subprocess.run(
        [sys.executable, "-c", TEXTS],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
    )
    wanted = [meaning_of(make(50.0)) for make in (*MAKERS.values(), lambda _: member)]
    assert run.stdout.splitlines() == wanted, run.stderr[-2000:]
