"""The gate: what a user gives `fit`, `evaluate` and `predict` passes it, checked.

Arrays are looked at once. Batches, of a `tf.data.Dataset`, a `PyDataset`, a generator
or a `DataLoader`, are looked at one by one as they come, by the thread that makes them:
those of a dataset by a few operations of TensorFlow, and by NumPy, which says what is
wrong, only if these find something.
"""

import contextlib
import copy
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.data.reader import is_frame
from recsys.feature._constraints import (
    Constraint,
    Flag,
    Integer,
    Maybe,
    Number,
    checked,
)
from recsys.train import feed, graph, routing, rows
from recsys.train.rows import Needs

Through = Callable[[int, Any], tuple[Any, ...]]
"""Returns a batch, given its number, as Keras takes it, once it is checked."""

_CONSTRAINTS: dict[str, Constraint] = {
    **dict.fromkeys(("epochs", "initial_epoch"), Integer(0)),
    **dict.fromkeys(
        (
            "batch_size",
            "steps",
            "steps_per_epoch",
            "validation_batch_size",
            "validation_steps",
        ),
        Maybe(Integer(1)),
    ),
    **dict.fromkeys(("shuffle", "validate"), Flag()),
    "validation_split": Number(0, below=1),
}


def arguments(who: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a method, its sizes and counts as Python's integers.

    Raises:
        ValueError: If one is no integer, or too small; `validation_split` no fraction;
            a flag neither true nor false; or a callback none of Keras.
    """
    found = checked(who, given, _CONSTRAINTS)
    every = given.get("validation_freq", 1)
    listed = isinstance(every, (list, tuple, set)) and every
    if not all(map(Integer(1).accepts, every if listed else [every])):
        raise ValueError(
            f"{who}: validation_freq must be {Integer(1).wanted}, or a list of epochs. "
            f"Received: validation_freq={every!r}"
        )
    callbacks = given.get("callbacks")
    one_or_more = (keras.callbacks.Callback, keras.callbacks.CallbackList)
    for each in keras.tree.flatten(callbacks):
        if each is not None and not isinstance(each, one_or_more):
            raise ValueError(
                f"{who}: callbacks must be a list of Keras callbacks. "
                f"Received: {each!r}"
            )
    return found


def prepared(
    who: str,
    needs: Needs,
    *parts: Any,
    batches: bool = True,
    validate: bool = True,
    for_loss: bool = True,
) -> tuple[Any, ...]:
    """Returns columns, labels and weights, those that there are, as Keras takes them.

    Args:
        who: The method that was called, for errors.
        needs: What the model needs of them.
        *parts: `x`, columns by name, a frame, or what makes batches; labels, as
            `routing.labels_by_output` takes them, or a frame; sample weights, one
            array, or one by task.
        batches: Whether `x` may be what makes batches.
        validate: Whether to look at each of them.
        for_loss: Whether there is more to be done than to predict.

    Raises:
        ValueError: If the model would not take a column, label or weight as it is, or
            the data is known to come from another pipeline than its fields.
    """
    if not 1 <= len(parts) <= 3:
        raise ValueError(
            f"{who} must be x, (x, y) or (x, y, sample_weight). "
            f"Received: {len(parts)} parts"
        )
    x, y, sample_weight = (*parts, None, None)[:3]
    rows.check_fingerprint(needs.fingerprints, x)
    if is_frame(x):
        given = rows.checked(needs, x, y, sample_weight, for_loss=for_loss)
        if not given.count:
            raise no_rows(who)
        return rows.as_fed(needs, given)
    if not (batches and _makes_batches(x)):
        makers = ", a tf.data.Dataset, a PyDataset, a DataLoader or a generator"
        raise ValueError(
            f"{who}: x must be a dict of columns by name or a frame"
            f"{makers if batches else ''}. Received: {type(x)}"
        )
    for name, part in (("y", y), ("sample_weight", sample_weight)):
        if part is not None:
            raise ValueError(
                f"{who}: {name} must be a part of each batch, (x, y, sample_weight), "
                f"where x makes batches. Received: {name} and x of {type(x)}"
            )

    def look(number: int, given: Any) -> None:
        if validate:
            try:
                _check(needs, [*map(_to_numpy, _parts(given))], for_loss)
            except ValueError as error:
                raise ValueError(f"{who}, batch {number}: {error}") from None

    def through(number: int, given: Any) -> tuple[Any, ...]:
        look(number, given)
        return _as_read(needs, _parts(given), for_loss)

    if is_dataset(x):
        if int(x.cardinality()) == 0:
            raise no_rows(who)
        _check(needs, _parts(_like(x.element_spec, needs)), for_loss)
        source = x
        known = getattr(x, "recsys_checked", False)
        if validate and not (known and _labels_are_read(needs, x.element_spec)):
            source = graph.looked_at(x, needs, look, for_loss)
        spec = _parts(x.element_spec)[0]
        if any(_is_of_other_rank(spec[n], c.shape) for n, c in needs.columns.items()):
            source = source.map(lambda *batch: _in_ranks(needs, batch))
    elif isinstance(x, keras.utils.PyDataset):
        if x.num_batches == 0:
            raise no_rows(who)
        source = _PyDataset(x, through)
    elif isinstance(x, GeneratorType):
        source = _each(x, who, through)
    elif _is_loader(x):
        source = _loader(x, who, through)
    else:
        source = x  # of a strategy, which has shared it out
    if keras.backend.backend() != "tensorflow":
        _take_one(who, source)
    elif is_dataset(x):
        source = feed.prompt(source)
    return (source,)


def _labels_are_read(needs: Needs, spec: Any) -> bool:
    """Whether there are none that nothing but a check looks at."""
    return not (needs.positives and isinstance(spec, tuple))


def refuse_passes(who: str, x: Any, arguments: Mapping[str, Any]) -> None:
    """Raises `ValueError` if `fit` would read a generator to its end, and again.

    Of one for validation Keras reads the first two batches in each pass.

    Args:
        who: What it is, for the error: `"x"` or `"validation_data"`.
        x: A generator, or anything else.
        arguments: Of `fit`.
    """
    epochs = arguments.get("epochs", 1) - arguments.get("initial_epoch", 0)
    every = arguments.get("validation_freq", 1)
    if who == "x" and arguments.get("steps_per_epoch"):
        epochs = 1
    elif who == "validation_data" and isinstance(every, int):
        epochs //= every
    if isinstance(x, GeneratorType) and epochs > 1:
        more = ", or steps_per_epoch be given" if who == "x" else ""
        raise ValueError(
            f"fit: {who} must be data that can be read again{more}, as a generator is "
            f"read once. Received: a generator for {epochs} epochs"
        )


def _take_one(who: str, source: Any) -> None:
    """Looks at the first batch: on JAX an error in the first step loses the weights."""
    if is_dataset(source):
        with feed.looking(source):
            if not any(True for _ in source.take(1)):
                raise no_rows(who)
    elif isinstance(source, keras.utils.PyDataset):
        source[0]
    elif _is_loader(source):
        next(iter(source))


def _makes_batches(x: Any) -> bool:
    kinds = (keras.utils.PyDataset, GeneratorType)
    return isinstance(x, kinds) or hasattr(x, "element_spec") or _is_loader(x)


def is_dataset(x: Any) -> bool:
    """Whether `x` is a `tf.data.Dataset`."""
    return hasattr(x, "element_spec") and hasattr(x, "take")


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Raises what is wrong with a batch as it was, not as TensorFlow passes it on."""
    try:
        yield
    except Exception as error:
        found = re.search(r"ValueError: (\w+, batch \d+: [^\n]*)", str(error))
        if found is None or type(error) is ValueError:
            raise
        raise ValueError(found[1]) from error


def no_rows(who: str, found: str = "none") -> ValueError:
    """Returns the error that there are none."""
    return ValueError(f"{who}: there must be rows. Received: {found}")


def _parts(given: Any) -> tuple[Any, ...]:
    """A batch as `(x,)`, `(x, y)` or `(x, y, sample_weight)`."""
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)


def _check(needs: Needs, parts: Sequence[Any], for_loss: bool) -> None:
    if not 1 <= len(parts) <= 3 or not isinstance(parts[0], Mapping):
        raise ValueError(
            "A batch must be a dict of columns by name, or a tuple that begins with "
            "one, (x, y) or (x, y, sample_weight). "
            f"Received: {tuple(type(part).__name__ for part in parts)}"
        )
    rows.checked(needs, *parts, for_loss=for_loss)


def _as_read(needs: Needs, parts: Sequence[Any], for_loss: bool) -> tuple[Any, ...]:
    """A batch as Keras takes it: what is read, and labels of several tasks by name."""
    x, *others = parts
    if isinstance(x, Mapping):
        names = {*needs.columns}
        if for_loss:
            names |= {*needs.groups, *needs.of_losses}
        x = {name: value for name, value in x.items() if name in names}
        x = _in_rank(needs, _as_arrays(x))
    if others and isinstance(others[0], (list, tuple)):
        others[0] = routing.labels_of_tasks(others[0], needs.heads)
    while others and others[-1] is None:
        del others[-1]
    return x, *map(_as_arrays, others)


def _as_arrays(part: Any) -> Any:
    """A part of a batch with arrays in place of lists."""
    if isinstance(part, Mapping):
        return {key: _as_arrays(value) for key, value in part.items()}
    return np.asarray(part) if isinstance(part, (list, tuple)) else part


def _in_rank(needs: Needs, x: Mapping[str, Any]) -> dict[str, Any]:
    """Columns in the rank of the model's inputs: of two ranks, Keras takes one only."""
    found = {**x}
    for name in needs.columns.keys() & x.keys():
        value, shape = x[name], needs.columns[name].shape
        if _is_of_other_rank(value, shape):
            to = (-1, *(shape or ()))
            mine = hasattr(value, "reshape")
            found[name] = value.reshape(to) if mine else ops.reshape(value, to)
    return found


def _in_ranks(needs: Needs, batch: tuple[Any, ...]) -> Any:
    """The same of a batch of a dataset."""
    batch = (_in_rank(needs, batch[0]), *batch[1:])
    return batch if batch[1:] else batch[0]


def _is_of_other_rank(value: Any, shape: tuple[int, ...] | None) -> bool:
    if shape is None:
        return False
    mine = value.shape
    rank = mine.rank if hasattr(mine, "rank") else len(mine)  # None if not known
    return bool(rank != 1 + len(shape))


def _to_numpy(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {key: _to_numpy(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        several = any(getattr(each, "ndim", 0) for each in part)
        return [_to_numpy(value) for value in part] if several else part
    return None if part is None else ops.convert_to_numpy(part)


class _PyDataset(keras.utils.PyDataset):
    """Another one, each batch looked at."""

    def __init__(self, source: keras.utils.PyDataset, through: Through) -> None:
        super().__init__(
            source.workers, source.use_multiprocessing, source.max_queue_size
        )
        self._source, self._through = source, through

    @property
    def num_batches(self) -> int | None:
        found: int | None = self._source.num_batches
        return found

    def __getitem__(self, index: int) -> Any:
        return self._through(index, self._source[index])

    def on_epoch_begin(self) -> None:
        self._source.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._source.on_epoch_end()


def _each(batches: Iterable[Any], who: str, through: Through) -> Iterator[Any]:
    """Yields batches as tuples, each looked at."""
    number = -1
    for number, found in enumerate(batches):
        yield through(number, found)
    if number < 0:
        raise no_rows(who)


def _is_loader(x: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.utils.data.DataLoader)


def _loader(loader: Any, who: str, through: Through) -> Any:
    """Returns a copy of a data loader, of a class that Keras takes for one."""
    kind = type(loader)
    checked = copy.copy(loader)
    checked.__class__ = type(
        "Checked",
        (kind,),
        {"__iter__": lambda self: _each(kind.__iter__(self), who, through)},
    )
    return checked


def _like(spec: Any, needs: Needs) -> Any:
    """Returns arrays as a dataset makes them, of no rows unless their numbers differ.

    Those that are known and differ are an error before the step is traced.
    """
    shapes = [getattr(each, "shape", None) for each in keras.tree.flatten(spec)]
    known = {shape[0] for shape in shapes if shape is not None and shape.rank}
    return _zeros(spec, needs, len(known) > 1 and None not in known)


def _zeros(spec: Any, needs: Needs, with_rows: bool, name: str = "") -> Any:
    """Returns zeros; axes of unknown length have what the model wants."""
    if isinstance(spec, Mapping):
        return {key: _zeros(s, needs, with_rows, key) for key, s in spec.items()}
    if isinstance(spec, (list, tuple)):
        return tuple(_zeros(each, needs, with_rows) for each in spec)
    column = needs.columns.get(name) or needs.of_losses.get(name)
    if type(spec).__name__ != "TensorSpec":
        if column is not None:
            raise ValueError(
                f"Column {name!r} must be a dense tensor. Received: {spec}"
            )
        return None
    wanted = (column and column.shape) or ()
    if spec.shape.rank is None:
        return np.zeros((0, *wanted), spec.dtype.as_numpy_dtype)
    rank = max(spec.shape.rank - 1, 0)
    filled = (*wanted, *[1] * rank)[:rank]
    known = zip(spec.shape[1:], filled, strict=True)
    tail = [want if length is None else length for length, want in known]
    shape = (spec.shape[0] if with_rows else 0, *tail) if spec.shape.rank else ()
    return np.zeros(shape, spec.dtype.as_numpy_dtype)
