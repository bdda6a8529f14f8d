"""A factory under test: what its models are built from, trained on and asked."""

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from recsys.train.model import Model

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
        self.name = getattr(factory, "__name__", repr(factory))
        self.demand(callable(factory), "a factory must be a function of fields")
        needs = needs_of(factory)
        domain = bool({"domain", "domain_id"} & {*needs})
        dim = 4 if "one_dim" in needs else None
        self.factory = factory
        self.takes = [*inspect.signature(factory).parameters]
        given = columns.fields(dim, domain) if fields is None else fields
        # At once: a field in both is one field.
        self.fields, kwargs = copy.deepcopy((given, kwargs))
        self._named = [(field.name, field) for field in self.fields]
        self.draw = rows or columns.rows
        self.seed = seed
        units = [8, 4]  # a list can be written to
        sizes = {key: units for key in self.takes if key.endswith("hidden_units")}
        self.kwargs = {**columns.given(factory), **kwargs}
        self.given = {**sizes, **self.kwargs}
        self._before = self._what_the_caller_gave()

    def build(self, **kwargs: Any) -> Any:
        """Returns a new model."""
        with warnings.catch_warnings():  # a model of few fields gets all
            warnings.filterwarnings("ignore", ".* does not read the columns")
            model = self.factory(self.fields, **{**self.kwargs, **kwargs})
        came = "one that is" if isinstance(model, Model) else repr(model)
        self.demand(
            isinstance(model, Model) and not model.compiled,
            f"a factory must return a recsys.train.Model, not compiled; not {came}",
        )
        return model

    def compiled(self) -> Any:
        """Returns a new model, with an optimizer for each prefix that it has."""
        model = self.build()
        paths = [variable.path for variable in model.trainable_variables]
        used = [key for key in OPTIMIZER if any(path.startswith(key) for path in paths)]
        optimizer = {key: OPTIMIZER[key] for key in (*used, "default")}
        is_match = isinstance(model, MatchModel)
        model.compile(optimizer, loss=None if is_match else "binary_crossentropy")
        return model

    def drawn(self, n: int, seed: int) -> dict[str, Any]:
        """Returns columns of some rows."""
        rows = self.draw(n, seed)
        lacking = sorted({field.name for field in self.fields} - rows.keys())
        what = "`rows` must give a column for each of `fields`, and lacks"
        self.demand(not lacking, f"{what} {lacking}")
        return rows

    @cached_property
    def rows(self) -> dict[str, Any]:
        """Some rows."""
        return self.drawn(24, 3)

    @cached_property
    def model(self) -> Any:
        """A model with two steps behind it, shared by the checks."""
        keras.utils.set_random_seed(1)
        model = self.compiled()
        jitter(model, seed=self.seed)
        before = [weight.numpy() for weight in model.trainable_weights]
        try:
            self.fit(model, 64)
        except ValueError:  # an optimizer that has no gradients at all
            self.demand_gradients(self.gradients(self.rows, model))
            raise
        pairs = zip(before, model.trainable_weights, strict=True)
        self.moved = [bool(np.any(a != b.numpy())) for a, b in pairs]
        return model

    @cached_property
    def twins(self) -> tuple[Any, Any]:
        """Two models of one seed, of fields and arguments that stay as they were."""
        twins = []
        for _ in range(2):
            keras.utils.set_random_seed(5)
            twins.append(self.build(**self.given))
            for name, now in self._what_the_caller_gave().items():
                stays = name in self._before and now == self._before[name]
                self.demand(stays, f"{name} must stay as the caller gave it")
        return twins[0], twins[1]

    def _what_the_caller_gave(self) -> dict[str, Any]:
        """By name, what a factory could have written to."""
        attributes = {
            f"{key!r} of field {name!r}": _contents(value)
            for name, field in self._named
            for key, value in vars(field).items()
        }
        arguments = {f"argument {k!r}": _contents(v) for k, v in self.given.items()}
        listed = {"the list of fields": [*map(id, self.fields)]}
        return {**listed, **attributes, **arguments}

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
            x, y = self.drawn(n, 0), self.labels(model, n)
            fit = model.fit(x, y, batch_size=32, verbose=0, shuffle=False)
        logs: dict[str, list[float]] = fit.history
        return logs

    def gradients(self, rows: dict[str, Any], model: Any = None) -> dict[str, Any]:
        """Returns the gradient of the loss of some rows, by the path of a weight."""
        model = model or self.model
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

    def demand_gradients(self, gradients: Mapping[str, Any]) -> None:
        """Raises `AssertionError` if a weight has no gradient, or one of zeros."""
        for path, gradient in gradients.items():
            self.demand(
                gradient is not None and np.any(tf.convert_to_tensor(gradient)),
                f"every weight must get a gradient, and {path} gets none: the output "
                "must depend on it, or it must be made with `trainable=False`",
            )

    def demand_close(self, actual: Any, expected: Any, what: str) -> None:
        """Raises `AssertionError` if results differ by more than rounding."""
        try:
            close(actual, expected, terms=100)
        except AssertionError as error:
            raise AssertionError(f"{self.name}: {what}. {error}") from error


def _contents(value: Any) -> Any:
    """Returns what is in lists, mappings, arrays and fields, to compare it later."""
    if isinstance(value, Field):
        value = vars(value)
    if isinstance(value, Mapping):
        return [(key, _contents(each)) for key, each in value.items()]
    if isinstance(value, (list, tuple, set)):
        return [*map(_contents, value)]
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return value if isinstance(value, (int, float, str)) else id(value)


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
