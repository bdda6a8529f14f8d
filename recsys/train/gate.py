"""The gate: what a user gives `fit`, `evaluate` and `predict` passes it, checked.

Arrays are looked at once. Batches, of a `tf.data.Dataset`, a `PyDataset`, a generator
or a `DataLoader`, are looked at one by one as they come, by the thread that makes them:
those of a dataset by a few operations of TensorFlow, and by NumPy, which says what is
wrong, only if these find something.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from types import GeneratorType
from typing import Any

import keras
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
from recsys.protocols import Checked
from recsys.train import feed, feeding, graph, routing
from recsys.train.batches import (
    LookedAt,
    each_of,
    is_dataset,
    is_loader,
    like,
    loader,
    makes_batches,
    no_rows,
    parts_of,
    to_numpy,
)
from recsys.train.feeding import Reads, Rows

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
    reads: Reads,
    *parts: Any,
    batches: bool = True,
    validate: bool = True,
    for_loss: bool = True,
) -> tuple[Any, ...]:
    """Returns columns, labels and weights, those that there are, as Keras takes them.

    Args:
        who: The method that was called, for errors.
        reads: What the model reads of them.
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
    feeding.check_fingerprint(reads.fingerprints, x)
    if is_frame(x):
        given = feeding.checked(reads, x, y, sample_weight, for_loss=for_loss)
        if not given.count:
            raise no_rows(who)
        return feeding.as_fed(reads, given)
    if not (batches and makes_batches(x)):
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

    def look(number: int, given: Any) -> Rows:
        try:
            parts = [to_numpy(part) for part in parts_of(given, reads)]
            return _check(reads, parts, for_loss, validate)
        except ValueError as error:
            raise ValueError(f"{who}, batch {number}: {error}") from None

    forms: dict[str, str] = {}

    def through(number: int, given: Any) -> tuple[Any, ...]:
        x, *others = feeding.as_fed(reads, look(number, given))
        if others:  # integers, which may be of one batch only, have no NaN
            others[0] = {n: y.astype("float32") for n, y in others[0].items()}
        if len(routing.tasks(reads.heads)) == 1:  # by its name or not
            others = [[*p.values()][0] if isinstance(p, Mapping) else p for p in others]
        form = _form(reads, (x, *others))
        first = forms.setdefault("first", form)
        if form != first:
            raise ValueError(
                f"{who}, batch {number}: All batches must be of one form, that of the "
                f"first: {first}. Received: {form}"
            )
        return x, *others

    if is_dataset(x):
        if int(x.cardinality()) == 0:
            raise no_rows(who)
        _check(reads, parts_of(like(x.element_spec, reads), reads), for_loss)
        source = x
        known = isinstance(x, Checked)
        if validate and not (known and _labels_are_read(reads, x.element_spec)):
            source = graph.looked_at(x, reads, look, for_loss)
        spec = parts_of(x.element_spec, reads)[0]
        if any(_is_of_other_rank(spec[n], c.shape) for n, c in reads.columns.items()):
            source = source.map(lambda *batch: _in_ranks(reads, batch))
    elif isinstance(x, keras.utils.PyDataset):
        if x.num_batches == 0:
            raise no_rows(who)
        source = LookedAt(x, through)
    elif isinstance(x, GeneratorType):
        source = each_of(x, who, through)
    elif is_loader(x):
        source = loader(x, who, through)
    else:
        source = x  # of a strategy, which has shared it out
    if keras.backend.backend() != "tensorflow":
        _take_one(who, source)
    elif is_dataset(x):
        source = feed.prompt(source)
    return (source,)


def _labels_are_read(reads: Reads, spec: Any) -> bool:
    """Whether there are none that nothing but a check looks at."""
    return not (reads.positives and isinstance(spec, tuple))


def refuse_passes(who: str, x: Any, arguments: Mapping[str, Any]) -> None:
    """Raises `ValueError` if `fit` would read a generator to its end, and again.

    Of one for validation Keras reads the first two batches in each pass.

    Args:
        who: What it is, for the error: `"x"` or `"validation_data"`.
        x: A generator, or anything else.
        arguments: Arguments of `fit`.
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
    elif is_loader(source):
        next(iter(source))


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


def _check(
    reads: Reads, parts: Sequence[Any], for_loss: bool, values: bool = True
) -> Rows:
    if not 1 <= len(parts) <= 3 or not is_frame(parts[0]):
        raise ValueError(
            "A batch must be a dict of columns by name, or a tuple that begins with "
            "one, (x, y) or (x, y, sample_weight). "
            f"Received: {tuple(type(part).__name__ for part in parts)}"
        )
    return feeding.checked(reads, *parts, for_loss=for_loss, values=values)


def _form(reads: Reads, fed: tuple[Any, ...]) -> str:
    """Says what may differ from batch to batch, and is read as the first one is."""
    x, *others = fed
    more = [
        f"{name!r} of {column.dtype}"
        for name, column in x.items()
        if name not in reads.columns or column.dtype == "int64"
    ]
    shapes = keras.tree.map_structure(lambda array: ("rows", *array.shape[1:]), others)
    named = zip(("y", "sample_weight"), shapes, strict=False)
    return ", ".join(["x", *more, *(f"{name}={shape}" for name, shape in named)])


def _in_rank(reads: Reads, x: Mapping[str, Any]) -> dict[str, Any]:
    """Columns in the rank of the model's inputs: of two ranks, Keras takes one only."""
    found = {**x}
    for name in reads.columns.keys() & x.keys():
        value, shape = x[name], reads.columns[name].shape
        if _is_of_other_rank(value, shape):
            found[name] = ops.reshape(value, (-1, *(shape or ())))
    return found


def _in_ranks(reads: Reads, batch: tuple[Any, ...]) -> Any:
    """The same of a batch of a dataset."""
    batch = (_in_rank(reads, batch[0]), *batch[1:])
    return batch if batch[1:] else batch[0]


def _is_of_other_rank(value: Any, shape: tuple[int, ...] | None) -> bool:
    if shape is None:
        return False
    mine = value.shape
    rank = mine.rank if hasattr(mine, "rank") else len(mine)  # None if not known
    return bool(rank != 1 + len(shape))
