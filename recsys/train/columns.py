"""Checks on what a user feeds a model, before the first step.

A number that Keras would silently change (2^32 + 3 becomes 3 in an int32 input, 2.7
becomes 2, NaN becomes -2147483648) is an error here that names the column.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from recsys.layers.catalogue import Catalogue
from recsys.layers.grouped import KnownIds
from recsys.layers.heads import PredictLayer
from recsys.protocols import ReadsIds
from recsys.train._keras import nodes, place

LARGEST = float(np.finfo("float32").max)
"""What a number, a label or a weight may be at most: a model is of float32."""


@dataclass(frozen=True)
class ColumnSpec:
    """What one input of a model must look like.

    Attributes:
        name: Key in `x`.
        shape: Without the batch axis; `None` is any.
        ids: Number of ids if the column holds ids, 0 if it holds numbers.
        least: The lowest id.
    """

    name: str
    shape: tuple[int, ...] | None
    ids: int
    least: int = 0


def columns_of(model: keras.Model) -> dict[str, ColumnSpec]:
    """Reads the columns of a functional model from its graph."""
    return _described(model, model.input)


def columns_of_catalogue(
    model: keras.Model, catalogue: Catalogue
) -> dict[str, ColumnSpec]:
    """Reads from the graph what the columns of a model's catalogue must look like."""
    (node,) = nodes(catalogue)
    by_name = dict.fromkeys(catalogue.values)
    return _described(model, keras.tree.pack_sequence_as(by_name, node.outputs))


def _described(model: keras.Model, tensors: Mapping[str, Any]) -> dict[str, ColumnSpec]:
    """Describes columns by the layers of a model that read their tensors."""
    names = {place(tensor): name for name, tensor in tensors.items()}
    sizes: dict[str, int] = {}
    least: dict[str, int] = {}
    for layer in all_layers(model):
        if isinstance(layer, KnownIds):  # takes whatever an int32 holds
            for name, _ in _readers(layer, names):
                sizes[name], least[name] = 2**31, -(2**31)
        if isinstance(layer, ReadsIds):
            for name, arguments in _readers(layer, names):
                size = layer.num_ids(**arguments)
                sizes[name] = min(size, sizes.get(name, size))
    for name, tensor in tensors.items():
        if name not in sizes and keras.backend.is_int_dtype(tensor.dtype):
            sizes[name], least[name] = 2**31, -(2**31)
    return {
        name: ColumnSpec(
            name, tuple(tensor.shape[1:]), sizes.get(name, 0), least.get(name, 0)
        )
        for name, tensor in tensors.items()
    }


def all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers of a model and of the models inside it."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)


def _readers(
    layer: keras.layers.Layer, names: Mapping[tuple[str, int], str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of the tensors a layer is called on, with the arguments of the call."""
    for node in nodes(layer):
        for tensor in node.input_tensors:
            if (origin := place(tensor)) in names:
                yield names[origin], node.arguments.kwargs


def check_columns(
    columns: Mapping[str, ColumnSpec], x: Mapping[str, Any], values: bool = True
) -> None:
    """Checks a batch or a whole set of rows.

    Args:
        columns: See `columns_of`.
        x: Arrays by name; others than `columns` are ignored.
        values: Whether to look at more than their shapes and types.

    Raises:
        ValueError: If a column is missing, has another shape or number of rows than
            it should, or holds a value the model would not take as it is.
    """
    present = {name: np.asarray(value) for name, value in x.items() if name in columns}
    rows = {name: len(value) for name, value in present.items() if value.ndim}
    for name, column in columns.items():
        if name not in present:
            given = sorted(map(str, x))
            near = difflib.get_close_matches(name, given, n=3)
            raise ValueError(
                f"Column {name!r} is missing. Received: columns {given}"
                + (f"; nearest: {', '.join(near)}" if near else "")
            )
        value = present[name]
        _check_shape(column, value)
        if rows[name] != next(iter(rows.values())):
            raise ValueError(f"All columns must have as many rows. Received: {rows}")
        _check_values(column, value if values else value[:0])


def _check_shape(column: ColumnSpec, value: np.ndarray[Any, Any]) -> None:
    if column.shape is None:
        return
    got = value.shape[1:]
    accepted = [column.shape]
    if column.shape == ():
        accepted.append((1,))
    if column.shape == (1,):
        accepted.append(())
    if not value.ndim or got not in accepted:
        raise ValueError(
            f"Column {column.name!r} must have shape {('rows', *column.shape)}. "
            f"Received: shape {value.shape}"
        )


def _check_values(column: ColumnSpec, value: np.ndarray[Any, Any]) -> None:
    def refuse(wanted: str, bad: np.ndarray[Any, Any]) -> None:
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"Column {column.name!r} must hold {wanted}. Received: {value[at]} in row "
            f"{at[0]}, and {int(bad.sum()) - 1} more"
        )

    if value.dtype.kind not in "biuf":
        raise ValueError(
            f"Column {column.name!r} must hold numbers (ids come from a "
            f"FeaturePipeline). Received: dtype {value.dtype}"
        )
    if not value.size:
        return
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        refuse("finite numbers", ~np.isfinite(value))
    if value.dtype == "float64" and max(value.max(), -value.min()) > LARGEST:
        refuse("numbers that float32 holds", np.abs(value) > LARGEST)
    if column.ids:
        if value.min() < column.least or value.max() >= column.ids:
            wanted = f"ids from {column.least} to {column.ids - 1}"
            refuse(wanted, (value < column.least) | (value >= column.ids))
        if value.dtype.kind == "f" and (value != np.floor(value)).any():
            refuse("whole ids", value != np.floor(value))


def check_groups(groups: Iterable[str], x: Mapping[str, Any], rows: int) -> None:
    """Checks the columns that metrics group rows by.

    Raises:
        ValueError: If one is missing, has another number of rows than it should or
            does not hold integers.
    """
    for name in groups:
        if name not in x:
            raise ValueError(
                f"Column {name!r} is missing, which a metric groups by. "
                f"Received: columns {sorted(map(str, x))}"
            )
        if x[name].dtype.kind not in "iu":
            raise ValueError(
                f"Column {name!r}, which a metric groups by, must hold integers. "
                f"Received: dtype {x[name].dtype}"
            )
        _check_rows(f"Column {name!r}, which a metric groups by,", x[name], [], rows)


def label_shapes(head: PredictLayer | None) -> list[tuple[int, ...]]:
    """Returns the shapes of labels of a head, without the batch axis; none is any."""
    if head is None:
        return []
    one_hot = [(head.num_classes,)] if head.task == "multiclass" else []
    return [(), (1,), *one_hot]


def check_labels(
    labels: Mapping[str, NDArray[Any]],
    heads: Mapping[str, PredictLayer | None],
    rows: int,
    values: bool = True,
) -> None:
    """Checks labels; NaN is a missing one.

    Args:
        labels: Arrays by output.
        heads: Heads by output.
        rows: How many rows there are.
        values: Whether to look at more than their shapes and types.

    Raises:
        ValueError: If labels have another shape or number of rows than they should, or
            one is infinite, more than float32 holds or no number; of a binary task
            none of 0, 1 and NaN, or 1 where that of the task it requires is 0; of a
            multiclass task no class; of a count negative.
    """
    for name, value in labels.items():
        head, whose = heads[name], f"Labels of task {name!r}"
        if value.dtype.kind not in "biuf":
            raise ValueError(f"{whose} must be numbers. Received: dtype {value.dtype}")
        _check_rows(whose, value, label_shapes(head), rows)
        if not values:
            continue
        one_hot = value.shape[1:] not in [(), (1,)]
        good, wanted = _is_small(value), "finite, or NaN where missing"
        if head is not None and head.task == "binary":
            good, wanted = (value == 0) | (value == 1), "0, 1, or NaN where missing"
        elif head is not None and head.task == "multiclass" and one_hot:
            good, wanted = (value >= 0) & (value <= 1), "from 0 to 1 for each class"
        elif head is not None and head.task == "multiclass":
            good = (value >= 0) & (value < head.num_classes) & (value % 1 == 0)
            wanted = f"classes 0 to {head.num_classes - 1}, or NaN where missing"
        elif head is not None and head.task == "count":
            good, wanted = good & (value >= 0), "at least 0, or NaN where missing"
        _check_all(whose, wanted, value, good | np.isnan(value))
        required = None if head is None else head.requires
        if required is not None and required in labels:
            before = labels[required].reshape(-1)
            bad = (value.reshape(-1) == 1) & (before == 0)
            if bad.any():
                raise ValueError(
                    f"{whose} must be 0 where those of {required!r} are. Received: 1 "
                    f"in row {int(bad.argmax())}, and {int(bad.sum()) - 1} more"
                )


def check_positives(labels: Mapping[str, NDArray[Any]]) -> None:
    """Raises `ValueError` if a label, which the model does not read, is not 1."""
    for name, value in labels.items():
        whose = f"This model takes every row for a positive, so labels {name!r}"
        _check_all(whose, "1; leave out the other rows", value, value == 1)


def check_weights(
    whose: str, value: NDArray[Any], rows: int, values: bool = True
) -> None:
    """Checks what weighs rows.

    Args:
        whose: Its name, for errors.
        value: The weights.
        rows: How many rows there are.
        values: Whether to look at more than their shape and type.

    Raises:
        ValueError: If weights have another shape or number of rows than they should,
            or one is no number, negative, not finite, or more than float32 holds.
    """
    if value.dtype.kind not in "biuf":
        raise ValueError(f"{whose} must be numbers. Received: dtype {value.dtype}")
    _check_rows(whose, value, [(), (1,)], rows)
    value = value if values else value[:0]
    good = (value >= 0) & _is_small(value)
    _check_all(whose, "finite and at least 0", value, good)


def _check_rows(
    whose: str, value: NDArray[Any], shapes: Iterable[tuple[int, ...]], rows: int
) -> None:
    """Checks a shape, of any in `shapes`, and the number of rows."""
    shapes = [*shapes]
    if not value.ndim or (shapes and value.shape[1:] not in shapes):
        wanted = " or ".join(str(("rows", *each)) for each in shapes or [()])
        # Of a dataset there are no rows yet.
        got = (
            value.shape
            if value.size
            else tuple("rows" if not n else n for n in value.shape)
        )
        raise ValueError(f"{whose} must have shape {wanted}. Received: shape {got}")
    if len(value) != rows:
        raise ValueError(
            f"{whose} must have as many rows as the columns, {rows}. Received: "
            f"{len(value)} rows"
        )


def _is_small(value: NDArray[Any]) -> Any:
    """Whether each is a number that float32 holds."""
    if value.dtype == "float64":
        return np.abs(value) <= LARGEST
    return np.isfinite(value)


def _check_all(whose: str, wanted: str, value: NDArray[Any], good: Any) -> None:
    if not good.all():
        at = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(
            f"{whose} must be {wanted}. Received: {value[at]} in row {at[0]}, and "
            f"{int((~good).sum()) - 1} more"
        )
