"""What a layer's file holds: its arguments, whoever wrote the class."""

import json

import keras
import numpy as np
import pytest

from recsys.layers.base import Layer
from recsys.layers.mlp import FeedForwardLayer, Tower
from tests.close import close


class Around(Layer):
    """One layer."""

    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


class Chain(Layer):
    """Several layers, in a list and by name."""

    def __init__(self, inners, named, **kwargs):
        super().__init__(**kwargs)
        self.inners = inners
        self.named = named

    def call(self, inputs):
        for inner in (*self.inners, *self.named.values()):
            inputs = inner(inputs)
        return inputs


class Scale(Layer):
    """An array."""

    def __init__(self, by, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def call(self, inputs):
        return inputs * keras.ops.convert_to_tensor(self.by, "float32")


class Half(Tower):
    """An attribute of its own, which its own config gives."""

    def __init__(self, hidden_units, scale=2.0, **kwargs):
        super().__init__(hidden_units, **kwargs)
        self._scale = scale

    def call(self, inputs):
        return self._scale * super().call(inputs)

    def get_config(self):
        return {**super().get_config(), "scale": self._scale}


class Held(Half):
    held = {"scale": "_scale"}
    get_config = Layer.get_config


MINE = {cls.__name__: cls for cls in (Around, Chain, Scale, Half, Held)}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Around(keras.layers.Dense(2)),
        lambda: Around(Around(Tower((3,), "prelu"))),
        lambda: Chain([keras.layers.Dense(3), Tower((2,))], {"a": Scale(np.ones(1))}),
        lambda: Scale(np.arange(4.0)),
        lambda: Half((3,), 0.5),
        lambda: Held((3,), scale=0.5, dropout_rate=0.25),
    ],
)
def test_a_layer_of_a_users_own_is_the_same_from_a_file(make, tmp_path):
    model = keras.Sequential([keras.Input((4,)), make()])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=MINE)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    close(loaded(x), model(x))
    configs = [json.dumps(each.layers[0].get_config()) for each in (loaded, model)]
    assert configs[0] == configs[1]


class Given(Layer):
    """An argument of any kind, as it is."""

    def __init__(self, of, **kwargs):
        super().__init__(**kwargs)
        self.of = of

    def call(self, inputs):
        for each in self.of if isinstance(self.of, tuple) else ():
            inputs = each(inputs)
        return inputs


@pytest.mark.parametrize(
    "of",
    [
        {"class_name": "A", "config": {"x": 1}},
        {"class_name": ["A"], "config": 1, "module": None},
        [{"class_name": 3}, []],
    ],
)
def test_what_only_looks_like_an_object_of_keras_stays(of, tmp_path):
    layer = Given(of)
    assert Given.from_config(layer.get_config()).of == of
    keras.Sequential([keras.Input((4,)), layer]).save(tmp_path / "model.keras")
    known = {"Given": Given}
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=known)
    assert loaded.layers[0].of == of


def test_what_keras_wrote_is_made_in_tuples_too():
    given = keras.layers.Dense(3), slice(1, 2), np.arange(2)
    dense, part, array = Given.from_config(Given(given).get_config()).of
    assert dense.units == 3 and part == slice(1, 2) and list(array) == [0, 1]
    model = keras.Sequential([keras.Input((4,)), Given((keras.layers.Dense(3),))])
    assert keras.models.clone_model(model).output_shape == (None, 3)


class Lost(Layer):
    def __init__(self, width, power=1.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self._power = width, power


class Placed(Layer):
    def __init__(self, width, /, **kwargs):
        super().__init__(**kwargs)
        self.width = width


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Lost(3, name="l"), "'power', no attribute 'power'"),
        (lambda: Placed(3, name="l"), "'width', positional-only"),
    ],
)
def test_an_argument_that_no_file_would_hold_is_named(make, what, tmp_path):
    model = keras.Sequential([keras.Input((4,)), make()])
    wanted = f"^Layer 'l': a file .*`held`.* `get_config`.*Received: argument {what}"
    with pytest.raises(ValueError, match=wanted):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("of", [object(), [object()], {"a"}, {"a": {1.0}}, b"\xff"])
def test_an_argument_that_keras_cannot_write_is_named(of, tmp_path):
    model = keras.Sequential([keras.Input((4,)), Around(Given(of, name="l"))])
    wanted = "^Layer 'l': argument 'of' must be .*Received: .*(object|{|xff)"
    with pytest.raises(ValueError, match=wanted):
        model.save(tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("numbers", "plain"),
    [
        ((np.int64(3),), (3,)),
        (([np.int32(3), np.int64(2)], "relu", np.float32(0.5), np.float64(0.25)),) * 2,
        (((3,), "relu", 0.0, 0.0, np.True_), ((3,), "relu", 0.0, 0.0, True)),
    ],
)
def test_numbers_of_numpy_are_numbers(numbers, plain):
    layer, same = (
        FeedForwardLayer(*numbers, name="l"),
        FeedForwardLayer(*plain, name="l"),
    )
    assert repr(layer.get_config()) == repr(same.get_config())
    assert "np." not in repr(layer.get_config())
    assert layer(np.ones((2, 4))).shape == same(np.ones((2, 4))).shape
