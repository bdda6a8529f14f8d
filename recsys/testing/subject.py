"""A factory under test: what its models are built from, trained on and asked."""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.layers.table import Embedding
from recsys.testing import columns
from recsys.testing.close import close
from recsys.train.factory import needs_of
from recsys.train.match_model import MatchModel

OPTIMIZER = {"embedding": "adagrad", "dnn": "adam", "default": "sgd"}
"""The optimizer dict of version 1."""


class Subject:
    """A factory, and what its models are built from, trained on and asked.

    Args:
        factory, fields, rows: Those of `check_model`.
        seed: Seed of weights with which no ReLU is off for every row.
        **kwargs: Further arguments of the factory.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        fields: Sequence[Field] | None = None,
        rows: Callable[[int, int], dict[str, Any]] | None = None,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        needs = needs_of(factory)
        domain = bool({"domain", "domain_id"} & {*needs})
        dim = 4 if "one_dim" in needs else None
        self.factory = factory
        self.name = factory.__name__
        self.takes = [*inspect.signature(factory).parameters]
        self.fields = columns.fields(dim, domain) if fields is None else fields
        self.draw = rows or columns.rows
        self.seed = seed
        self.kwargs = {**columns.given(factory), **kwargs}

    def build(self, **kwargs: Any) -> Any:
        """Returns a new model."""
        with warnings.catch_warnings():  # a model of few fields gets all
            warnings.filterwarnings("ignore", ".* does not read the columns")
            return self.factory(self.fields, **{**self.kwargs, **kwargs})

    def compiled(self) -> Any:
        """Returns a new model, with an optimizer for each prefix that it has."""
        model = self.build()
        paths = [variable.path for variable in model.trainable_variables]
        used = [key for key in OPTIMIZER if any(path.startswith(key) for path in paths)]
        optimizer = {key: OPTIMIZER[key] for key in (*used, "default")}
        is_match = isinstance(model, MatchModel)
        model.compile(optimizer, loss=None if is_match else "binary_crossentropy")
        return model

    @cached_property
    def rows(self) -> dict[str, Any]:
        """Some rows."""
        return self.draw(24, 3)

    @cached_property
    def model(self) -> Any:
        """A model with two steps behind it, shared by the checks."""
        keras.utils.set_random_seed(1)
        model = self.compiled()
        jitter(model, seed=self.seed)
        before = [weight.numpy() for weight in model.trainable_weights]
        self.fit(model, 64)
        pairs = zip(before, model.trainable_weights, strict=True)
        self.moved = [bool(np.any(a != b.numpy())) for a, b in pairs]
        return model

    @cached_property
    def twins(self) -> tuple[Any, Any]:
        """Two models of one seed; `changed` has what their making wrote to."""
        units = [8, 4]
        kwargs = {key: units for key in self.takes if key.endswith("hidden_units")}
        given = [dict(vars(field)) for field in self.fields]
        copies = copy.deepcopy(given)
        twins: list[Any] = []
        self.changed: dict[str, list[str]] = {}
        while len(twins) < 2:
            keras.utils.set_random_seed(5)
            twins.append(self.build(**kwargs))
            for field, before, was in zip(self.fields, given, copies, strict=True):
                self.changed[f"field {before['name']!r}"] = [
                    key
                    for key, now in vars(field).items()
                    if not np.array_equal(now, was[key])
                    and not (now is before[key] and hasattr(now, "get_config"))
                ]
            self.changed[str([*kwargs])] = [] if units == [8, 4] else [str(units)]
            if any(self.changed.values()):  # which may stop the second
                twins *= 2
        return twins[0], twins[1]

    @cached_property
    def of_rows(self) -> dict[str, Any]:
        """The gradients of `rows`."""
        return self.gradients(self.rows)

    def labels(self, model: Any, n: int) -> Any:
        """Returns labels of some rows, as a model takes them."""
        if isinstance(model, MatchModel):
            return None
        several = "task_list" in self.takes
        return columns.labels("multitask" if several else "rank", n)

    def fit(self, model: Any, n: int) -> dict[str, list[float]]:
        """Trains on some rows, for a step of 32 each, and returns the logs."""
        with without_graphs(model):
            x, y = self.draw(n, 0), self.labels(model, n)
            fit = model.fit(x, y, batch_size=32, verbose=0, shuffle=False)
        logs: dict[str, list[float]] = fit.history
        return logs

    def gradients(self, rows: dict[str, Any]) -> dict[str, Any]:
        """Returns the gradient of the loss of some rows, by the path of a weight."""
        model = self.model
        x = {name: tf.convert_to_tensor(rows[name]) for name in model.input}
        y = self.labels(model, len(next(iter(rows.values()))))
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        variables = model.trainable_variables
        found = tape.gradient(loss, [variable.value for variable in variables])
        return dict(zip([v.path for v in variables], found, strict=True))

    def padded_tables(self) -> list[Any]:
        """Returns the tables whose row 0 is of padding."""
        padded = [f for f in self.fields if f.belong == "history" or f.length > 1]
        names = {f"embedding_{layer_name(field.emb)}" for field in padded}
        return [
            layer.embeddings
            for layer in self.model.layers
            if layer.name in names and isinstance(layer, Embedding)
        ]

    def demand(self, holds: Any, what: str) -> None:
        """Raises `AssertionError` that says what does not hold."""
        if not holds:
            raise AssertionError(f"{self.name}: {what}.")

    def demand_close(self, actual: Any, expected: Any, what: str) -> None:
        """Raises `AssertionError` if results differ by more than rounding."""
        try:
            close(actual, expected, terms=100)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {what}. {error}") from error


@contextmanager
def without_graphs(model: Any) -> Iterator[None]:
    """Tracing is most of a short `fit`."""
    model.run_eagerly, model.train_function, model.test_function = True, None, None
    yield
    model.run_eagerly, model.train_function, model.test_function = False, None, None


def predictions(model: Any, x: Any) -> Any:
    """All outputs side by side in the model's order, `(rows, outputs)`."""
    y = model.predict(x, verbose=0)  # a dict that JAX and PyTorch sort by name
    parts = [y[name] for name in model.output] if isinstance(y, dict) else [y]
    return np.concatenate(parts, axis=-1)


def jitter(model: Any, scale: float = 0.3, seed: int = 0) -> None:
    """Moves all weights, so that nothing is equal, zero or one by initialization.

    Of those that are not trained, moving statistics.
    """
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        noise = rng.normal(scale=scale, size=weight.shape)
        weight.assign(keras.ops.convert_to_numpy(weight) + noise.astype("float32"))
    for weight in model.non_trainable_weights:
        if weight.name.endswith("moving_mean"):
            weight.assign(rng.normal(scale=scale, size=weight.shape))
        elif weight.name.endswith("moving_variance"):
            weight.assign(np.exp(rng.normal(scale=scale, size=weight.shape)))
