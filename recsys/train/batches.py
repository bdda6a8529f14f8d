"""What makes batches, and batches as they are."""

import copy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import GeneratorType
from typing import Any

import keras
import numpy as np
from keras import ops

from recsys.data.reader import is_rows
from recsys.train.feeding import Reads

Through = Callable[[int, Any], tuple[Any, ...]]
"""Returns a batch, given its number, as Keras takes it, once it is checked."""


def makes_batches(x: Any) -> bool:
    kinds = (keras.utils.PyDataset, GeneratorType)
    return isinstance(x, kinds) or hasattr(x, "element_spec") or is_loader(x)


def is_dataset(x: Any) -> bool:
    """Whether `x` is a `tf.data.Dataset`."""
    return hasattr(x, "element_spec") and hasattr(x, "take")


def no_rows(who: str, found: str = "none") -> ValueError:
    """Returns the error that there are none."""
    return ValueError(f"{who}: there must be rows. Received: {found}")


def with_rows(who: str, found: Any) -> Any:
    """Returns arrays that were found, or raises `ValueError` if they are of no rows."""
    if not len(keras.tree.flatten(found)[0]):
        raise no_rows(who)
    return found


def parts_of(given: Any, reads: Reads) -> tuple[Any, ...]:
    """A batch as `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    A list is of rows, each a dict, or of parts: torch makes lists of tuples.
    """
    parts = isinstance(given, tuple) or (
        isinstance(given, list) and not (is_rows(given) and _is_row(given[0], reads))
    )
    return tuple(given) if parts else (given,)


def _is_row(values: Mapping[str, Any], reads: Reads) -> bool:
    """Whether a dict has the values of a row, not the columns of a batch."""
    shapes = {name: column.shape for name, column in reads.columns.items()}
    return all(
        np.ndim(values[name]) <= len(shape) - (shape == (1,))
        for name, shape in shapes.items()
        if shape is not None and name in values
    )


def to_numpy(part: Any) -> Any:
    """A part of a batch with arrays in place of the backend's tensors."""
    if isinstance(part, Mapping):
        return {key: to_numpy(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [to_numpy(value) for value in part]
    return ops.convert_to_numpy(part) if ops.is_tensor(part) else part


class LookedAt(keras.utils.PyDataset):
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


def each_of(batches: Iterable[Any], who: str, through: Through) -> Iterator[Any]:
    """Yields batches as tuples, each looked at."""
    number = -1
    for number, found in enumerate(batches):
        yield through(number, found)
    if number < 0:
        raise no_rows(who)


def is_loader(x: Any) -> bool:
    torch: Any = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.utils.data.DataLoader)


def loader(loader: Any, who: str, through: Through) -> Any:
    """Returns a copy of a data loader, of a class that Keras takes for one."""
    kind, torch = type(loader), sys.modules["torch"]
    tensors = partial(keras.tree.map_structure, torch.as_tensor)

    def read(self: Any) -> Iterator[Any]:
        return map(tensors, each_of(kind.__iter__(self), who, through))

    checked = copy.copy(loader)
    checked.__class__ = type("Checked", (kind,), {"__iter__": read})
    return checked


def like(spec: Any, reads: Reads) -> Any:
    """Returns arrays as a dataset makes them, of no rows unless their numbers differ.

    Those that are known and differ are an error before the step is traced.
    """
    shapes = [getattr(each, "shape", None) for each in keras.tree.flatten(spec)]
    known = {shape[0] for shape in shapes if shape is not None and shape.rank}
    return _zeros(spec, reads, len(known) > 1 and None not in known)


def _zeros(spec: Any, reads: Reads, with_rows: bool, name: str = "") -> Any:
    """Returns zeros; axes of unknown length have what the model wants."""
    if isinstance(spec, Mapping):
        return {key: _zeros(s, reads, with_rows, key) for key, s in spec.items()}
    if isinstance(spec, (list, tuple)):
        return tuple(_zeros(each, reads, with_rows) for each in spec)
    column = reads.columns.get(name) or reads.of_losses.get(name)
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
