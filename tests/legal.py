"""Legal configurations, each drawn from a seed, and all that must hold for one.

Fields, a model that takes them, tasks, labels, weights, an optimizer and what the data
is held in are drawn; a model is then built, trained, asked, saved, loaded and trained.
"""

import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from recsys import Field, Task, create_model, load_model
from tests import zoo
from tests.close import close
from tests.corrupted import Batches, Random, log, pick, pipeline

TRAIN, ASK = 8, 7
NAMES = (
    "user_id", "user id", "用户", "price($)", "Ünï", "it's", "a-b", "tag:x", "x" * 40,
    "пол", "100%", "class", "name", "item", "🙂", "A", "9", "two  spaces", "q?", "_u",
    "a,b", "[b]", "(c)", "e=f", "~", "g&h", "self", "inputs", "training", "logit_of",
)  # fmt: skip
TASK_NAMES = ("ctr", "will buy", "点击", "like+", "a-rate", "минуты")
FOLLOWING = {"aitm", "esmm", "escm2"}
"""Models of binary tasks that follow each other."""


@dataclass
class Configuration:
    """What was drawn."""

    name: str
    fields: list[Field]
    kwargs: dict[str, Any]
    tasks: list[Task]
    data: str
    optimizer: Any
    weighted: str
    eager: bool
    random: Random
    said: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        names = ", ".join(f"{f.name!r} {f.belong}" for f in self.fields)
        options = {k: v for k, v in self.kwargs.items() if not isinstance(v, tuple)}
        return (
            f"{self.name}([{names}], {str(options)[:200]}), tasks "
            f"{[(t.name, t.belong) for t in self.tasks]}, {self.data}, weights "
            f"{self.weighted}, optimizer {self.optimizer!r}, eager={self.eager}"
        )


def draw(seed: int) -> Configuration:
    """Returns the configuration of a seed."""
    random = np.random.default_rng([seed, 2])
    entry = pick(random, zoo.ENTRIES)
    data = pick(random, DATA)
    if data == "pipeline" and entry.family not in ("rank", "match"):
        data = "dict"
    fields = pipeline().fields(dim=4) if data == "pipeline" else _fields(random, entry)
    tasks = _tasks(random, entry, data)
    return Configuration(
        name=entry.name,
        fields=fields,
        kwargs=_kwargs(random, entry, fields, tasks),
        tasks=tasks,
        data=data,
        optimizer=_optimizer(random, entry),
        weighted="none" if not tasks else pick(random, ["none", "array", "by task"]),
        eager=random.random() < 0.8,
        random=random,
    )


def _fields(random: Random, entry: zoo.Entry) -> list[Field]:
    """Columns of all kinds: always a user, an item and a history of it."""
    names = iter(random.permutation(NAMES).tolist())
    one_dim = pick(random, (3, 4, 8)) if "one_dim" in entry.needs else None

    def more(chance: float) -> bool:
        return bool(random.random() < chance)

    def dim() -> int:
        return one_dim or pick(random, (1, 2, 4, 8))

    def table(belong: str, **options: Any) -> Field:
        size = pick(random, (5, 20, 60))
        if more(0.3):
            options["l2_reg"] = 0.01
        elif more(0.1):
            options["regularizer"] = "l2"
        if more(0.2):
            kinds = ["glorot_uniform", "zeros", "lecun_normal"]
            options["initializer"] = pick(random, kinds)
        given = {"vocabulary_size": size, "dim": dim(), "belong": belong, **options}
        return Field(next(names), dtype=pick(random, ["int32", "int64"]), **given)

    user, item = table("user"), table("item", dim=one_dim or 8, initializer="uniform")
    found = [user, item]
    if more(0.3):  # a table of two fields
        found.append(
            Field(
                next(names),
                emb=user.emb,
                dim=user.dim,
                vocabulary_size=user.vocabulary_size,
                l2_reg=user.l2_reg,
                regularizer=user.regularizer,
                initializer=user.initializer,
            )
        )
    needs_category = entry.name in {"dat", "home", "sim"}
    category = table("item") if more(0.6) or needs_category else None
    if category is not None:
        found.append(category)
    for _ in range(int(random.integers(0, 3))):
        edges = (-1.0, 0.0, 0.5, 2.0) if more(0.3) else None
        belong = pick(random, ["user", "context"])
        found.append(
            Field(next(names), dim=dim(), dtype="float32", belong=belong, edges=edges)
        )
    if more(0.3):
        length = int(random.integers(1, 4))
        given = {"vocabulary_size": 0, "length": length, "dtype": "float32"}
        found.append(Field(next(names), dim=one_dim or 4, **given))
    if more(0.5):
        pooling = pick(random, ["mean", "sum", "max"])
        weight = next(names) if pooling != "max" and more(0.5) else None
        length = int(random.integers(2, 5))
        found.append(table("user", length=length, pooling=pooling, weight=weight))
    if more(0.3):
        found.append(table("context"))
    if entry.family == "multidomain":
        found.append(table("domain", vocabulary_size=3))
        if more(0.5):
            found.append(
                Field(next(names), belong="domain", dtype="float32", dim=dim())
            )
    length = int(random.integers(2, 7))
    for of in (item, category):
        if of is not None and (of is item or more(0.7) or needs_category):
            found.append(
                Field(
                    next(names),
                    emb=of.emb,
                    dim=of.dim,
                    length=length,
                    belong="history",
                )
            )
    if more(0.2) and entry.family != "match":
        given = {"emb": item.emb, "dim": item.dim, "length": 3, "group": "later"}
        found.append(Field(next(names), belong="history", **given))
    return found


def _tasks(random: Random, entry: zoo.Entry, data: str) -> list[Task]:
    if entry.family == "match":
        return []
    if data == "pipeline":
        return [Task("label")]
    names = random.permutation(TASK_NAMES).tolist()
    if not entry.several_tasks:
        return [_task(random, names[0])]
    if entry.name in FOLLOWING:
        return [Task(name) for name in names[:2]]
    return [_task(random, name) for name in names[: int(random.integers(2, 4))]]


def _task(random: Random, name: str) -> Task:
    kind = pick(random, ["binary"] * 3 + ["regression", "count", "multiclass"])
    return Task(name, kind, 3 if kind == "multiclass" else 1)


def _kwargs(
    random: Random, entry: zoo.Entry, fields: list[Field], tasks: list[Task]
) -> dict[str, Any]:
    known = entry.arguments()
    given: dict[str, Any] = {}
    if "task_list" in known and tasks:
        given["task_list"] = tasks
    elif tasks:
        given["task"] = tasks[0]
    by_chance = {
        "hidden_units": [(8, 4), [6], (2,)],
        "activation": ["relu", "dice", "prelu", "tanh"],
        "dropout": [0.0, 0.2],
        "use_bn": [True, False],
        "l2_reg": [0.0, 0.01],
        "history_agg": ["mean_pooling", "sum_pooling", "max_pooling", "attention"],
    }
    for key, options in by_chance.items():
        if key in known and random.random() < 0.4:
            given[key] = pick(random, options)
    given |= {
        key: value
        for key, value in zoo.SMALL.get(entry.name, {}).items()
        if key != "category"
    }
    item = next(f for f in fields if f.belong == "item")
    user = next(f for f in fields if f.belong == "user")
    of_item = [f for f in fields if f.belong == "item" and f is not item]
    if "catalogue" in known and entry.family == "match":
        given["catalogue"] = {
            f.name: _column(random, f, item.vocabulary_size) for f in of_item
        }
    if entry.name == "dat":
        given["category"] = of_item[0].name
    if "interactions" in known:
        given["interactions"] = (
            random.integers(1, user.vocabulary_size, 30),
            random.integers(item.reserved, item.vocabulary_size, 30),
        )
    return given


def _optimizer(random: Random, entry: zoo.Entry) -> Any:
    options: list[Any] = ["adam", "sgd", "adagrad", "rmsprop", "adamw"]
    if entry.name != "lightgcn":
        options.append({"embedding": "adagrad", "dnn": "adam", "default": "sgd"})
    return pick(random, [*options, {"embedding": "adagrad", "default": "adam"}])


# Rows.


def _column(random: Random, of: Field, rows: int) -> np.ndarray:
    """Values of a field, of any type that holds them."""
    several = (of.length,) if of.length > 1 or of.vocabulary_size == 0 else ()
    shape = (rows, of.length) if of.belong == "history" else (rows, *several)
    if of.vocabulary_size <= 1 and of.belong != "history":
        kind = pick(random, ["float32", "float64", "float16", "int8", "int64", "bool"])
        return (random.normal(size=shape) * 2).astype(kind)
    ids = random.integers(of.reserved, of.vocabulary_size, shape)
    if of.belong == "history":
        ids *= np.arange(of.length) < random.integers(0, of.length + 1, (rows, 1))
    kinds = ["int32", "int64", "uint16", "int8", "uint8", "float64", "float32"]
    return ids.astype(pick(random, kinds))


def rows_of(chosen: Configuration, rows: int) -> dict[str, np.ndarray]:
    """Columns for the fields, and the weights of their values."""
    size = {f.emb: f.vocabulary_size for f in chosen.fields if f.is_table}
    found = {}
    for each in chosen.fields:
        of = each
        if each.belong == "history":
            of = Field(
                each.name,
                vocabulary_size=size[each.emb],
                length=each.length,
                belong="history",
            )
        found[each.name] = _column(chosen.random, of, rows)
        if each.weight is not None:
            found[each.weight] = chosen.random.random((rows, each.length))
    return found


def labels_of(chosen: Configuration, rows: int) -> Any:
    """Labels, some of them missing, as one array, by task, or in a list."""
    found: dict[str, np.ndarray] = {}
    for task in chosen.tasks:
        random = chosen.random
        label = {
            "binary": random.integers(0, 2, rows),
            "regression": random.normal(size=rows),
            "count": random.poisson(2.0, rows),
            "multiclass": random.integers(0, 3, rows),
        }[task.belong]
        if chosen.name in FOLLOWING and found:
            label = label * next(iter(found.values()))
        found[task.name] = label
    if chosen.random.random() < 0.4:
        for name, label in found.items():
            found[name] = np.where(chosen.random.random(rows) < 0.3, np.nan, label)
    if not found:
        return None
    if len(found) == 1 and chosen.random.random() < 0.5:
        return next(iter(found.values()))
    return [*found.values()] if chosen.random.random() < 0.3 else found


def weights_of(chosen: Configuration, rows: int) -> Any:
    if chosen.weighted == "none":
        return None
    weight = chosen.random.random(rows)
    if chosen.weighted == "array":
        return weight
    names = [task.name for task in chosen.tasks]
    return {name: weight for name in names[: 1 + int(chosen.random.integers(2))]}


# What data is held in.


def _listed(x: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in x.items()}


def _records(x: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    listed = _listed(x)
    rows = zip(*listed.values(), strict=True)
    return [dict(zip(listed, row, strict=True)) for row in rows]


def _tf_data(*parts: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensors(parts if len(parts) > 1 else parts[0])


def _generator(*parts: Any) -> Iterator[Any]:
    yield parts if len(parts) > 1 else parts[0]


FRAMES = {
    "dict": dict,
    "lists": _listed,
    "pandas": lambda x: pd.DataFrame(_listed(x)),
    "polars": lambda x: pl.DataFrame(_listed(x)),
    "arrow": lambda x: pa.table(_listed(x)),
    "rows": _records,
}
BATCHES = {
    "tf.data": _tf_data,
    "generator": _generator,
    "PyDataset": lambda *parts: Batches(parts if len(parts) > 1 else parts[0]),
}
DATA = (*FRAMES, *BATCHES, "pipeline")


def held(kind: str, x: Any, y: Any = None, weight: Any = None) -> dict[str, Any]:
    """Returns arguments of `fit`, a new generator each time."""
    if kind in FRAMES:
        given = {"y": y, "sample_weight": weight, "batch_size": TRAIN}
        return {"x": FRAMES[kind](x), **given}
    if isinstance(y, list):
        y = tuple(y)
    parts = [part for part in (x, y, weight) if part is not None]
    return {"x": BATCHES[kind](*parts)}


# What must hold.


def failure(seed: int) -> tuple[str | None, str]:
    """Tries the configuration of a seed.

    Returns:
        What went wrong, if anything; and "refused" if the model says by name that it
        does not take the fields or the task, else "works".
    """
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    chosen = draw(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = create_model(chosen.name, chosen.fields, **chosen.kwargs)
        except ValueError as error:
            if "Received: " in str(error):
                return None, f"refused: {error}"
            return f"{chosen}: {type(error).__name__}: {error}", "fails"
        try:
            _check(chosen, model)
        except Exception as error:
            return f"{chosen}: {type(error).__name__}: {error}", "fails"
    return None, "works"


def _loss(chosen: Configuration) -> Any:
    kinds = {
        "binary": "ce",
        "multiclass": "ce",
        "regression": "mse",
        "count": "poisson",
    }
    losses = {task.name: kinds[task.belong] for task in chosen.tasks}
    return losses or None


def _check(chosen: Configuration, model: Any) -> None:
    loss = _loss(chosen)
    if loss is not None and not isinstance(model.output, dict):
        (loss,) = loss.values()
    model.compile(chosen.optimizer, loss, run_eagerly=chosen.eager)
    x, y, weight = None, None, None
    if chosen.data == "pipeline":
        dataset = pipeline().dataset(_raw(chosen, TRAIN), TRAIN)
        raw = _raw(chosen, ASK)
        asked = pipeline().transform(raw)
        ask: Any = pipeline().dataset(raw, ASK)
    else:
        x = rows_of(chosen, TRAIN)
        y, weight = labels_of(chosen, TRAIN), weights_of(chosen, TRAIN)
        asked = rows_of(chosen, ASK)
        ask = held(chosen.data, asked)["x"]

    def step(one: Any) -> Any:
        if chosen.data == "pipeline":
            return one.fit(dataset, verbose=0).history
        given = held(chosen.data, x, y, weight)
        return one.fit(**given, verbose=0, shuffle=False).history

    _finite("the logs of fit", step(model))
    _finite("weights", {weight.path: weight for weight in model.weights})

    together = _predicted(model, asked)
    _finite("predictions", together)
    for name, value in _predicted(model, ask).items():
        close(value, together[name], terms=100)  # maybe of another graph
    for i in (0, ASK - 1):
        if chosen.data == "pipeline":
            alone = _predicted(model, asked.slice(i, 1))
        else:
            alone = _predicted(model, zoo.take(asked, slice(i, i + 1)))
        for name, value in alone.items():
            close(value, together[name][i : i + 1], terms=100)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = load_model(path)
    for name, value in _predicted(loaded, asked).items():
        np.testing.assert_array_equal(value, together[name], "after load")
    histories = []
    for each in (model, loaded):
        each.run_eagerly, each.train_function = True, None
        histories.append(step(each))
    assert histories[0] == histories[1], f"next step {histories}"
    _finite("the logs of the next step", histories[0])
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one, other, f"next step: {one.path}")


def _raw(chosen: Configuration, rows: int) -> dict[str, Any]:
    start = int(chosen.random.integers(0, 80 - rows))
    raw = {name: column[start : start + rows] for name, column in log().items()}
    if not chosen.tasks:
        del raw["label"]
    return raw


def _predicted(model: Any, x: Any) -> dict[str, np.ndarray]:
    y = model.predict(x, verbose=0)
    return y if isinstance(y, dict) else {"": y}


def _finite(what: str, values: Any) -> None:
    for name, value in values.items():
        array = np.asarray(value)
        if array.dtype.kind == "f":
            assert np.isfinite(array).all(), f"{what}: {name} is not finite"
