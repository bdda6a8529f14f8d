"""What every model must do, whatever its paper: one check a function."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from recsys.feature import Field
from recsys.layers.table import Embedding
from recsys.registry import load_model
from recsys.testing.columns import take
from recsys.testing.subject import Subject, predictions, without_graphs
from recsys.train.columns import all_layers


def check_model(
    factory: Callable[..., Any],
    fields: Sequence[Field] | None = None,
    rows: Callable[[int, int], dict[str, Any]] | None = None,
    **kwargs: Any,
) -> None:
    """Checks that the models of a factory do what all models of the library do.

    Rows do not influence each other, padding has no effect, an empty history is
    finite, every weight learns, equal seeds give equal models, files restore all of a
    model, an optimizer dict reaches every weight, and the caller's fields and
    arguments stay as they were. It sets the seed of Keras, and is of the TensorFlow
    backend.

    Args:
        factory: What takes fields, and returns a `recsys.train.Model` that is not
            compiled. Files must know its layers (`recsys.layers.Layer`).
        fields: Fields of a model; those of the histories in a group are padded alike.
            Default: fields of all kinds, with what the factory declares to need.
        rows: From a number of rows and a seed to the columns of `fields`, their ids
            drawn, some histories padded. Default: rows of the default fields.
        **kwargs: Further arguments of the factory.

    Raises:
        AssertionError: If a model does not do one of these, or what the factory does
            is an error; it says which.

    Example:
    >>> from recsys import rank
    >>> check_model(rank.lr)
    """
    subject = Subject(factory, fields, rows, **kwargs)
    for check in CHECKS:
        try:
            check(subject)
        except AssertionError:
            raise
        except Exception as error:  # of the factory, or of Keras
            what = check.__name__.replace("_", " ")
            raise AssertionError(
                f"{subject.name}: the check that {what} ends in "
                f"{type(error).__name__}: {error}"
            ) from error


def rows_are_independent(subject: Subject) -> None:
    """A row has its prediction alone, in any batch and in any order."""
    model, rows = subject.model, subject.rows
    together = predictions(model, rows)
    subject.demand(np.isfinite(together).all(), "predictions must be finite")
    what = "what a row gets must not depend on the rows beside it"
    for i in (0, 5):
        alone = predictions(model, take(rows, slice(i, i + 1)))
        subject.demand_close(alone, together[i : i + 1], what)
    order = np.random.default_rng(0).permutation(len(together))
    shuffled = predictions(model, take(rows, order))
    subject.demand_close(shuffled, together[order], what)


def padding_does_not_matter(subject: Subject) -> None:
    """Neither the side of padding nor the vector of id 0 changes a prediction."""
    model, rows = subject.model, subject.rows
    before = predictions(model, rows)
    left = dict(rows)
    for field in subject.fields:
        if field.belong == "history":
            ids = rows[field.name]
            order = np.argsort(ids != 0, axis=1, kind="stable")
            left[field.name] = np.take_along_axis(ids, order, axis=1)
    what = "histories padded at the left or the right must be the same"
    subject.demand_close(predictions(model, left), before, what)

    tables = subject.padded_tables()
    kept = [table.numpy() for table in tables]
    for table, value in zip(tables, kept, strict=True):
        table.assign(np.concatenate([value[:1] + 7, value[1:]]))
    after = predictions(model, rows)
    for table, value in zip(tables, kept, strict=True):
        table.assign(value)
    what = "the embedding of padding, id 0, must not reach a prediction"
    subject.demand_close(after, before, what)


def padding_gets_no_gradient(subject: Subject) -> None:
    """Row 0 of a table that padding reads is not trained."""
    gradients = subject.of_rows
    for table in subject.padded_tables():
        gradient = gradients.get(table.path)
        if gradient is not None:
            row = tf.convert_to_tensor(gradient)[0]
            what = f"padding must get no gradient, and does in {table.path}"
            subject.demand(not np.any(row), what)


def an_empty_history_is_finite(subject: Subject) -> None:
    """Users who did nothing have predictions and gradients."""
    histories = {f.name for f in subject.fields if f.belong == "history"}
    empty = {n: c * 0 if n in histories else c for n, c in subject.rows.items()}
    found = predictions(subject.model, empty)
    subject.demand(
        np.isfinite(found).all(), "predictions of an empty history must be finite"
    )
    for name, gradient in subject.gradients(empty).items():
        subject.demand(
            gradient is None or np.isfinite(tf.convert_to_tensor(gradient)).all(),
            f"gradients of an empty history must be finite, and {name} has others",
        )


def every_weight_gets_a_gradient(subject: Subject) -> None:
    """All that is trained is trained, tables at the rows of the batch alone."""
    gradients = subject.of_rows
    subject.demand_gradients(gradients)
    for layer in all_layers(subject.model):
        if isinstance(layer, Embedding):
            gradient = gradients[layer.embeddings.path]
            subject.demand(
                isinstance(gradient, tf.IndexedSlices),
                f"the gradient of a table must be sparse, and that of {layer.name} "
                "is not",
            )


def the_callers_objects_stay_as_they_were(subject: Subject) -> None:
    """Fields and lists that a factory is given are not written to."""
    counts = [model.count_params() for model in subject.twins]
    what = f"a second model of the same fields must be as large, not {counts}"
    subject.demand(counts[0] == counts[1], what)


def the_same_seed_gives_the_same_weights(subject: Subject) -> None:
    """All that is random is drawn from the seed of Keras."""
    weights = [model.get_weights() for model in subject.twins]
    for one, other in zip(*weights, strict=True):
        subject.demand(
            np.array_equal(one, other), "models of one seed must have the same weights"
        )


def no_two_weights_start_equal(subject: Subject) -> None:
    """No two layers share a seed."""
    seen: dict[Any, str] = {}
    for weight in subject.twins[0].trainable_weights:
        value = weight.numpy()
        if value.ndim > 1 and value.std() > 0:
            key = (value.shape, value.tobytes())
            subject.demand(
                key not in seen,
                f"no two weights must start equal, and {weight.path} starts as "
                f"{seen.get(key)}",
            )
            seen[key] = weight.path


def a_file_restores_everything(subject: Subject) -> None:
    """Weights, slots and random state are those of before, and training goes on."""
    model = subject.model
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        names = [path.name for path in Path(folder).iterdir()]
        subject.demand(names == ["model.keras"], f"a file must be one, not {names}")
        loaded = load_model(Path(folder) / "model.keras")
    what = "a model from a file must be of its class"
    subject.demand(type(loaded) is type(model), what)
    _demand_same_state(subject, loaded, "as it was loaded")
    x = {name: tf.convert_to_tensor(subject.rows[name]) for name in model.input}
    for one, other in zip(*map(tf.nest.flatten, (loaded(x), model(x))), strict=True):
        subject.demand(np.array_equal(one, other), "a file must predict the same bits")
    logs = [subject.fit(each, 32) for each in (loaded, model)]
    subject.demand(logs[0] == logs[1], f"training must go on from a file alike: {logs}")
    _demand_same_state(subject, loaded, "after a step")


def _demand_same_state(subject: Subject, loaded: Any, when: str) -> None:
    states = [(*m.variables, *m.optimizer.variables) for m in (loaded, subject.model)]
    for one, other in zip(*states, strict=True):  # paths tell who built a layer first
        subject.demand(
            np.array_equal(one.numpy(), other.numpy(), equal_nan=True),
            f"{other.path} must be the same {when}",
        )


def the_optimizer_dict_reaches_every_weight(subject: Subject) -> None:
    """Two steps with an optimizer for each prefix train nearly all."""
    _ = subject.model
    subject.demand(
        np.mean(subject.moved) > 0.9, "two steps must move nine weights of ten"
    )


def evaluate_gives_a_finite_loss(subject: Subject) -> None:
    """`evaluate` works as `fit` does."""
    model, rows = subject.model, subject.rows
    y = subject.labels(model, len(next(iter(rows.values()))))
    with without_graphs(model):
        logs = model.evaluate(rows, y, verbose=0, return_dict=True)
    subject.demand(np.isfinite(logs["loss"]), f"the loss must be finite, not {logs}")


CHECKS = (
    the_callers_objects_stay_as_they_were,
    rows_are_independent,
    padding_does_not_matter,
    padding_gets_no_gradient,
    an_empty_history_is_finite,
    every_weight_gets_a_gradient,
    the_same_seed_gives_the_same_weights,
    no_two_weights_start_equal,
    a_file_restores_everything,
    the_optimizer_dict_reaches_every_weight,
    evaluate_gives_a_finite_loss,
)
"""The contract, in the order in which one model is looked at."""
