"""One set of columns that every model is built from, and rows for it.

It holds what users have: ids, numbers, several values with weights, two histories of
one group, a field without embedding, and (where the model takes it) a domain.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from recsys.feature import Field, Task
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


def rows(n: int, seed: int = 0) -> dict[str, Any]:
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


CATALOGUE = {"category": np.arange(30) % 6 + 1}
"""The category of each item, as match models want it."""

INTERACTIONS = (np.arange(200) * 7 % 40, 1 + np.arange(200) % 29)
"""Who chose what, of all users and items."""


def given(factory: Callable[..., Any]) -> dict[str, Any]:
    """Returns what a factory needs beside its fields."""
    needs, takes = needs_of(factory), inspect.signature(factory).parameters
    tasks: dict[str, Any] = {"task_list": TASKS} if "task_list" in takes else {}
    catalogue = {"catalogue": CATALOGUE} if "catalogue" in needs else {}
    graph = {"interactions": INTERACTIONS} if "graph" in needs else {}
    return {**tasks, **catalogue, **graph}


def take(x: dict[str, Any], index: Any) -> dict[str, Any]:
    """Some of the rows."""
    return {name: column[index] for name, column in x.items()}
