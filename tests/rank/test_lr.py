"""Logistic regression is a sum of weights."""

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

from recsys import Field, Task
from recsys.rank.lr import lr
from tests import oracle, zoo
from tests.close import close

LOGIT = Task("ctr", return_logit=True)
TABLES = 40 + 1 + 12 + 30 + 7 + 24


def _logit(model, x):
    return oracle.logit(model, x)


def _trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_weights)


def test_it_is_the_sum_of_the_weights():
    model, x = lr(zoo.fields(), LOGIT), zoo.rows(9)
    assert not _logit(model, x).any()  # all weights start at zero
    zoo.jitter(model)
    expected = oracle.first_order(x, oracle.weights(model))
    close(_logit(model, x), expected, terms=100)


def test_parameters():
    assert _trainable(lr(zoo.fields())) == TABLES + 2 + 1


def test_a_multiclass_task_is_multinomial_regression():
    """Three classes of planted weights: as accurate as scikit-learn's regression."""
    rng = np.random.default_rng(0)
    n, weights = 6000, rng.normal(scale=3, size=(2, 8, 3))
    x = {"a": rng.integers(0, 8, n), "b": rng.integers(0, 8, n)}
    logits = weights[0][x["a"]] + weights[1][x["b"]]
    y = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    fields = [Field(name, vocabulary_size=8) for name in x]
    model = lr(fields, Task("kind", "multiclass", num_classes=3))
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=10, batch_size=200, verbose=0)
    found = model.predict(x, verbose=0)
    one_hot = np.concatenate([np.eye(8)[column] for column in x.values()], axis=1)
    reference = LogisticRegression(max_iter=1000).fit(one_hot, y)
    assert found.shape == (n, 3)
    assert np.abs(found - reference.predict_proba(one_hot)).mean() < 0.02
    accuracy = np.mean(found.argmax(axis=1) == y)
    assert accuracy > reference.score(one_hot, y) - 0.01 > 0.8


def test_each_class_has_its_weights():
    fields, x = zoo.fields(), zoo.rows(9)
    model = lr(fields, Task("kind", "multiclass", num_classes=3))
    assert _trainable(model) == 3 * (TABLES + 2 + 1)
    zoo.jitter(model)
    logits = oracle.first_order(x, oracle.weights(model))
    close(model.predict(x, verbose=0), oracle.softmax(logits), terms=20)


def test_it_finds_the_rates_of_independent_fields():
    rng = np.random.default_rng(0)
    x = {"a": rng.integers(0, 5, 4000), "b": rng.integers(0, 5, 4000)}
    logit = np.linspace(-1, 1, 5)[x["a"]] - np.linspace(-2, 2, 5)[x["b"]]
    y = rng.random(4000) < oracle.sigmoid(logit)
    model = lr([Field(name, vocabulary_size=5) for name in x], LOGIT)
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    model.fit(x, y.astype("float32"), epochs=20, batch_size=200, verbose=0)
    assert np.abs(_logit(model, x)[:, 0] - logit).mean() < 0.15
