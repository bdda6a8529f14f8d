"""Inputs with one thing wrong: each must end in one error of ours, before any step.

A kind draws from a generator of random numbers what it breaks, in something that is
legal and built once. What is legal is what the docstrings say: whole ids as float64,
labels as NaN, `(rows, 1)` for `(rows,)` are not among the corruptions.
"""

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pyarrow as pa

from recsys import create_model, list_models, load_model, metrics
from recsys.data import Categorical, FeaturePipeline, History, MultiValue, Numeric
from recsys.data.synthetic import click_log
from recsys.retrieval.diversity import diversify
from recsys.retrieval.search import top_k, top_k_of_scores
from recsys.serving.exact_index import ExactIndex
from recsys.serving.index import index_recall, load_index
from recsys.train.evaluation import evaluate, evaluate_sampled
from tests import zoo
from tests.feature.test_constraints import DECLARATIONS, LEFT_OUT, bad_values
from tests.train.test_constraints import MADE

NAN, INF = float("nan"), float("inf")
ROWS = 6
Random = np.random.Generator
LIBRARY = str(Path(metrics.__file__).parents[1])


@dataclass(frozen=True)
class Case:
    """One corrupted input.

    Attributes:
        what: What is wrong, in words.
        call: Uses it.
        errors: What may come.
        by_others: Whether Python refuses, as it does an unknown argument, or Keras in
            its own words, as it does an unknown optimizer.
    """

    what: str
    call: Callable[[], Any]
    errors: tuple[type[Exception], ...] = (ValueError,)
    by_others: bool = False


def failure(case: Case) -> str | None:
    """Returns what is wrong with how a case is refused, if anything is."""
    before = [weight.numpy() for model in models().values() for weight in model.weights]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)  # NumPy's: a number went wrong
        try:
            case.call()
            return f"{case.what}: accepted"
        except Exception as caught:
            error = caught
    text = f"{type(error).__name__}: {error}"
    if not isinstance(error, case.errors):
        return f"{case.what}: {text}"
    after = [weight.numpy() for model in models().values() for weight in model.weights]
    if not all(map(np.array_equal, before, after)):
        return f"{case.what}: weights have changed before {text}"
    if case.by_others:
        return None
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_code.co_filename.startswith(LIBRARY):
        return f"{case.what}: not raised by the library: {text}"
    ways = (
        "Received: ",
        "Received twice: ",
        "Cannot read ",
        " cannot be read: ",
    )  # of files, why
    said = any(each in str(error) for each in ways)
    if not isinstance(error, OSError) and not said:
        return f"{case.what}: does not say what came: {text}"
    return None


def draw(seed: int) -> Case:
    """Returns the case of a seed."""
    random = np.random.default_rng([seed, 1])
    kind = KINDS[int(random.integers(len(KINDS)))]
    return kind(random)


def pick(random: Random, options: Any) -> Any:
    """Returns one of some options, which stay what they are."""
    options = [*options]
    return options[int(random.integers(len(options)))]


# What is legal, built once.


@functools.cache
def models() -> dict[str, Any]:
    """Small models, compiled; no case traces one."""
    found = {}
    for entry in zoo.ENTRIES:
        if entry.name in ("deepfm", "din", "mmoe", "two_tower"):
            found[entry.name] = entry.compiled(run_eagerly=True)
    return found


def legal(random: Random, name: str) -> tuple[Any, dict[str, Any], Any]:
    """A model with columns and labels that it takes."""
    model = models()[name]
    seed = int(random.integers(1000))
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == name)
    return model, zoo.take(_read(model, seed), slice(None)), entry.labels(ROWS)


def _read(model: Any, seed: int) -> dict[str, Any]:
    return {n: c for n, c in zoo.rows(ROWS, seed).items() if n in model.columns}


@functools.cache
def folder() -> Path:
    """Where there are files of the wrong kind."""
    here = Path(tempfile.mkdtemp(prefix="recsys-corrupted-"))
    (here / "empty").mkdir()
    for name in ("text.keras", "text.npz", "text.parquet", "text.yaml", "text"):
        (here / name).write_text("neither - a file: [of ours")
    (here / "full").mkdir()
    (here / "full" / "notes.txt").write_text("mine")
    (here / "header.csv").write_text("a,b\n")
    for ending in ("keras", "weights.h5", "npz", "tflite"):
        (here / f"folder.{ending}").mkdir()
    return here


@functools.cache
def log() -> dict[str, Any]:
    raw = click_log(80, num_users=8, num_items=9, seed=0)
    tags = np.array(["red", "green red", "blue"])[raw["item_id"] % 3]
    names = ("user_id", "item_id", "category", "price", "timestamp", "label")
    return {**{name: raw[name] for name in names}, "tags": tags}


@functools.cache
def pipeline() -> FeaturePipeline:
    return FeaturePipeline(**_declared()).fit(log())


def _declared() -> dict[str, Any]:
    columns = [
        Categorical("user_id"),
        Categorical("item_id", belong="item"),
        Categorical("category", belong="item"),
        Numeric("price", belong="item"),
        MultiValue("tags", length=2, separator=" "),
        History("seen", of=["item_id"], length=3, user="user_id", time="timestamp"),
    ]
    return {"columns": columns, "labels": ["label"]}


@functools.cache
def vectors() -> tuple[np.ndarray, np.ndarray]:
    """Of 4 users and 9 items."""
    random = np.random.default_rng(0)
    return random.normal(size=(4, 3)), random.normal(size=(9, 3))


# What breaks an array.


def put(random: Random, array: Any, value: Any) -> Any:
    """Returns an array with one value replaced, of a type that holds both."""
    kinds = {int: "int64", float: "float64", complex: "complex128"}
    array = np.asarray(array)
    kind = kinds.get(type(value), "object")
    if kind == "int64" and array.dtype.kind == "f":
        kind = "float64"
    array = array.astype(kind)
    array[tuple(int(random.integers(n)) for n in array.shape)] = value
    return array


def of_another_shape(random: Random, array: Any) -> tuple[str, Any]:
    """A shape that nothing of one value a row, or of a list a row, takes."""
    array = np.asarray(array)
    return pick(
        random,
        [
            ("a row less", array[:-1]),
            ("a row more", np.concatenate([array, array[:1]])),
            ("twice the rows", np.concatenate([array, array])),
            ("two axes more", array[..., None, None]),
            ("a first axis of 1", array[None]),
            ("a number", array.reshape(-1)[0]),
            ("None", None),
            ("nothing", array[:0]),
            ("a ragged list", [[1], [1, 2], *array.tolist()[2:]]),
            ("a word", "x"),
            ("a dict", {"a": array}),
            ("a set", {1, 2}),
            ("dates", np.full(array.shape, np.datetime64("2020-01-01"))),
            ("text", array.astype(str)),
            ("objects", np.array([object() for _ in array], dtype=object)),
        ],
    )


def bad_value(random: Random, *more: Any) -> Any:
    """A value that is no number a model could take."""
    return pick(random, [NAN, INF, -INF, 1e300, "x", None, object(), 1j, *more])


def in_column(random: Random, model: Any, x: dict[str, Any]) -> tuple[str, Any]:
    """Columns with one value, shape or key that is wrong."""
    name = pick(random, model.columns)
    column = model.columns[name]
    how = random.random()
    if how < 0.5:
        value = bad_value(random, -1, 2**32 + 3, 1.5, column.ids)
        if not column.ids:
            value = bad_value(random)
        return f"{value!r} in {name!r}", {**x, name: put(random, x[name], value)}
    if how < 0.8:
        what, array = of_another_shape(random, x[name])
        return f"{what} in {name!r}", {**x, name: array}
    others = {key: each for key, each in x.items() if key != name}
    return pick(
        random,
        [
            (f"no {name!r}", others),
            (f"{name!r} misspelt", {**others, name + "s": x[name]}),
            (f"{name!r} in capitals", {**others, name.upper(): x[name]}),
            (f"{name!r} by a number", {**others, 3: x[name]}),
            ("nothing", {}),
            ("no rows", {key: each[:0] for key, each in x.items()}),
            ("a list of columns", [*x.values()]),
            ("a tuple of columns", tuple(x.values())),
            ("one array", x[name]),
            ("a word", "x"),
            ("None", None),
            ("a number", 3),
            ("a set of names", {*x}),
            ("a series", pd.Series(np.ones(ROWS))),
            ("a row without it", _rows_of(x, without=name)),
            ("a frame with it twice", _twice(x, name)),
            ("an Arrow table with it twice", _twice_arrow(x, name)),
        ],
    )


def _rows_of(x: dict[str, Any], without: str) -> list[dict[str, Any]]:
    rows = [{key: each[i].tolist() for key, each in x.items()} for i in range(ROWS)]
    del rows[2][without]
    return rows


def _frame(x: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame({key: [*each.tolist()] for key, each in x.items()})


def _twice(x: dict[str, Any], name: str) -> pd.DataFrame:
    frame = _frame(x)
    return pd.concat([frame, frame[[name]]], axis=1)


def _twice_arrow(x: dict[str, Any], name: str) -> pa.Table:
    table = pa.table({key: each.tolist() for key, each in x.items()})
    return table.append_column(name, table[name])


class Batches(keras.utils.PyDataset):
    """One batch."""

    def __init__(self, batch: Any) -> None:
        super().__init__()
        self.batch = batch

    @property
    def num_batches(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch


def as_batches(random: Random, *parts: Any) -> tuple[str, Any]:
    """Arrays as what makes batches of them."""
    import tensorflow as tf

    batch = parts if len(parts) > 1 else parts[0]

    def generator() -> Iterator[Any]:
        yield batch

    made = [
        ("generator", generator()),
        ("PyDataset", Batches(batch)),
    ]
    if all(np.asarray(each).dtype != object for each in tf.nest.flatten(batch)):
        made.append(("tf.data", tf.data.Dataset.from_tensors(batch)))
    return pick(random, made)


def _fit(model: Any, *parts: Any, **more: Any) -> Any:
    return model.fit(*parts, verbose=0, **more)


USES: dict[str, Callable[..., Any]] = {
    "fit": _fit,
    "evaluate": lambda m, *parts, **kw: m.evaluate(*parts, verbose=0, **kw),
    "train_on_batch": lambda m, *parts, **kw: m.train_on_batch(*parts, **kw),
    "test_on_batch": lambda m, *parts, **kw: m.test_on_batch(*parts, **kw),
}
ASKS: dict[str, Callable[..., Any]] = {
    "predict": lambda m, x, **kw: m.predict(x, verbose=0, **kw),
    "predict_on_batch": lambda m, x: m.predict_on_batch(x),
}


# The kinds.


def columns_of_rows(random: Random) -> Case:
    name = pick(random, models())
    model, x, y = legal(random, name)
    what, bad = in_column(random, model, x)
    use = pick(random, [*USES, *ASKS, "validation_data"])
    parts = () if y is None else (y,)
    if use in ASKS:
        return Case(f"{name}.{use}: {what}", lambda: ASKS[use](model, bad))
    if use == "validation_data":
        given = (bad, *parts)
        return Case(
            f"{name}.fit(validation_data=): {what}",
            lambda: _fit(model, x, *parts, validation_data=given),
        )
    return Case(f"{name}.{use}: {what}", lambda: USES[use](model, bad, *parts))


def a_value_in_a_batch(random: Random) -> Case:
    name = pick(random, models())
    model, x, y = legal(random, name)
    column = pick(random, model.columns)
    ids = model.columns[column].ids
    value = pick(random, [NAN, INF, 1e300, *([-1, 2**32 + 3, 1.5, ids] if ids else [])])
    bad = {**x, column: put(random, x[column], value)}
    use = pick(random, ["fit", "evaluate", "predict"])
    parts = () if y is None or use == "predict" else (y,)
    kind, batches = as_batches(random, bad, *parts)
    call = ASKS[use] if use == "predict" else USES[use]
    what = f"{name}.{use}: {value!r} in {column!r} of a {kind}"
    return Case(what, lambda: call(model, batches))


def a_shape_in_a_batch(random: Random) -> Case:
    name = pick(random, models())
    model, x, y = legal(random, name)
    column = pick(random, model.columns)
    what, array = of_another_shape(random, x[column])
    bad = {**x, column: array}
    use = pick(random, ["fit", "evaluate", "predict"])
    batch: Any = bad if y is None or use == "predict" else (bad, y)
    source = pick(random, [(each for each in [batch]), Batches(batch)])
    call = ASKS[use] if use == "predict" else USES[use]
    what = f"{name}.{use}: {what} in {column!r} of a {type(source).__name__}"
    return Case(what, lambda: call(model, source))


def labels(random: Random) -> Case:
    name = pick(random, ["deepfm", "din", "mmoe"])
    model, x, y = legal(random, name)
    task = pick(random, y) if isinstance(y, dict) else None
    one = y if task is None else y[task]
    value = pick(random, [2, -1, 0.5, INF, 1e300, "x", object(), 1j])
    what, shaped = of_another_shape(random, one)
    options: list[tuple[str, Any]] = [
        (f"{value!r} in the labels", put(random, one, value)),
        (f"{what} for labels", shaped),
        ("labels of two columns", np.stack([one, one], axis=1)),
    ]
    what, bad = pick(random, options)
    if task is not None:
        others = {key: each for key, each in y.items() if key != task}
        what, bad = pick(
            random,
            [
                (f"{what} of {task!r}", {**y, task: bad}),
                (f"no labels of {task!r}", others),
                (f"labels of {task!r} misspelt", {**others, task + "s": one}),
                ("labels in a list of one", [one]),
                ("labels in a list of three", [one, one, one]),
                ("one array for two tasks", one),
            ],
        )
    use = pick(random, [*USES, "batches"])
    if use == "batches" and bad is not None:
        source = Batches((x, bad))
        return Case(f"{name}.fit of a PyDataset: {what}", lambda: _fit(model, source))
    use = "fit" if use == "batches" else use
    return Case(f"{name}.{use}: {what}", lambda: USES[use](model, x, bad))


def weights(random: Random) -> Case:
    name = pick(random, ["deepfm", "din", "mmoe", "two_tower"])
    model, x, y = legal(random, name)
    one = random.random(ROWS)
    value = bad_value(random, -1.0)
    what, shaped = of_another_shape(random, one)
    if shaped is None or name == "two_tower":
        what, shaped = "weights", one[:-1]
    what, bad = pick(
        random,
        [
            (f"{value!r} in the weights", put(random, one, value)),
            (f"{what} for weights", shaped),
            ("weights of two columns", np.stack([one, one], axis=1)),
            ("weights of no task", {"clicks": one}),
            ("negative weights by task", {"click": -one}),
            ("too few weights by task", {"click": one[:-1]}),
        ],
    )
    use = pick(random, USES)
    return Case(
        f"{name}.{use}: {what}", lambda: USES[use](model, x, y, sample_weight=bad)
    )


def classes(random: Random) -> Case:
    name = pick(random, ["deepfm", "din", "mmoe", "two_tower"])
    model, x, y = legal(random, name)
    bad = pick(
        random,
        [
            {5: 1.0}, {0: -1.0}, {1: NAN}, {1: INF}, {0: 1e300}, {"0": 1.0},
            {0: "x"}, "balanced", [1.0], [1.0, 2.0, 3.0], [1.0, -2.0], 3, NAN,
            object(), {0: None}, {0.5: 1.0}, [[1.0], [2.0]], {1, 2},
        ],
    )  # fmt: skip
    use = pick(random, ["fit", "train_on_batch"])
    return Case(
        f"{name}.{use}: class_weight={bad!r}",
        lambda: USES[use](model, x, y, class_weight=bad),
    )


def beside_batches(random: Random) -> Case:
    name = pick(random, ["deepfm", "mmoe"])
    model, x, y = legal(random, name)
    kind, batches = as_batches(random, x, y)
    use = pick(random, ["fit", "evaluate"])
    more = pick(random, [{"y": y}, {"sample_weight": np.ones(ROWS)}])
    return Case(
        f"{name}.{use}: {[*more]} beside a {kind}",
        lambda: USES[use](model, batches, **more),
    )


COUNTS = (0, -1, 2.5, "x", True, NAN, INF, [3], object(), 1j)


def arguments(random: Random) -> Case:
    name = pick(random, models())
    model, x, y = legal(random, name)
    parts = () if y is None else (y,)
    valid = (x, *parts)
    bad: dict[str, list[dict[str, Any]]] = {
        "fit": [
            *({"batch_size": each} for each in COUNTS),
            *({"steps_per_epoch": each} for each in COUNTS),
            *({"validation_batch_size": e, "validation_data": valid} for e in COUNTS),
            *({"validation_steps": e, "validation_data": valid} for e in COUNTS),
            *({"epochs": each} for each in (-1, 2.5, "x", True, NAN, None, [3])),
            *({"initial_epoch": each} for each in (-1, 2.5, "x", True, NAN, None)),
            *({"validation_split": e} for e in (-0.1, 1.0, 2, "x", NAN, 0.999, None)),
            *({"validation_data": each} for each in (3, "x", x["item_id"], (), [])),
            *({"validation_data": (*valid, None, None, None)} for _ in range(2)),
            *({"callbacks": each} for each in ("x", [3], object())),
            *({"validation_freq": each} for each in (0, -1, "x", 2.5)),
            *({"shuffle": each} for each in ("x", 3, object(), NAN)),
            *({"validate": each} for each in ("x", 3, None)),
            *({"unknown": 3} for _ in range(3)),
        ],
        "evaluate": [
            *({"batch_size": each} for each in COUNTS),
            *({"steps": each} for each in COUNTS),
            *({"callbacks": each} for each in ("x", [3], object())),
            {"unknown": 3},
        ],
        "predict": [
            *({"batch_size": each} for each in COUNTS),
            *({"steps": each} for each in COUNTS),
            *({"callbacks": each} for each in ("x", [3], object())),
            {"unknown": 3},
        ],
    }
    use = pick(random, bad)
    given = pick(random, bad[use])
    unknown = "unknown" in given
    what = f"{name}.{use}: " + ", ".join(
        f"{key}={'...' if value is valid else repr(value)[:60]}"
        for key, value in given.items()
    )

    def call() -> Any:
        if use == "predict":
            return ASKS[use](model, x, **given)
        return USES[use](model, x, *parts, **given)

    errors = (TypeError, ValueError) if unknown else (ValueError,)
    return Case(what, call, errors, unknown)


def compiling(random: Random) -> Case:
    name = pick(random, models())
    model = models()[name]
    bad = pick(
        random,
        [
            {"optimizer": "adamm"}, {"optimizer": 3}, {"optimizer": object()},
            {"optimizer": {"embeding": "adam", "default": "adam"}},
            {"optimizer": {"embedding": "adamm", "default": "adam"}},
            {"optimizer": {"embedding": 3, "default": "adam"}},
            {"optimizer": {}}, {"optimizer": {3: "adam"}}, {"optimizer": ["adam"]},
            {"optimizer": None}, {"optimizer": {"default": None}},
            {"loss": "nonsense"}, {"loss": 3}, {"loss": object()}, {"loss": []},
            {"loss": {"clck": "ce"}}, {"loss": ["ce"] * 9}, {"loss": NAN},
            {"loss": {3: "ce"}}, {"loss": {[*model.heads][0]: "nonsense"}},
            {"loss_weights": {"clck": 1.0}}, {"loss_weights": NAN},
            {"loss_weights": -1.0}, {"loss_weights": "x"}, {"loss_weights": [1.0] * 9},
            {"loss_weights": INF}, {"loss_weights": object()}, {"loss_weights": True},
            {"metrics": "nonsense"}, {"metrics": 3}, {"metrics": object()},
            {"metrics": {"clck": "accuracy"}}, {"metrics": ["nonsense"]},
            {"metrics": [3]}, {"metrics": [None]}, {"weighted_metrics": "nonsense"},
            {"weighted_metrics": {"clck": "accuracy"}}, {"weighted_metrics": [3]},
            {"balance": "nonsense"}, {"balance": 3}, {"balance": object()},
            {"unknown": 3},
        ],
    )  # fmt: skip
    if name == "two_tower":
        given = {**bad}
    else:
        given = {"loss": "binary_crossentropy", **bad}
    (key,) = bad
    unknown = key == "unknown"

    def call() -> Any:
        try:
            model.compile(**{"optimizer": "adam", **given})
        finally:
            loss = None if name == "two_tower" else "binary_crossentropy"
            model.compile("adam", loss, run_eagerly=True)

    errors = (TypeError, ValueError) if unknown else (ValueError,)
    return Case(f"{name}.compile: {bad!r}", call, errors, by_others=True)


def declarations(random: Random) -> Case:
    made = [(cls, given, [*cls._constraints]) for cls, given in DECLARATIONS]
    made += [case.values for case in MADE]
    cls, given, keys = pick(random, made)
    key = pick(random, keys)
    values = [
        value
        for value in bad_values(cls._constraints[key])
        if not any(value is default for default in LEFT_OUT.get(key, ()))
    ]
    if random.random() < 0.05:
        what = f"{cls.__name__}: unknown argument"
        return Case(
            what, lambda: cls(**given, unknown=3), (TypeError, ValueError), True
        )
    value = pick(random, values)
    return Case(
        f"{cls.__name__}: {key}={value!r}", lambda: cls(**{**given, key: value})
    )


FACTORY: dict[str, tuple[Any, ...]] = {
    "fields": (None, [], 3, "x", ["user_id"], [None], {}, object(), [3.5]),
    "hidden_units": (None, "x", 3, [0], [-1], [2.5], [None], ["x"], [True], NAN),
    "dropout": (-0.1, 1.0, 1.5, NAN, "x", None, True, object()),
    "l2_reg": (-1.0, NAN, INF, "x", None, object()),
    "activation": ("nonsense", "", 3, object(), NAN, Random, print),
    "use_bn": ("x", 3, None, object()),
    "history_agg": ("nonsense", 3, None, object()),
    "task": (None, 3, "click", object(), []),
    "task_list": (None, 3, [], [None], ["click"], object(), "x"),
    "unknown": (3,),
}


def factories(random: Random) -> Case:
    name = pick(random, list_models())
    (entry,) = (entry for entry in zoo.ENTRIES if entry.name == name)
    kinds = [k for k in FACTORY if k in ("fields", "unknown", *entry.arguments())]
    key = pick(random, kinds)
    value = pick(random, FACTORY[key])
    if key == "fields":
        given = {"task_list": zoo.TASKS} if entry.several_tasks else {}
        return Case(f"{name}({value!r})", lambda: create_model(name, value, **given))
    errors = (TypeError,) if key == "unknown" else (ValueError,)
    call = functools.partial(entry.build, **{key: value})
    return Case(f"{name}({key}={value!r})", call, errors, key == "unknown")


def names_of_models(random: Random) -> Case:
    bad = pick(random, ["deepfmm", "DeepFN", "", None, 3, object(), ["deepfm"], NAN])
    if random.random() < 0.5:
        return Case(f"create_model({bad!r})", lambda: create_model(bad, zoo.fields()))
    bad = "" if bad is None else bad
    return Case(f"list_models({bad!r})", lambda: list_models(bad))


# Pipelines.

ANY_DATA = (ValueError, TypeError, FileNotFoundError)


def raw_data(random: Random) -> tuple[str, Any]:
    """A log that has something wrong for the pipeline."""
    rows = {name: column[:ROWS] for name, column in log().items()}
    name = pick(random, [n for n in rows if n != "label"])
    others = {key: each for key, each in rows.items() if key != name}
    what, shaped = pick(
        random,
        [
            ("a row less", rows[name][:-1]),
            ("a row more", np.concatenate([rows[name], rows[name][:1]])),
            ("a number", 3),
            ("a word", "x"),
            ("None", None),
            ("two axes more", rows[name][:, None, None]),
            ("a dict", {"a": 3}),
            ("objects", [object() for _ in rows[name]]),
            ("complex numbers", np.ones(ROWS, complex)),
            ("a ragged list", [[1], [1, 2], *rows[name].tolist()[2:]]),
            ("mixed types", ["a", 3, b"c", 1.5, None, True]),
        ],
    )
    label = pick(random, [2, -1, 0.5, "x", 1j, object(), INF])
    return pick(
        random,
        [
            (f"{what} in {name!r}", {**rows, name: shaped}),
            (f"no {name!r}", others),
            (f"{name!r} misspelt", {**others, name + "s": rows[name]}),
            (f"text in {name!r}", {**rows, name: [f"word {i}" for i in range(ROWS)]})
            if name != "tags"
            else ("numbers in 'tags'", {**rows, name: np.arange(ROWS)}),
            (f"label {label!r}", {**rows, "label": put(random, rows["label"], label)}),
            (f"{name!r} twice", _twice(rows, name)),
            (f"{name!r} in two cases", {**rows, name.upper(): rows[name]}),
            ("a number", 3),
            ("None", None),
            ("a word", "x"),
            ("nothing", {}),
            ("an array", np.ones(3)),
            ("a list of numbers", [1, 2]),
            ("an empty list", []),
            ("an empty folder", str(folder() / "empty")),
            ("a folder of notes", str(folder() / "full")),
            ("a text file for parquet", str(folder() / "text.parquet")),
            ("a text file", str(folder() / "text")),
            ("a CSV file without the columns", str(folder() / "header.csv")),
            ("no file", str(folder() / "none.parquet")),
            ("no files", str(folder() / "none*.csv")),
            ("a list with no file", [str(folder() / "none.csv")]),
        ],
    )


def pipelines(random: Random) -> Case:
    what, bad = raw_data(random)
    use = pick(random, ["fit", "transform", "dataset", "events", "catalogue"])
    rows = {name: column[:ROWS] for name, column in log().items()}
    if use in ("events", "catalogue") and (
        "label" in what or bad is None or use == "catalogue"
    ):
        use = "transform"
    calls: dict[str, Callable[[], Any]] = {
        "fit": lambda: FeaturePipeline(**_declared()).fit(bad),
        "transform": lambda: pipeline().transform(bad),
        "dataset": lambda: pipeline().dataset(bad, 4),
        "events": lambda: pipeline().transform(rows, events=bad),
    }
    if use == "events" and not any(name in what for name in ("item_id", "user_id")):
        use = "transform"  # the histories read no other column
    if use == "fit" and what.startswith(("text in 'user_id'", "text in 'item_id'")):
        use = "transform"  # which a pipeline that is not yet fitted would take
    return Case(f"pipeline.{use}: {what}", calls[use], ANY_DATA)


def of_pipelines(random: Random) -> Case:
    made = pipeline()
    rows = {name: column[:ROWS] for name, column in log().items()}
    here = folder()
    bad = pick(
        random,
        [
            *(("dataset", {"batch_size": each}) for each in (*COUNTS, None)),
            *(("dataset", {"seed": each}) for each in (2.5, "x", True, NAN, [3])),
            *(("dataset", {"streaming": each}) for each in ("x", None, 3, NAN)),
            *(("dataset", {"shuffle": each}) for each in ("x", None, 3, NAN)),
            *(("dataset", {"drop_remainder": each}) for each in ("x", None, 3)),
            *(
                ("dataset", {"start": e})
                for e in (3, "x", None, (1,), (-1, 0), (0, 1.5))
            ),
            *(("transform", {"columns": e}) for e in (["nope"], 3, "item_id", [None])),
            *(("fields", {"dim": e}) for e in (0, -1, 2.5, "x", None, {}, NAN, True)),
            *(("catalogue", {"item": e}) for e in ("price", "x", None, 3, "user_id")),
            *(("vocabulary", {"name": e}) for e in ("price", "x", None, 3, "seen")),
            *(("save", {"path": e}) for e in (here / "full", here / "text")),
            *(
                ("load", {"path": e})
                for e in (here / "full", here / "text", here / "no")
            ),
            *(
                ("from_yaml", {"path": e})
                for e in (here / "text.yaml", here / "no.yaml")
            ),
            *(
                ("columns", {"columns": e})
                for e in (None, 3, "x", [], [3], ["a"], [None])
            ),
            *(("columns", {"labels": e}) for e in (3, [3], [None], [""], ["a", "a"])),
            *(("columns", {"sample_weight": e}) for e in (3, "", ["a"], object())),
            *(("columns", {"groups": e}) for e in (3, [3], {"a": 3}, {3: "a"}, [""])),
        ],
    )
    method, given = bad
    calls: dict[str, Callable[[], Any]] = {
        "dataset": lambda: made.dataset(rows, **{"batch_size": 4, **given}),
        "transform": lambda: made.transform(rows, **given),
        "fields": lambda: made.fields(**given),
        "catalogue": lambda: made.catalogue(rows, **given),
        "vocabulary": lambda: made.vocabulary(**given),
        "save": lambda: made.save(**given),
        "load": lambda: FeaturePipeline.load(**given),
        "from_yaml": lambda: FeaturePipeline.from_yaml(**given),
        "columns": lambda: FeaturePipeline(**{**_declared(), **given}),
    }
    return Case(f"pipeline.{method}: {given!r}", calls[method], (ValueError, OSError))


# Retrieval.


def excluded(random: Random, users: int, items: int) -> Any:
    return pick(
        random,
        [
            3, "x", [[1]], [[items]] + [[]] * (users - 1), [[-1]] * users,
            [[1.5]] * users, [["x"]] * users, ([0], []), ([0, 5], [1]), (1,), (),
            ([0] * users + [1], [items]), ([0] * (users + 1), [1]), [None] * users,
            ([0.0] * (users + 1), [1.0]), [[[1]]] * users, {1: [2]}, object(),
        ],
    )  # fmt: skip


def search(random: Random) -> Case:
    users, items = vectors()
    index = ExactIndex(items)
    use = pick(random, ["search", "top_k", "scores", "index", "add", "diversify"])
    ks = (0, -1, 2.5, "x", None, NAN, [3], object(), True)
    value = pick(random, [NAN, INF, "x", None, object(), 1j])
    bad_users = pick(
        random,
        [
            put(random, users, value),
            users[:, :2],
            users[0],
            users[None, None],
            3,
            "x",
            None,
            [[1.0], [1.0, 2.0, 3.0]],
            object(),
            {"a": users},
        ],
    )
    bad_items = pick(
        random,
        [
            put(random, items, value),
            items[:, :2],
            items[0],
            items[None],
            3,
            "x",
            None,
            [[1.0], [1.0, 2.0, 3.0]],
            object(),
        ],
    )
    gone = excluded(random, len(users), len(items))
    reserved = pick(random, (-1, 2.5, "x", None, NAN))
    masks = (np.ones(3), np.ones((4, 2)), 3, "x")
    if use == "search":
        what, call = pick(
            random,
            [
                (f"users {bad_users!r}", lambda: index.search(bad_users, 2)),
                *((f"k={k!r}", functools.partial(index.search, users, k)) for k in ks),
                (f"exclude={gone!r}", lambda: index.search(users, 2, exclude=gone)),
                ("mask", lambda: index.search(users, 2, interest_mask=masks[1])),
                ("recall", lambda: index_recall(index, index, bad_users, 2)),
            ],
        )
    elif use == "top_k":
        what, call = pick(
            random,
            [
                (f"users {bad_users!r}", lambda: top_k(bad_users, items, 2)),
                (f"items {bad_items!r}", lambda: top_k(users, bad_items, 2)),
                *((f"k={k!r}", functools.partial(top_k, users, items, k)) for k in ks),
                (
                    f"reserved={reserved!r}",
                    lambda: top_k(users, items, 2, reserved=reserved),
                ),
                (f"exclude={gone!r}", lambda: top_k(users, items, 2, exclude=gone)),
                *(
                    (
                        f"mask {m!r}",
                        functools.partial(top_k, users, items, 2, interest_mask=m),
                    )
                    for m in masks
                ),
            ],
        )
    elif use == "scores":
        table = users @ items.T
        value = pick(random, [NAN, "x", None, object(), 1j])
        bad = pick(random, [put(random, table, value), table[0], 3, "x", None])
        what, call = pick(
            random,
            [
                (f"scores {bad!r}", lambda: top_k_of_scores(bad, 2)),
                (f"exclude={gone!r}", lambda: top_k_of_scores(table, 2, exclude=gone)),
                *(
                    (f"k={k!r}", functools.partial(top_k_of_scores, table, k))
                    for k in ks
                ),
            ],
        )
    elif use == "index":
        what, call = pick(
            random,
            [
                (f"items {bad_items!r}", lambda: ExactIndex(bad_items)),
                (f"reserved={reserved!r}", lambda: ExactIndex(items, reserved)),
            ],
        )
        if getattr(bad_items, "shape", None) == (9, 2):  # other items
            what, call = "reserved=-1", lambda: ExactIndex(items, -1)
    elif use == "add":
        what, call = f"{bad_items!r}", lambda: ExactIndex(items).add(bad_items)
    else:
        ids, scores = top_k(users, items, 4)
        kinds = items[:, 0] > 0
        what, call = pick(
            random,
            [
                *(
                    (
                        f"k={k!r}",
                        functools.partial(diversify, ids, scores, kinds, k, 1.0),
                    )
                    for k in (*ks, 9)
                ),
                *(
                    (
                        f"weight={w!r}",
                        functools.partial(diversify, ids, scores, kinds, 2, w),
                    )
                    for w in (-1, NAN, INF, "x", None, object())
                ),
                *(
                    (
                        f"categories={c!r}",
                        functools.partial(diversify, ids, scores, c, 2, 1.0),
                    )
                    for c in (3, "x", None, kinds[:3], kinds[None])
                ),
                ("scores", lambda: diversify(ids, scores[:-1], kinds, 2, 1.0)),
                ("NaN scores", lambda: diversify(ids, scores * NAN, kinds, 2, 1.0)),
                ("words", lambda: diversify(ids.astype(str), ["a"], kinds, 2, 1.0)),
            ],
        )
    return Case(f"{use}: {what}", call)


def recommending(random: Random) -> Case:
    model, x, _ = legal(random, "two_tower")
    users = {name: x[name] for name in model.user_model.columns}
    num_items = len(zoo.CATALOGUE["category"])
    gone = excluded(random, ROWS, num_items)
    what, bad = in_column(random, model.user_model, users)
    given = pick(
        random,
        [
            *({"k": each} for each in (*COUNTS, None)),
            {"exclude": gone},
            *({"diversity": each} for each in (-1.0, NAN, "x", None)),
            *({"diversity": 0.5, "categories": each} for each in (None, 3, "x", [1])),
            *(
                {"diversity": 0.5, "categories": np.ones(num_items), "pool": each}
                for each in (-1, 2.5, "x", 3)
            ),
        ],
    )
    return pick(
        random,
        [
            Case(f"recommend: {what}", lambda: model.recommend(bad)),
            Case(f"user_vectors: {what}", lambda: model.user_vectors(bad)),
            Case(f"recommend: {given!r}", lambda: model.recommend(users, **given)),
            Case(f"recommend: {given!r}", lambda: model.recommend(users, **given)),
        ],
    )


def catalogues(random: Random) -> Case:
    model = models()["two_tower"]
    column = zoo.CATALOGUE["category"]
    what, shaped = of_another_shape(random, column)
    value = bad_value(random, -1, 2**32 + 3, 1.5, 7)
    bad = pick(
        random,
        [
            {"category": shaped}, {"categories": column}, {}, None, 3, "x", column,
            {"category": put(random, column, value)}, [column],
        ],
    )  # fmt: skip
    what = f"{what} or {value!r}: {str(bad)[:80]}"

    def call() -> None:
        try:
            model.set_catalogue(bad)
        finally:
            model.set_catalogue(zoo.CATALOGUE)

    return Case(f"set_catalogue: {what}", call)


def evaluating(random: Random) -> Case:
    users, items = vectors()
    table = users @ items.T
    relevant = [[2], [3], [4], [5]]
    sampled = random.random() < 0.4
    judge = evaluate_sampled if sampled else evaluate
    good: dict[str, Any] = {"scores": table, "relevant": relevant, "k": 2}
    if sampled:
        good |= {"num_negatives": 3}
    value = pick(random, [NAN, "x", None, object(), 1j])
    bad = pick(
        random,
        [
            *({"k": each} for each in (0, -1, 2.5, "x", None, [], [0], NAN, [NAN])),
            *({"metrics": e} for e in ("recall", ["nope"], 3, None, [3], [None])),
            *({"reserved": e} for e in (-1, 2.5, "x", None, NAN)),
            *({"relevant": e} for e in (3, "x", None, [[1.5]] * 4, [["x"]] * 4)),
            *({"relevant": e} for e in ([[99]] * 4, [[-1]] * 4, [[2]] * 5, [[0]] * 4)),
            *({"relevant": e} for e in (([0, 2], [2]), (1,), ([1], []), {1: 2})),
            {"relevant": [[2, 2], [3], [4], [5]]},
            {"relevant": [None] * 4},
            {"relevant": ([0, 1, 2, 3, 4], [2, 3, 4, 5], [1, 1, NAN, 1])},
            {"exclude": excluded(random, 4, 9)},
            *({"scores": e} for e in (table[:3], table[0], 3, "x", None, (users,))),
            {"scores": (users, items[:, :2])},
            {"scores": put(random, table, value)},
            *({"users": e} for e in ({"a": [1]}, 3, "x")),
            *({"block": e} for e in (0, -1, 2.5, "x", None) if not sampled),
            *({"num_negatives": e} for e in (0, -1, 2.5, "x") if sampled),
            *({"seed": e} for e in (-1, 2.5, "x") if sampled),
        ],
    )
    if sampled and "scores" in bad and isinstance(bad["scores"], np.ndarray):
        bad = {"num_negatives": 0}  # a sample may leave out what is wrong
    return Case(f"{judge.__name__}: {str(bad)[:120]}", lambda: judge(**{**good, **bad}))


# Files.


def files(random: Random) -> Case:
    here = folder()
    model = models()["deepfm"]
    index = ExactIndex(vectors()[1])
    table: list[tuple[str, Callable[[], Any]]] = [
        ("load text", lambda: load_model(here / "text.keras")),
        ("load text without an ending", lambda: load_model(here / "text")),
        ("load nothing", lambda: load_model(here / "none.keras")),
        ("load a folder", lambda: load_model(here / "empty")),
        ("load a folder.keras", lambda: load_model(here / "folder.keras")),
        ("load_index text", lambda: load_index(here / "text.npz")),
        ("load_index nothing", lambda: load_index(here / "none.npz")),
        ("load_index a folder", lambda: load_index(here / "empty")),
        ("load_index a model", lambda: load_index(here / "text.keras")),
        ("save into no folder", lambda: model.save(here / "no" / "a.keras")),
        ("save onto a folder", lambda: model.save(here / "folder.keras")),
        ("save with another ending", lambda: model.save(here / "a.model")),
        ("save onto text", lambda: model.save(here / "text.keras", overwrite=False)),
        (
            "weights into no folder",
            lambda: model.save_weights(here / "no/a.weights.h5"),
        ),
        (
            "weights onto a folder",
            lambda: model.save_weights(here / "folder.weights.h5"),
        ),
        ("weights with another ending", lambda: model.save_weights(here / "a.h5")),
        ("index into no folder", lambda: index.save(here / "no" / "a.npz")),
        ("index onto a folder", lambda: index.save(here / "folder.npz")),
        ("export into no folder", lambda: model.export(here / "no" / "a")),
        ("export onto text", lambda: model.export(here / "text")),
        ("export in no format", lambda: model.export(here / "a", format="nope")),
        (
            "export onto a folder",
            lambda: model.export(here / "folder.tflite", format="litert"),
        ),
        ("load_weights text", lambda: model.load_weights(here / "text")),
        ("load_weights nothing", lambda: model.load_weights(here / "no.weights.h5")),
    ]
    what, call = pick(random, table)
    errors = (ValueError, FileNotFoundError, FileExistsError)
    return Case(what, call, errors, by_others=True)


# Metrics.

OF_PROBABILITIES = ("log_loss", "brier_score", "normalized_entropy", "pcoc", "ece")
OF_ROWS = (*OF_PROBABILITIES, "auc", "average_precision", "binned_auc", "gain_curve")
OF_QUERIES = ("gauc", "ndcg", "recall", "hit_rate", "mrr", "precision", "f1")
OF_LISTS = ("ndcg", "recall", "hit_rate", "mrr", "precision", "mean_average_precision")


def metrics_of_rows(random: Random) -> Case:
    name = pick(random, [*OF_ROWS, *OF_QUERIES])
    metric = getattr(metrics, name)
    y = np.array([0, 1, 0, 1, 1, 0])
    good: dict[str, Any] = {"y_true": y, "score": random.random(ROWS)}
    if name in OF_QUERIES:
        good["groups"] = np.array([1, 1, 1, 2, 2, 2])
    weight = random.random(ROWS)
    key = pick(random, [*good, "sample_weight", "unknown"])
    if key == "sample_weight" and name in OF_QUERIES and name != "gauc":
        weight = np.ones(ROWS)
    value: Any = {
        "y_true": pick(random, [2, -1, 0.5, INF, "x", None, object(), 1j]),
        "score": pick(random, [NAN, "x", None, object(), 1j]),
        "sample_weight": pick(random, [-1.0, NAN, INF, "x", None, object(), 1j]),
        "groups": None,
        "unknown": 3,
    }[key]
    if name in OF_PROBABILITIES and key == "y_true":
        value = pick(random, [2, -1, INF, "x", None, object(), 1j])
    if name in OF_PROBABILITIES and key == "score":
        value = pick(random, [NAN, -0.1, 1.1, INF, "x", None, object(), 1j])
    if name in (*OF_LISTS, "f1") and key == "y_true":
        value = pick(random, [-1, INF, "x", None, object(), 1j])  # else grades
    base = good.get(key, weight)
    what, bad = f"{value!r} in {key}", value
    if key != "unknown":
        what, bad = f"{value!r} in {key}", put(random, base, value)
        if random.random() < 0.4 or key == "groups":
            what, bad = pick(
                random,
                [
                    ("a row less", base[:-1]),
                    ("a row more", np.concatenate([base, base[:1]])),
                    ("two axes more", base[:, None, None]),
                    ("two columns", np.stack([base, base], axis=1)),
                    ("a word", "x"),
                    ("a ragged list", [[1], [1, 2], 1, 1, 1, 1]),
                    ("a dict", {"a": 1}),
                ],
            )
            what = f"{what} for {key}"
    given = {**good, key: bad}
    score = "logits" if name == "binned_auc" else None

    def call() -> Any:
        first, second = given.pop("y_true"), given.pop("score")
        if score:
            return metric(first, **{score: second}, **given)
        return metric(first, second, **given)

    unknown = key == "unknown"
    return Case(
        f"{name}: {what}", call, (TypeError,) if unknown else (ValueError,), unknown
    )


def metrics_of_lists(random: Random) -> Case:
    name = pick(random, OF_LISTS)
    metric = getattr(metrics, name)
    relevant = ([0, 1, 3], [5, 2, 7])
    ranked = np.array([[5, 1, 2], [3, 7, 2]])
    judged = pick(
        random,
        [
            ([0, 1], [5]), ([1, 1, 3], [5, 2, 7]), ([0, 1, 4], [5, 2, 7]),
            ([0, 1, 3], [5, 2, 2]), ([0, 1, 3], [5, -2, 7]), ([0, 2, 1], [5, 2, 7]),
            ([0, 1, 3], [5.5, 2, 7]), ([0, 1, 3], ["a", "b", "c"]),
            ([0, 1, 3], [5, 2, 7], [1, NAN, 1]), ([0, 1, 3], [5, 2, 7], [1, -1, 1]),
            ([0, 1, 3], [5, 2, 7], [1, 1]), ([], []), (3, 4), ([0, 1, 3],),
            ([0, 1, 3], [[5, 2, 7]]), ([0.5, 1, 3], [5, 2, 7]), ("ab", "cd"),
        ],
    )  # fmt: skip
    shown = pick(
        random,
        [
            ranked[:1], ranked[0], ranked[None], ranked + 0.5, [["a"], ["b"]], 3, "x",
            None, [[5, 5, 1], [3, 7, 2]], [[5, -2, 1], [3, 7, 2]], [[1], [1, 2]],
        ],
    )  # fmt: skip
    k = pick(random, (0, -1, 2.5, "x", NAN, [3], True, object()))
    what, call = pick(
        random,
        [
            (f"relevant {judged!r}", lambda: metric(judged, ranked)),
            (f"ranked {shown!r}", lambda: metric(relevant, shown)),
            (f"k={k!r}", lambda: metric(relevant, ranked, k=k)),
            ("ties", lambda: metric(relevant, ranked, ties="nope")),
            ("empty", lambda: metric(relevant, ranked, empty="nope")),
        ],
    )
    return Case(f"{name} of lists: {what}", call)


KINDS: list[Callable[[Random], Case]] = [
    *[columns_of_rows] * 4,
    a_value_in_a_batch,
    a_shape_in_a_batch,
    *[labels] * 2,
    *[weights] * 2,
    classes,
    beside_batches,
    *[arguments] * 2,
    compiling,
    *[declarations] * 2,
    factories,
    names_of_models,
    *[pipelines] * 2,
    *[of_pipelines] * 2,
    *[search] * 3,
    *[recommending] * 2,
    catalogues,
    *[evaluating] * 2,
    files,
    *[metrics_of_rows] * 3,
    *[metrics_of_lists] * 2,
]
"""What is drawn from; a kind that is there twice is drawn twice as often."""
