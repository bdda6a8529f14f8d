"""Dice and PReLU."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys.layers.activation import (
    Dice,
    KnownActivation,
    PRelu,
    get_activation,
    serialize_activation,
)
from tests.close import close


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_dice_in_training_uses_the_statistics_of_the_batch():
    layer, s = Dice(), np.random.default_rng(0).normal(2, 3, (50, 4)).astype("float32")
    layer.build(s.shape)
    layer.alpha.assign([0.1, 0.2, 0.3, 0.4])
    p = _sigmoid((s - s.mean(0)) / np.sqrt(s.var(0) + 1e-8))
    expected = p * s + (1 - p) * layer.alpha.numpy() * s
    close(layer(s, training=True), expected, terms=1_000)
    close(layer.moving_mean, 0.01 * s.mean(0), terms=1_000)
    close(layer.moving_variance, 0.99 + 0.01 * s.var(0), terms=1_000)


def test_dice_in_inference_does_not_look_at_the_batch():
    layer, s = Dice(), np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    together = layer(s).numpy()
    close(layer(s[:1]), together[:1])
    close(together, _sigmoid(s) * s, terms=100)


def test_dice_starts_adaptive_and_ends_as_prelu_or_identity():
    """Version 1 began as half of its input, whatever that was."""
    s = np.array([[-5.0], [5.0]], "float32")
    close(Dice()(s), [[-5 * _sigmoid(-5)], [5 * _sigmoid(5)]], terms=100)
    layer = Dice()
    layer.build((2, 1))
    layer.alpha.assign([1.0])
    close(layer(s), s, terms=1)
    layer.alpha.assign([0.25])
    layer.moving_variance.assign([1e-9])
    close(layer(s), [[-1.25], [5.0]])


def test_padding_does_not_count_in_the_statistics_of_dice():
    rng = np.random.default_rng(0)
    s = rng.normal(size=(4, 6, 3)).astype("float32")
    valid = np.arange(6) < np.array([[6], [3], [1], [0]])
    outputs, statistics = [], []
    for noise in (0.0, 100.0):
        layer = Dice()
        padded = np.where(valid[..., None], s, noise).astype("float32")
        outputs.append(layer(padded, valid=valid, training=True).numpy()[valid])
        statistics.append(layer.moving_mean.numpy())
    close(*outputs, terms=100)
    close(*statistics, terms=100)
    close(statistics[0], 0.01 * s[valid].mean(0), terms=1_000)


def test_a_batch_of_padding_leaves_the_statistics_alone():
    layer = Dice()
    out = layer(
        np.ones((2, 3, 4), "float32"), valid=np.zeros((2, 3), bool), training=True
    )
    assert np.isfinite(out).all()
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(4))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(4))


def test_prelu_has_a_slope_for_each_unit():
    layer = PRelu()
    s = np.array([[-2.0, 3.0], [4.0, -8.0]], "float32")
    close(layer(s), [[-0.5, 3], [4, -2]], terms=1)
    layer.alpha.assign([1.0, 0.5])
    close(layer(s), [[-2, 3], [4, -4]], terms=1)


@pytest.mark.parametrize("name", ["dice", "prelu", "relu", None, PRelu(), abs.__name__])
def test_an_activation_by_any_name_survives_a_config(name):
    if name == "abs":
        with pytest.raises(ValueError, match="abs"):
            get_activation(name)
        return
    again = get_activation(serialize_activation(name))
    first = get_activation(name)
    assert type(again) is type(first) and again is not name
    s = np.array([[-1.0, 2.0]], "float32")
    close(again(s), first(s), terms=1)


def _of_several(x, alpha=1.0, *, beta=2.0):
    return alpha * beta * x


@pytest.mark.parametrize(
    "known",
    [
        "dice",
        "relu",
        "gelu",
        keras.activations.relu,
        keras.ops.relu,
        keras.layers.ReLU(),
        tf.nn.relu,
        tf.function(lambda x: x),
        lambda *inputs: inputs[0],
        functools.partial(_of_several, alpha=0.5),
        _of_several,
        abs,
        np.tanh,
    ],
)
def test_what_takes_one_tensor_is_an_activation(known):
    assert KnownActivation().accepts(known)


@pytest.mark.parametrize("wrong", ["nope", "", "Dice", keras.layers.ReLU, Dice, print])
def test_what_is_no_activation_is_said(wrong):
    with pytest.raises(ValueError, match="activation must be 'dice', .* one tensor. R"):
        get_activation(wrong)
