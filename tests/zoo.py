"""One set of columns that every model is built from, and rows for it.

It holds what users have: ids, numbers, several values with weights, two histories of
one group, a field without embedding, and (where the family takes it) a domain.
"""

import importlib
import inspect
import warnings
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from recsys import Field, Task, create_model
from recsys.registry import FAMILIES, list_models
from recsys.train.factory import needs_of

LENGTH = 6
TASKS = (Task("click"), Task("like"))


def fields(dim: int | None = None, domain: bool = False) -> list[Field]:
    """All columns, of mixed widths or of one."""
    columns = [
        Field("user_id", vocabulary_size=40, dim=4),
        Field("age", dim=3, dtype="float32"),
        Field("tags", vocabulary_size=12, dim=5, length=4, weight="tag_weights"),
        Field("item_id", vocabulary_size=30, dim=8, belong="item"),
        Field("category", vocabulary_size=7, dim=4, belong="item"),
        Field("hour", vocabulary_size=24, dim=2, belong="context"),
        Field("scores", vocabulary_size=0, length=2, dtype="float32", belong="context"),
        Field("seen", emb="item_id", length=LENGTH, belong="history"),
        Field("seen_category", emb="category", length=LENGTH, belong="history"),
    ]
    if domain:
        columns += [
            Field("domain_id", vocabulary_size=3, belong="domain"),
            Field("domain_rate", belong="domain", dtype="float32"),
        ]
    if dim is not None:
        columns = [replace(column, dim=dim) for column in columns]
    return columns


def rows(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of `n` rows; ids that could be padding start at 1."""
    rng = np.random.default_rng(seed)
    some = np.arange(LENGTH) < rng.integers(0, LENGTH + 1, (n, 1))
    return {
        "user_id": rng.integers(0, 40, n),
        "age": rng.normal(size=n),
        "tags": rng.integers(0, 12, (n, 4)),
        "tag_weights": rng.random((n, 4)),
        "item_id": rng.integers(1, 30, n),
        "category": rng.integers(1, 7, n),
        "hour": rng.integers(0, 24, n),
        "scores": rng.normal(size=(n, 2)),
        "seen": np.where(some, rng.integers(1, 30, (n, LENGTH)), 0),
        "seen_category": np.where(some, rng.integers(1, 7, (n, LENGTH)), 0),
        "domain_id": rng.integers(0, 3, n),
        "domain_rate": rng.random(n),
    }


def labels(family: str, n: int, seed: int = 0) -> Any:
    """Labels as the family takes them; some of the second task are missing.

    Who likes has clicked: some models are of tasks that follow each other.
    """
    rng = np.random.default_rng(seed)
    if family == "match":
        return None
    click = rng.integers(0, 2, n)
    if family == "rank":
        return click
    like = np.where(rng.random(n) < 0.3, np.nan, click * rng.integers(0, 2, n))
    return {"click": click, "like": like}


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
        still = {"position_merge": "concat", "dropout_rate": 0.0}
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
        tasks: dict[str, Any] = {"task_list": TASKS} if self.several_tasks else {}
        catalogue = {"catalogue": CATALOGUE} if "catalogue" in self.needs else {}
        graph = {"interactions": INTERACTIONS} if "graph" in self.needs else {}
        return {**tasks, **catalogue, **graph, **SMALL.get(self.name, {})}

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


CATALOGUE = {"category": np.arange(30) % 6 + 1}
"""The category of each item, as match models want it."""

INTERACTIONS = (np.arange(200) * 7 % 40, 1 + np.arange(200) % 29)
"""Who chose what, of all users and items."""

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


def predictions(model: Any, x: Any) -> np.ndarray:
    """All outputs side by side in the model's order, `(rows, outputs)`."""
    y = model.predict(x, verbose=0)  # a dict that JAX and PyTorch sort by name
    parts = [y[name] for name in model.output] if isinstance(y, dict) else [y]
    return np.concatenate(parts, axis=-1)


def take(x: dict[str, np.ndarray], index: Any) -> dict[str, np.ndarray]:
    """Some of the rows."""
    return {name: column[index] for name, column in x.items()}


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
