"""From fields to tensors: Keras inputs, tables, pooled histories, concatenation.

embed = FieldEmbedder(fields)
x = embed(fields, history_agg, agg_kwargs)  # one tensor per field, history pooled
x.concat()                # (batch, sum of widths)
x.stack()                 # (batch, num_fields, dim)
x.of("user", "item")      # the part that belongs to users and items
embed.linear(fields)      # first-order logit, with the model's one bias
embed.inputs              # {name: keras.Input}
"""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from zlib import crc32

import keras
import numpy as np

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.layers.aggregation import AGGREGATIONS, get_agg_layer
from recsys.layers.column import InputColumn
from recsys.layers.core import Bias, Split, Zeros
from recsys.layers.embedding import DenseEmbedding, Embedding, PiecewiseLinear, Recency
from recsys.layers.grouped import KnownIds
from recsys.layers.masking import ValidPositions
from recsys.layers.search import TakeSteps
from recsys.train.factory import check_arguments


@dataclass(frozen=True)
class History:
    """The histories of one group: one sequence with several attributes.

    Attributes:
        group: `Field.group`.
        fields: Its attributes, in order.
        sequence: `(batch, length, sum of dims)`, oldest behaviour first.
        valid: `(batch, length)`, bool: where the group's first ids are not 0.
        target: What is compared with the sequence, `(batch, dim)`; `None` if the
            model has neither item nor user fields.
        times: If asked for, `(batch, length)`: the ids of the field whose role is
            `"time"`, or without one the place counted back from the target, 1 being
            the most recent behaviour; 0 is padding.
        num_times: Number of ids of `times`.
        sessions: If asked for and there is such a field, `(batch, length)`: its ids.
    """

    group: str
    fields: tuple[Field, ...]
    sequence: Any
    valid: Any
    target: Any
    times: Any = None
    num_times: int = 0
    sessions: Any = None

    @property
    def length(self) -> int:
        """Most behaviours."""
        return self.fields[0].length

    @property
    def item(self) -> Field:
        """The field whose ids tell behaviour from padding."""
        return _id_column(self.fields)


OutOfRange = Literal["error", "unknown"]


@dataclass(frozen=True)
class Domain:
    """Where each row comes from.

    Attributes:
        name: Name of the field that says so.
        ids: Its column, `(batch,)`; `number` is an unknown domain.
        number: Number of domains, `Field.vocabulary_size`.
    """

    name: str
    ids: Any
    number: int


@dataclass(frozen=True)
class Part:
    """A tensor `(batch, width)` and the fields it holds, side by side."""

    fields: tuple[Field, ...]
    tensor: Any


class Embeddings:
    """The embeddings of a list of fields, in its order.

    Args:
        parts: One for each field; histories of one group may share one.
        times: Vectors of a value, side by side: factor on the `dim` of the fields.
        once: From a key and how to make it to what is made once for a model.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        times: int = 1,
        once: Callable[[str, Callable[[], Any]], Any] = lambda _, make: make(),
    ) -> None:
        self.parts = tuple(parts)
        self.times = times
        self._once = once

    def of(self, *belong: str) -> "Embeddings":
        """Returns the part whose fields belong to one of the given kinds."""
        parts = [part for part in self.parts if part.fields[0].belong in belong]
        return Embeddings(parts, self.times, self._once)

    def concat(self) -> Any:
        """Returns all of it, `(batch, sum of widths)`.

        Raises:
            ValueError: If there is none.
        """
        tensors = [part.tensor for part in self.parts]
        same = f"concat {[id(tensor) for tensor in tensors]}"
        return self._once(same, lambda: concat(tensors))

    def tensors(self) -> list[Any]:
        """Returns one `(batch, dim)` for each field that has an embedding.

        Raw fields (`vocabulary_size=0`) have none and are left out.

        Raises:
            ValueError: If a history was pooled to a width that is not that of its
                fields.
        """
        tensors: list[Any] = []
        for part in self._embedded():
            dims = [field.dim for field in part.fields]
            if part.tensor.shape[-1] != sum(dims):
                names = ", ".join(repr(field.name) for field in part.fields)
                raise ValueError(
                    f"Field {names}: a pooled history must be {sum(dims)} wide, like "
                    f"its fields, to interact with others; set d_model in agg_kwargs."
                    f" Received: width {part.tensor.shape[-1]}"
                )
            tensors += Split(dims)(part.tensor) if len(dims) > 1 else [part.tensor]
        return tensors

    def names(self) -> list[str]:
        """Returns the names of the fields that `tensors()` are of, in its order."""
        return [field.name for part in self._embedded() for field in part.fields]

    def stack(self) -> Any:
        """Returns `of_one_dim()` as one `(batch, num_fields, dim)`.

        It is `concat()` in another shape: of a sum of both uses the gradient is cut
        into fields once.
        """
        tensors = self.of_one_dim()
        embedded = Embeddings(self._embedded(), self.times, self._once)
        return keras.layers.Reshape((len(tensors), -1))(embedded.concat())

    def of_one_dim(self) -> list[Any]:
        """Returns `tensors()`, to be multiplied with each other.

        Raises:
            ValueError: If no field has an embedding, or they differ in `dim`.
        """
        check_embedded([field for part in self.parts for field in part.fields])
        dims = {
            field.name: field.dim // self.times
            for part in self._embedded()
            for field in part.fields
        }
        if len(set(dims.values())) > 1:
            raise ValueError(
                "Embeddings that are multiplied with each other must have one dim. "
                f"Received: {dims}"
            )
        return self.tensors()

    def raw(self) -> list[Any]:
        """Returns the numbers of each field without embedding, `(batch, length)`."""
        parts = [part for part in self.parts if not part.fields[0].vocabulary_size]
        return [part.tensor for part in parts]

    def _embedded(self) -> Iterator[Part]:
        return (part for part in self.parts if part.fields[0].vocabulary_size)


class FieldEmbedder:
    """Owns the Keras inputs and the tables of one model.

    Fields with the same `emb` share a table. A column that appears in two lists, or
    is asked for twice, is read and embedded once.

    Args:
        *field_lists: All fields of the model, in one or more lists.
        times: Factor on the `dim` of all fields, for several vectors a value.
        oov_domain: What becomes of ids outside `[0, vocabulary_size)` in columns of
            domain ids and in others that share their tables: `"error"`, before the
            first step; or `"unknown"`, one more row of the table, whichever they are.

    Attributes:
        inputs: `{Field.name: keras.Input}`, in order of first use.

    Raises:
        ValueError: If a list is empty or names a column twice, two lists disagree
            about a column, or fields disagree about a table; or there is no such
            `oov_domain`.
    """

    def __init__(
        self,
        *field_lists: Sequence[Field],
        times: int = 1,
        oov_domain: OutOfRange = "error",
    ) -> None:
        self.inputs: dict[str, Any] = {}
        if oov_domain not in get_args(OutOfRange):
            raise ValueError(
                f"oov_domain must be one of {get_args(OutOfRange)}. "
                f"Received: oov_domain={oov_domain!r}"
            )
        by_name = _resolve(field_lists)
        self._num_known = {
            field.emb: field.vocabulary_size
            for field in by_name.values()
            if field.belong == "domain" and field.is_table and oov_domain == "unknown"
        }
        by_name = {
            name: _with_unknown(field) if field.emb in self._num_known else field
            for name, field in by_name.items()
        }
        self._fields = _widened(by_name, times)
        self._times = times
        self._made: dict[str, Any] = {}
        self._given: dict[str, Any] = {}
        self._set = ""

    def another(
        self, name: str, times: int = 1, fields: Sequence[Field] | None = None
    ) -> "FieldEmbedder":
        """Returns an embedder of the same inputs with tables of its own.

        Args:
            name: Tables are named `embedding_<name>__<emb>`.
            times: Factor on the `dim` of all fields, for several vectors a value.
            fields: Its fields, if not those of this one; of a column that both have
                the tables may differ in all but the number of ids.

        Raises:
            ValueError: If the embedders disagree about a column.
        """
        other = copy(self)
        other._set = f"{name}__"
        if fields is not None:
            other._fields = _resolve([fields])
            for column in self._fields.keys() & other._fields.keys():
                _same_column(self._fields[column], other._fields[column])
        other._fields = _widened(other._fields, times)
        other._times = self._times * times
        return other

    def __call__(
        self,
        fields: Sequence[Field],
        history_agg: str = "mean_pooling",
        agg_kwargs: Mapping[str, Any] | None = None,
    ) -> Embeddings:
        """Embeds fields and pools their histories.

        Args:
            fields: Some or all of the fields the embedder was made with.
            history_agg: How a history becomes a vector, see `get_agg_layer`; the
                query is the target, see `histories`.
            agg_kwargs: Arguments of that layer.
        """
        histories = {history.group: history for history in self.histories(fields)}
        parts = []
        for field in self.resolve(fields):
            if field.belong != "history":
                parts.append(Part((field,), self._embed(field)))
            elif field.group in histories:  # once, at the first field of the group
                history = histories.pop(field.group)
                pooled = self._pool(history, history_agg, agg_kwargs or {})
                parts.append(Part(history.fields, pooled))
        return Embeddings(parts, self._times, self._once)

    def histories(
        self,
        fields: Sequence[Field],
        apart: Collection[str] = (),
        needed_by: str = "",
        any_width: bool = False,
    ) -> list[History]:
        """Returns the histories among `fields`, not pooled, one for each group.

        The target of a history are the item fields (user fields if there are none)
        that share its tables, in the order of its attributes; zeros stand for an
        attribute without counterpart. If none has one, it is all item fields.

        Args:
            fields: Some or all of the embedder's fields.
            apart: Roles (`"time"`, `"session"`) that are no attributes but wanted by
                themselves.
            needed_by: Name of a model that cannot do without a history and a target.
            any_width: Whether the target may have another width than the history.

        Raises:
            ValueError: If the fields of a group differ in length, or none of them
                holds ids that tell behaviour from padding; or there is not what the
                model needs.
        """
        fields = self.resolve(fields)
        groups: dict[str, list[Field]] = {}
        for field in fields:
            if field.belong == "history":
                groups.setdefault(field.group, []).append(field)
        histories = []
        for group, members in groups.items():
            attributes = [field for field in members if field.role not in apart]
            valid = self._valid(members[0])
            history = History(
                group,
                tuple(attributes),
                concat([self._rows(field) for field in attributes]),
                valid,
                self._target(attributes, fields),
            )
            of_role = {f.role: f for f in members if f.role in apart}
            if "session" in of_role:
                sessions = self.column(of_role["session"].name)
                history = replace(history, sessions=sessions)
            if "time" in of_role:
                field = of_role["time"]
                times, num = self.column(field.name), field.vocabulary_size
                history = replace(history, times=times, num_times=num)
            elif "time" in apart:
                name = layer_name(f"recency_{members[0].name}")
                times = self._once(name, lambda: Recency(name=name)(valid))  # noqa: B023
                history = replace(history, times=times, num_times=history.length + 1)
            histories.append(history)
        if needed_by:
            _check_histories(needed_by, histories, fields, any_width)
        return histories

    def domain(self, needed_by: str, number: int | None = None) -> Domain:
        """Returns the domain of each row.

        Args:
            needed_by: Name of the model that asks.
            number: What the user says is the number of domains.

        Raises:
            ValueError: If not exactly one domain field has ids, or it has another
                number of them.
        """
        of_domain = [field for field in self._fields.values() if field.is_table]
        of_domain = [field for field in of_domain if field.belong == "domain"]
        if len(of_domain) != 1:
            raise ValueError(
                f"{needed_by} needs exactly one field of ids (vocabulary_size of 2 or "
                "more) with belong='domain', which says where a row comes from. "
                f"Received: {[(field.name, field.belong) for field in of_domain]}"
            )
        (field,) = of_domain
        known = self._num_known.get(field.emb, field.vocabulary_size)
        if number not in (None, known):
            raise ValueError(
                f"Field {field.name!r}: vocabulary_size must be num_domain. "
                f"Received: vocabulary_size={known}, num_domain={number}"
            )
        return Domain(field.name, self.column(field.name), known)

    def select(self, history: History, index: Any, chosen: Any) -> History:
        """Returns some of the behaviours of a history, embedded by themselves.

        No gradient reaches the others.

        Args:
            history: What `histories` returned.
            index: Which behaviours, `(batch, number)`, int32.
            chosen: Which of these count, `(batch, number)`, bool.
        """
        table = f"embedding_{self._set}"
        rows = [
            self._embedded(
                field, table, TakeSteps()([self.column(field.name), index]), chosen
            )
            for field in history.fields
        ]
        times = history.times
        if times is not None:
            times = TakeSteps()([times, index])
        return replace(history, sequence=concat(rows), valid=chosen, times=times)

    def linear(self, fields: Sequence[Field], num_logits: int = 1) -> Any:
        """Returns the first-order logit `b + sum of w x`, `(batch, num_logits)`.

        One weight for each id or number, zero at the start, in tables named
        `embedding_linear__<emb>`; of several logits, one for each. Several ids are
        pooled as the field says, a history is averaged. The bias is the only one of
        the model.
        """
        table = "embedding_linear__"
        terms = [self.lookup(field, table, num_logits, "zeros") for field in fields]
        return Bias(name="dnn_bias")(terms)

    def lookup(
        self, field: Field, table: str, dim: int, initializer: Any = None
    ) -> Any:
        """Embeds a field by another table than its own, `(batch, dim)`.

        Args:
            field: One of the embedder's fields; several values are pooled as it says,
                a history is averaged.
            table: Start of the table's name; fields with one `emb` share it.
            dim: Its width.
            initializer: Its initializer; default: that of the field.
        """
        return self._embed(self._other(field, dim, initializer), table)

    def rows(self, field: Field, table: str, dim: int, initializer: Any = None) -> Any:
        """As `lookup`, but several values stay apart: `(batch, length, dim)`."""
        return self._rows(self._other(field, dim, initializer), table)

    def resolve(self, fields: Sequence[Field]) -> list[Field]:
        """Returns fields of the embedder with the attributes of their tables."""
        return [self._fields[field.name] for field in fields]

    def provide(self, columns: Mapping[str, Any]) -> None:
        """Gives columns that the model makes itself, by name, in place of inputs."""
        self._given.update(columns)

    def column(self, name: str) -> Any:
        """Returns a column of the fields by its name.

        It is what `provide` gave, or the Keras input; where `oov_domain="unknown"`
        holds the same with one id for all unknown ones.
        """
        if name in self._given:
            return self._given[name]
        field = self._fields[name]
        if name not in self.inputs:
            shape, dtype = shape_and_type(field)
            options = {"dtype": dtype, "name": name}
            if field.fingerprint is None:
                self.inputs[name] = keras.Input(shape, **options)
            else:
                column = InputColumn(shape, fingerprint=field.fingerprint, **options)
                self.inputs[name] = column.output
        column = self.inputs[name]
        if field.emb not in self._num_known:
            return column
        known = KnownIds(self._num_known[field.emb], name=layer_name(f"known_{name}"))
        return self._once(known.name, lambda: known(column))

    def _once(self, key: str, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _valid(self, field: Field) -> Any:
        """Which values of a column count; for a history, by its group's first ids."""
        if field.belong == "history":
            group = [f for f in self._fields.values() if f.group == field.group]
            field = _id_column([f for f in group if f.belong == "history"])
        name = f"valid_{field.name}"
        column = self.column(field.name)
        return self._once(name, lambda: ValidPositions()(column))

    def _other(self, field: Field, dim: int, initializer: Any) -> Field:
        (known,) = self.resolve([field])
        return replace(
            known,
            dim=dim,
            initializer=known.initializer if initializer is None else initializer,
            vocabulary_size=max(known.vocabulary_size, 1),
        )

    def _rows(self, field: Field, table: str = "") -> Any:
        """Returns `(batch, dim)`, of several values `(batch, length, dim)`."""
        table = table or f"embedding_{self._set}"
        column = self.column(field.name)
        several = field.is_table and len(column.shape) > 1
        valid = self._valid(field) if several else None
        return self._once(
            f"{table}{field.emb}({field.name})",
            lambda: self._embedded(field, table, column, valid),
        )

    def _embedded(self, field: Field, table: str, column: Any, valid: Any) -> Any:
        """Embeds a column; the values of one behaviour are pooled."""
        name = table + field.emb
        several = len(column.shape) > 1
        layer = self._once(name, lambda: _table(field, layer_name(name), several))
        if valid is None or not field.is_table:
            return layer(column)
        if field.values == 1:
            return layer(column, valid=valid)
        each = ValidPositions()(column)
        pool = get_agg_layer(f"{field.pooling}_pooling")
        return pool(layer(column, valid=each), valid=each)

    def _embed(self, field: Field, table: str = "") -> Any:
        """Returns `(batch, dim)`; several values are pooled as the field says.

        A history is averaged, as `__call__` does by default.
        """
        table = table or f"embedding_{self._set}"
        rows = self._rows(field, table)
        if len(rows.shape) == 2:
            return rows
        kwargs, pooling = {"valid": self._valid(field)}, "mean"
        if field.belong != "history":
            pooling = field.pooling
            if field.weight:
                kwargs["weights"] = self.column(field.weight)
        name = f"pool_{table}{field.name}"
        layer = get_agg_layer(f"{pooling}_pooling", name=layer_name(name))
        return self._once(name, lambda: layer(rows, **kwargs))

    def _target(self, members: Sequence[Field], fields: Sequence[Field]) -> Any:
        items = [field for field in fields if field.belong == "item"]
        items = items or [field for field in fields if field.belong == "user"]
        by_table = {field.emb: field for field in reversed(items)}
        if not any(field.emb in by_table for field in members):
            return concat([self._embed(field) for field in items]) if items else None
        return concat(
            [
                self._embed(by_table[field.emb])
                if field.emb in by_table
                else Zeros(field.dim)(self.column(items[0].name))
                for field in members
            ]
        )

    def _pool(self, history: History, agg: str, kwargs: Mapping[str, Any]) -> Any:
        name = layer_name(f"dnn_his_{agg}_{self._set}{history.group}")
        if agg in AGGREGATIONS:  # else the next line says so
            takes = inspect.signature(AGGREGATIONS[agg])
            kwargs = check_arguments(f"history_agg {agg!r}", takes, kwargs)
        layer = get_agg_layer(agg, name=name, **kwargs)
        if agg.endswith("_pooling"):
            inputs = history.sequence
        elif history.target is None:
            raise ValueError(
                f"History group {history.group!r}: history_agg={agg!r} needs a "
                "target: a field with belong='item' or 'user'. Received: none"
            )
        else:
            inputs = [history.target, history.sequence]
        names = ",".join(field.name for field in history.fields)
        return self._once(
            f"{layer.name}({names})", lambda: layer(inputs, valid=history.valid)
        )


def shape_and_type(field: Field) -> tuple[tuple[int, ...], str]:
    """Returns the shape of a row of a column, and the type it has in a model."""
    several = field.belong == "history" or field.length > 1
    shape = (field.length,) if several or field.vocabulary_size == 0 else ()
    shape = (*shape, field.values) if field.values > 1 else shape
    # Ids above 2^24 do not survive in float32, nor 2.7 in an integer.
    return shape, "int32" if field.is_table else "float32"


def _resolve(field_lists: Sequence[Sequence[Field]]) -> dict[str, Field]:
    """Checks the lists; returns the fields by name.

    Each has the attributes of its table, which are those of the fields that declare
    the table's size. Others may leave them out.
    """
    by_name: dict[str, Field] = {}
    owners: dict[str, Field] = {}
    counted: dict[str, Field] = {}
    for fields in field_lists:
        _check_fields(fields)
        names = [field.name for field in fields]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                "fields must be a list of at least one, with distinct names. "
                f"Received: names {names}"
            )
        for field in fields:
            field.check()
            if by_name.setdefault(field.name, field) != field:
                raise ValueError(
                    f"Field {field.name!r} is declared twice, and not alike. "
                    f"Received: {by_name[field.name]} and {field}"
                )
            if field.is_table:
                owners.setdefault(field.emb, field)
            if field.counts is not None:
                _agree(counted.setdefault(field.emb, field), field, "counts")
    for field in list(by_name.values()):
        if field.weight:  # a column of its own, that no table embeds
            weight = Field(field.weight, vocabulary_size=0, length=field.length)
            column = by_name.setdefault(field.weight, weight)
            if shape_and_type(column) != shape_and_type(weight):
                raise ValueError(
                    f"Field {field.name!r}: weight must name a column of "
                    f"{field.length} numbers a row. Received: {column}"
                )
    for name, field in by_name.items():
        owner = owners.setdefault(field.emb, field)
        numbers = field.vocabulary_size == 0 or "int" not in field.dtype
        if owner.is_table and numbers:
            raise ValueError(
                f"Fields {owner.name!r} and {name!r} cannot share the table "
                f"{field.emb!r}: ids have rows, numbers have not. "
                f"Received: {owner} and {field}"
            )
        keys = [*_DEFAULTS]
        if owner.is_table and not field.is_table:  # what it leaves out it does not say
            keys = [k for k in keys if not _alike(getattr(field, k), _DEFAULTS[k])]
        else:
            keys += ["vocabulary_size", "edges"]
        _agree(owner, field, *keys)
        by_name[name] = replace(
            field,
            vocabulary_size=owner.vocabulary_size,
            counts=counted.get(field.emb, owner).counts,
            **{key: getattr(owner, key) for key in _DEFAULTS},
        )
    return by_name


_DEFAULTS = {
    each.name: each.default
    for each in dataclasses.fields(Field)
    if each.name in ("dim", "l2_reg", "regularizer", "initializer")
}
"""What a field says of its table besides its size."""


def _with_unknown(field: Field) -> Field:
    """The field with one more row in its table."""
    counts = None if field.counts is None else [*field.counts, 1]
    return replace(field, vocabulary_size=field.vocabulary_size + 1, counts=counts)


def _widened(fields: Mapping[str, Field], times: int) -> dict[str, Field]:
    return {name: replace(f, dim=f.dim * times) for name, f in fields.items()}


def _agree(one: Field, other: Field, *keys: str) -> None:
    for key in keys:
        values = getattr(one, key), getattr(other, key)
        if not _alike(*values):
            if key == "counts":
                values = np.asarray(values[0]), np.asarray(values[1])  # shown in short
            raise ValueError(
                f"Fields {one.name!r} and {other.name!r} share the table {one.emb!r} "
                f"and must agree on {key}. Received: {values[0]} and {values[1]}"
            )


def _alike(one: Any, other: Any) -> bool:
    """Whether two values of an option of a table say the same."""
    if type(one) is type(other) and hasattr(one, "get_config"):
        return bool(one.get_config() == other.get_config())
    return bool(one is other or np.array_equal(one, other))


def _same_column(one: Field, other: Field) -> None:
    penalties = ("l2_reg", "regularizer", "counts")
    tables = ("emb", "dim", "initializer", *penalties, "group", "pooling")
    alike = replace(other, **{key: getattr(one, key) for key in tables})
    if alike != one:
        raise ValueError(
            f"Field {one.name!r} is declared twice, and not alike. "
            f"Received: {one} and {other}"
        )


def _check_histories(
    model: str,
    histories: Sequence[History],
    fields: Sequence[Field],
    any_width: bool,
) -> None:
    if not histories:
        raise ValueError(
            f"{model} needs a field with belong='history'. "
            f"Received: {[(field.name, field.belong) for field in fields]}"
        )
    for history in histories:
        width = None if history.target is None else history.target.shape[-1]
        if width is None or not (any_width or width == history.sequence.shape[-1]):
            raise ValueError(
                f"History group {history.group!r}: {model} compares behaviours with "
                "the target, whose item fields must share the tables of the history "
                "or be as wide. Received: "
                f"{[(field.name, field.emb, field.dim) for field in history.fields]} "
                f"and a target of width {width}"
            )


def _id_column(group: Sequence[Field]) -> Field:
    lengths = {field.name: field.length for field in group}
    ids = [
        field
        for field in group
        if field.is_table and field.role == "attribute" and field.values == 1
    ]
    if not ids or len(set(lengths.values())) > 1:
        raise ValueError(
            f"History group {group[0].group!r}: its fields must have one length, and "
            f"one of them ids whose 0 is padding. Received: lengths {lengths}, "
            f"ids {[field.name for field in ids]}"
        )
    return ids[0]


def _table(field: Field, name: str, several: bool) -> Any:
    """The layer from a column, of one or several values, to its embedding."""
    initializer = _fresh(field.initializer, name)
    if field.edges is not None:
        return PiecewiseLinear(
            field.dim,
            field.edges,
            initializer,
            field.l2_reg,
            field.regularizer,
            name=name,
        )
    if not field.is_table:
        vector = several and field.belong != "history"
        return DenseEmbedding(
            field.dim,
            int(field.vocabulary_size > 0),
            initializer,
            field.l2_reg,
            field.length if vector else None,
            field.regularizer,
            name=name,
        )
    layer = Embedding(
        field.vocabulary_size,
        field.dim,
        initializer,
        field.l2_reg,
        field.regularizer,
        name=name,
    )
    if field.l2_reg and field.counts is not None:
        layer.build()
        layer.counts.assign(np.maximum(field.counts, 1))
    return layer


def _fresh(initializer: Any, name: str) -> Any:
    """A new initializer for one table: a shared instance repeats its numbers."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] = crc32(f"{config['seed']} {name}".encode())
    return initializer.__class__.from_config(config)


def _check_fields(fields: Sequence[Field]) -> None:
    """Raises `ValueError` if this is no list of fields."""
    listed = isinstance(fields, (list, tuple))
    if not listed or not all(isinstance(field, Field) for field in fields):
        raise ValueError(f"fields must be a list of Field. Received: fields={fields!r}")


def check_embedded(fields: Sequence[Field]) -> None:
    """Raises `ValueError` if no field has an embedding to interact with others."""
    if not any(field.vocabulary_size for field in fields):
        sizes = {field.name: field.vocabulary_size for field in fields}
        raise ValueError(
            "fields: one at least must have an embedding (a vocabulary_size of 1 or "
            "more), for this model lets embeddings interact. Received: "
            f"vocabulary_size {sizes}"
        )


def concat(tensors: Sequence[Any]) -> Any:
    """Returns tensors side by side; a single one as it is."""
    if not tensors:
        raise ValueError("This model needs fields that the list does not have.")
    return keras.layers.Concatenate()(tensors) if len(tensors) > 1 else tensors[0]


def split_histories(
    fields: Sequence[Field], short_groups: Collection[str]
) -> tuple[list[Field], list[Field]]:
    """Returns all but the short histories, and all but the long ones.

    Args:
        fields: All fields of a model.
        short_groups: Groups of the short histories; all others are long.

    Raises:
        ValueError: If there is no such group.
    """
    groups = {field.group for field in fields if field.belong == "history"}
    if unknown := set(short_groups) - groups:
        raise ValueError(
            f"short_groups: there is no history group {sorted(unknown)}. "
            f"Received: groups {sorted(groups)}"
        )
    short = {f.name: f.belong == "history" and f.group in short_groups for f in fields}
    long = [f for f in fields if not short[f.name]]
    return long, [f for f in fields if f.belong != "history" or short[f.name]]


def build_feature_embeddings(
    fields: Sequence[Field],
    inputs_dict: dict[str, Any] | None = None,
    disable: Sequence[str] | str | None = "task",
    prefix: str = "embedding/",
    return_list: bool = False,
    global_emb_table_dict: dict[str, Any] | None = None,
) -> Any:
    """Embeds fields in the form of version 1; `FieldEmbedder` is the new way.

    Args:
        fields: All fields.
        inputs_dict: Filled with the Keras inputs. Without it they are returned too.
        disable: Kinds of fields the model does not take.
        prefix: Start of the tables' names.
        return_list: Whether to leave the embeddings of a group in a list.
        global_emb_table_dict: Tables to share with other calls, by name; filled.

    Returns:
        `{belong: tensor}`, or `{belong: {group: tensor}}` where there are several
        groups; a history is `(batch, length, width)`, others `(batch, width)`. With
        `return_list` lists of tensors in place of tensors, always by group. Without
        `inputs_dict` a pair of the inputs and that dict.

    Raises:
        ValueError: If a field belongs to a disabled kind.
    """
    _check_fields(fields)
    refused = [disable] if isinstance(disable, str) else list(disable or ())
    for field in fields:
        if field.belong in refused:
            raise ValueError(
                f"Field {field.name!r}: this model takes no {refused} fields. "
                f"Received: belong={field.belong!r}"
            )
    embed = FieldEmbedder(fields)
    embed.inputs = inputs = {} if inputs_dict is None else inputs_dict
    tables = {} if global_emb_table_dict is None else global_emb_table_dict
    table = prefix.replace("/", "_")
    embed._made |= {table + name: layer for name, layer in tables.items()}
    groups: dict[str, dict[str, list[Any]]] = {}
    for field in embed.resolve(fields):
        rows = embed._rows if field.belong == "history" else embed._embed
        group = groups.setdefault(field.belong, {}).setdefault(field.group, [])
        group.append(rows(field, table))
        tables[field.emb] = embed._made[table + field.emb]
    embeddings: dict[str, Any] = {}
    for belong, of_group in groups.items():
        if return_list:
            embeddings[belong] = of_group
        else:
            merged = {name: concat(tensors) for name, tensors in of_group.items()}
            only = next(iter(merged.values()))
            embeddings[belong] = merged if len(merged) > 1 else only
    return embeddings if inputs_dict is not None else (inputs, embeddings)


def concatenate(
    embeddings_dict: Mapping[str, Any], names: Sequence[str] | None = None
) -> Any:
    """Concatenates what `build_feature_embeddings` returned, or some kinds of it.

    Args:
        embeddings_dict: `{belong: tensor}`.
        names: The kinds, in order; default: all.
    """
    kinds = embeddings_dict if names is None else names
    return concat([embeddings_dict[kind] for kind in kinds])
