"""From columns to the rows of tables, each made once for a model."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self, TypeVar, get_args

import keras

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.inputs.columns import make_input
from recsys.inputs.content import Making, with_content
from recsys.inputs.histories import id_column
from recsys.inputs.tables import (
    check_same_column,
    fields_by_name,
    make_table,
    widened,
    with_unknown,
)
from recsys.layers.aggregation import get_agg_layer
from recsys.layers.elementary import Bias
from recsys.layers.grouped import KnownIds
from recsys.layers.masking import ValidPositions
from recsys.types import Tensor

_Made = TypeVar("_Made")

OutOfRange = Literal["error", "unknown"]


class Lookup:
    """Owns the Keras inputs and the tables of one model.

    Attributes:
        inputs: `{Field.name: keras.Input}`, in order of first use.
        tables: The layers by name.
    """

    def __init__(
        self,
        *field_lists: Sequence[Field],
        times: int = 1,
        oov_domain: OutOfRange = "error",
    ) -> None:
        self.inputs: dict[str, Tensor] = {}
        if oov_domain not in get_args(OutOfRange):
            raise ValueError(
                f"oov_domain must be one of {get_args(OutOfRange)}. "
                f"Received: oov_domain={oov_domain!r}"
            )
        by_name = fields_by_name(field_lists)
        self._num_known = {
            field.emb: field.vocabulary_size
            for field in by_name.values()
            if field.belong == "domain" and field.is_table and oov_domain == "unknown"
        }
        by_name = {
            name: with_unknown(field) if field.emb in self._num_known else field
            for name, field in by_name.items()
        }
        self._fields = widened(by_name, times)
        self._times = times
        self.tables: dict[str, keras.layers.Layer] = {}
        self._made: dict[Hashable, Any] = {}
        self._given: dict[str, Tensor] = {}
        self._set = ""

    def __repr__(self) -> str:
        fields, tables = [*self._fields], [*self.tables]
        return f"{type(self).__name__}({fields=}, {tables=})"

    def another(
        self, name: str, times: int = 1, fields: Sequence[Field] | None = None
    ) -> Self:
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
            other._fields = fields_by_name([fields])
            for column in self._fields.keys() & other._fields.keys():
                check_same_column(self._fields[column], other._fields[column])
        other._fields = widened(other._fields, times)
        other._times = self._times * times
        return other

    @property
    def prefix(self) -> str:
        """How the names of the tables begin."""
        return f"embedding_{self._set}"

    def resolve(self, fields: Sequence[Field]) -> list[Field]:
        """Returns fields of the embedder with the attributes of their tables."""
        return [self._fields[field.name] for field in fields]

    def provide(self, columns: Mapping[str, Tensor]) -> None:
        """Gives columns that the model makes itself, by name, in place of inputs."""
        self._given.update(columns)

    def column(self, name: str) -> Tensor:
        """Returns a column of the fields by its name.

        It is what `provide` gave, or the Keras input; where `oov_domain="unknown"`
        holds the same with one id for all unknown ones.
        """
        if name in self._given:
            return self._given[name]
        field = self._fields[name]
        if name not in self.inputs:
            self.inputs[name] = make_input(field)
        column = self.inputs[name]
        if field.emb not in self._num_known:
            return column
        known = KnownIds(self._num_known[field.emb], name=layer_name(f"known_{name}"))
        return self.once(("known", name), lambda: known(column))

    def valid(self, field: Field) -> Tensor:
        """Returns which values of a column count; of a history, by its group's ids."""
        if field.belong == "history":
            group = [f for f in self._fields.values() if f.group == field.group]
            field = id_column([f for f in group if f.belong == "history"])
        column = self.column(field.name)
        return self.once(("valid", field.name), lambda: ValidPositions()(column))

    def lookup(
        self, field: Field, table: str, dim: int, initializer: Any = None
    ) -> Tensor:
        """Embeds a field by another table than its own, `(batch, dim)`.

        Args:
            field: One of the embedder's fields; several values are pooled as it says,
                a history is averaged.
            table: Start of the table's name; fields with one `emb` share it.
            dim: Its width.
            initializer: Its initializer; default: that of the field.
        """
        return self.vector(self._other(field, dim, initializer), table)

    def lookup_values(
        self, field: Field, table: str, dim: int, initializer: Any = None
    ) -> Tensor:
        """As `lookup`, but several values stay apart: `(batch, length, dim)`."""
        return self.values(self._other(field, dim, initializer), table)

    def linear(self, fields: Sequence[Field], num_logits: int = 1) -> Tensor:
        """Returns the first-order logit `b + sum of w x`, `(batch, num_logits)`.

        One weight for each id or number, zero at the start, in tables named
        `embedding_linear__<emb>`; of several logits, one for each. Several ids are
        pooled as the field says, a history is averaged. The bias is the only one of
        the model.
        """
        table = "embedding_linear__"
        terms = [self.lookup(field, table, num_logits, "zeros") for field in fields]
        return Bias(name="dnn_bias")(terms)

    def vector(self, field: Field, table: str = "") -> Tensor:
        """Returns `(batch, dim)`; several values are pooled as the field says.

        A history is averaged, as `FieldEmbedder` does by default.
        """
        table = table or self.prefix
        rows = self.values(field, table)
        if len(rows.shape) == 2:
            return rows
        kwargs, pooling = {"valid": self.valid(field)}, "mean"
        if field.belong != "history":
            pooling = field.pooling
            if field.weight:
                kwargs["weights"] = self.column(field.weight)
        name = f"pool_{table}{field.name}"
        layer: Callable[..., Tensor] = get_agg_layer(
            f"{pooling}_pooling", name=layer_name(name)
        )
        return self.once(name, lambda: layer(rows, **kwargs))

    def values(self, field: Field, table: str = "") -> Tensor:
        """Returns `(batch, dim)`, of several values `(batch, length, dim)`.

        Args:
            field: With the attributes of its table, see `resolve`.
            table: Start of the table's name; default: that of the embedder's own.
        """
        table = table or self.prefix
        column = self.column(field.name)
        several = field.is_table and len(column.shape) > 1
        valid = self.valid(field) if several else None
        return self.once(
            ("values", table, field.emb, field.name),
            lambda: self.embedded(field, table, column, valid),
        )

    def embedded(
        self, field: Field, table: str, column: Tensor, valid: Tensor | None
    ) -> Tensor:
        """Returns the rows of a table for a column; those of one behaviour pooled."""
        if valid is None or not field.is_table:
            return self._rows(field, table, column, None)
        if field.values == 1:
            return self._rows(field, table, column, valid)
        each = ValidPositions()(column)
        pool: Callable[..., Tensor] = get_agg_layer(f"{field.pooling}_pooling")
        return pool(self._rows(field, table, column, each), valid=each)

    def once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """Returns what `make` returned when it was first called for a key."""
        if key not in self._made:
            self._made[key] = make()
        made: _Made = self._made[key]
        return made

    def _rows(
        self, field: Field, table: str, column: Tensor, valid: Tensor | None
    ) -> Tensor:
        if field.content is not None:
            making = Making(self.tables, self.once, self.prefix)
            return with_content(making, field, field.content, table, column, valid)
        name = table + field.emb
        if name not in self.tables:
            several = len(column.shape) > 1
            self.tables[name] = make_table(field, layer_name(name), several)
        layer: Callable[..., Tensor] = self.tables[name]
        return layer(column) if valid is None else layer(column, valid=valid)

    def _other(self, field: Field, dim: int, initializer: Any) -> Field:
        (known,) = self.resolve([field])
        return replace(
            known,
            dim=dim,
            initializer=known.initializer if initializer is None else initializer,
            vocabulary_size=max(known.vocabulary_size, 1),
        )
