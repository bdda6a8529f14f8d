"""Every model, and how tests build it from the columns of `recsys.testing`."""

import importlib
import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from recsys import Field, create_model
from recsys.registry import FAMILIES, list_models
from recsys.testing.columns import (
    CATALOGUE,
    INTERACTIONS,
    LENGTH,
    TASKS,
    fields,
    given,
    labels,
    rows,
    take,
)
from recsys.testing.subject import Subject, jitter, predictions
from recsys.train.factory import needs_of

__all__ = [
    "CATALOGUE",
    "ENTRIES",
    "INTERACTIONS",
    "LENGTH",
    "MECHANISMS",
    "SMALL",
    "TASKS",
    "Entry",
    "fields",
    "jitter",
    "labels",
    "losses_of_draws",
    "predictions",
    "rows",
    "take",
]


@dataclass
class Entry:
    """A model of the zoo and how to build it."""

    name: str
    family: str

    def fields(self) -> list[Field]:
        dim = 4 if "one_dim" in self.needs else None
        return fields(dim, domain=self.family == "multidomain")

    @property
    def factory(self) -> Any:
        return getattr(importlib.import_module(f"recsys.{self.family}"), self.name)

    @property
    def needs(self) -> tuple[str, ...]:
        """What the factory declares."""
        return needs_of(self.factory)

    @property
    def seed(self) -> int:
        """Of weights with which no ReLU is off for every row."""
        return {"fibinet": 2}.get(self.name, 0)

    @property
    def steps(self) -> int:
        """After which backends must agree.

        ContextNet norms products near zero: rounding grows 40-fold in every step.
        """
        return {"contextnet": 1}.get(self.name, 5)

    @property
    def without_chance(self) -> dict[str, Any]:
        """Arguments that leave no draw: a compiler draws other numbers."""
        everything = {"min_probability": 1.0, "max_probability": 1.0}
        still = {"position_merge": "concat", "dropout": 0.0}
        without = {
            "adaf2m2": everything,
            "bert4rec": {"dropout": 0.0, "mask_probability": 1.0},
            "dat": {"num_negatives": None},
            "dien": {"auxiliary": 0.0},
            "hstu": {"dropout": 0.0},
            "lightgcn": {"num_negatives": None},
            "ncf": {"num_negatives": None},
            "m2m": {"agg_kwargs": still},
            "sasrec": {"dropout": 0.0, "num_negatives": None},
            "simplex": {"num_negatives": None},
        }
        return without.get(self.name, {})

    def arguments(self) -> list[str]:
        """The names of the factory's arguments."""
        return list(inspect.signature(self.factory).parameters)

    @property
    def several_tasks(self) -> bool:
        """Whether the factory takes a list of tasks."""
        return "task_list" in self.arguments()

    def labels(self, n: int) -> Any:
        """Labels as the model takes them: a family's, or those of one task."""
        one = self.family.startswith("multi") and not self.several_tasks
        return labels("rank" if one else self.family, n)

    def given(self) -> dict[str, Any]:
        """Arguments beside the fields."""
        return {**given(self.factory), **SMALL.get(self.name, {})}

    def subject(self) -> Subject:
        """What the contract looks at."""
        small = SMALL.get(self.name, {})
        return Subject(self.factory, self.fields(), seed=self.seed, **small)

    def build(self, **kwargs: Any) -> Any:
        with warnings.catch_warnings():  # all get all columns
            warnings.filterwarnings("ignore", ".* does not read the columns")
            return create_model(self.name, self.fields(), **{**self.given(), **kwargs})

    def loss(self) -> Any:
        return None if self.family == "match" else "binary_crossentropy"

    def compiled(self, optimizer: Any = "adam", **kwargs: Any) -> Any:
        model = self.build()
        model.compile(optimizer=optimizer, loss=self.loss(), **kwargs)
        return model


def losses_of_draws(model: Any, x: Any, times: int) -> Any:
    """What a match model's loss of the same rows is, one draw after another."""
    feed = {name: tf.constant(x[name]) for name in model.input}
    draw = tf.function(lambda: model.compute_loss(feed, None, model(feed)))
    return np.array([float(draw()) for _ in range(times)])


SMALL: dict[str, dict[str, Any]] = {
    "dat": {"category": "category"},
    "dsin": {"session_length": 2},
    "eta": {"k": 3},
    "fibinet": {"reduction_ratio": 1},  # with few units ReLU leaves some fields out
    "sim": {"k": 3},
}
"""Arguments that fit these columns."""

MECHANISMS = {
    "bert4rec": "masks drawn in the step",
    "deepfm": "first order, tables of width 1",
    "dien": "a loss layer, recurrence",
    "din": "moving statistics",
    "esmm": "tasks that follow each other",
    "lightgcn": "a graph in the file, tables alone",
    "mmoe": "several tasks, missing labels",
    "star": "statistics by domain",
    "two_tower": "a catalogue, negatives by counts",
}
"""What is kept in a file or drawn in a step, by a model that has it."""

ENTRIES = [Entry(name, family) for family in FAMILIES for name in list_models(family)]
