"""From raw event files or frames to the input of a model."""

import dataclasses
import hashlib
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.fitted import Fitted
from recsys.data.layout import ROW, Part, by_row, fill, packed_room, room
from recsys.data.progress import working
from recsys.data.reader import FINGERPRINT, as_arrow, as_columns
from recsys.data.storage import read_pipeline, write_pipeline
from recsys.data.writing import temporary_folder
from recsys.feature._constraints import Constraint, Flag, Integer, Maybe, checked
from recsys.feature.field import Field, Role
from recsys.feature.schema import (
    FIRST_ID,
    UNSEEN,
    Categorical,
    Column,
    Hashed,
    History,
    Label,
    MultiValue,
    Numeric,
    RawColumn,
    Schema,
    Vocabulary,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from recsys.data.history import Windows
    from recsys.data.source import Source

STREAM_ABOVE = 2**31
_OF_DATASET: dict[str, Constraint] = {
    "batch_size": Integer(1),
    "seed": Maybe(Integer()),
    "shuffle": Flag(),
    "drop_remainder": Flag(),
}
_CONNECTING = threading.Lock()
Dim = int | Mapping[str, int] | Callable[[int], int]


class FeaturePipeline:
    """Vocabularies, statistics and histories: fitted once, applied to any data.

    Data is a pandas, polars or Arrow table, a mapping of names to arrays or lists, a
    list of rows, each a dict, an Ibis table, or one or several paths, folders or
    patterns of parquet or CSV files. What exists by a name is meant by it; the types
    that files have in a column must have a common one that holds all their values. What
    is in a column says its file: names of folders (`day=1/`) say nothing. In a CSV file
    dates and times are those of ISO 8601 (`2024-01-05`, `2024-01-05T10:00:00+08:00`),
    and anything else of their kind is text.

    All of the preparation is written as Ibis expressions, which DuckDB runs inside the
    process. Any number of threads may use one pipeline.

    Raw columns have the types that `fit` saw: a column without any value is one of
    missing values, and integers that a gap has made floating are integers.

    Ids are 0 for padding and 1 for unseen or missing values, in every column.

    Args:
        columns: What the model reads: `Categorical`, `Hashed`, `Numeric`, `Bucketed`,
            `MultiValue` and `History` declarations.
        labels: What it predicts: `Label` declarations, or names of binary labels.
        sample_weight: Raw column that weighs the rows in the loss.
        groups: Integer keys in `x` that no layer reads, for metrics per user or query:
            name of the key -> raw column, or a list of raw columns. A key is in
            `[0, 2**31)`: the raw integer itself where it can be, a hash otherwise.
        connection: Another Ibis backend that reads the data and runs the expressions.

    Raises:
        ValueError: If the declarations contradict each other.

    Example:
    >>> from recsys.data import Categorical, Numeric
    >>> pipeline = FeaturePipeline(
    ...     [Categorical("item", belong="item"), Numeric("price")], labels=["click"]
    ... ).fit({"item": ["a", "b", "a"], "price": [1.0, 2.0, 0.5], "click": [1, 0, 1]})
    >>> pipeline.transform({"item": ["b", "c"], "price": [0.0, 4.0]}).to_pydict()
    {'item': [3, 1], 'price': [0.0, 4.0]}
    >>> [field.vocabulary_size for field in pipeline.fields(dim=8)]
    [4, 1]
    """

    def __init__(
        self,
        columns: Sequence[Column],
        labels: Sequence[str | Label] = (),
        sample_weight: str | None = None,
        groups: Mapping[str, str] | Sequence[str] = (),
        connection: Any = None,
    ) -> None:
        self.schema = Schema.from_dict(
            {
                "columns": columns,
                "labels": labels,
                "sample_weight": sample_weight,
                "groups": groups,
            }
        )
        self._connection = connection
        self._fitted: Fitted | None = None

    @classmethod
    def from_yaml(cls, path: str | Path, connection: Any = None) -> "FeaturePipeline":
        """Builds a pipeline, not yet fitted, from a schema file.

        Args:
            path: A file as `Schema.from_yaml` reads it.
            connection: As in `FeaturePipeline`.

        Raises:
            ValueError: If the file is missing, is no YAML or describes no schema.
        """
        return cls._of(Schema.from_yaml(path), connection)

    @classmethod
    def load(cls, path: str | Path, connection: Any = None) -> "FeaturePipeline":
        """Reads a fitted pipeline that `save` wrote.

        Args:
            path: The folder.
            connection: As in `FeaturePipeline`.

        Raises:
            ValueError: If the folder is missing, is something else or is damaged.
        """
        schema, fitted = read_pipeline(path)
        pipeline = cls._of(schema, connection)
        pipeline._fitted = fitted
        return pipeline

    def save(self, path: str | Path) -> None:
        """Writes a folder of readable files: the schema and what `fit` learned.

        The folder appears whole or not at all; a pipeline saved there before is
        replaced.

        Args:
            path: The folder.

        Raises:
            FileExistsError: If the path exists and is anything but a saved pipeline.
            RuntimeError: If the pipeline is not fitted.
        """
        write_pipeline(path, self.schema, self._learned("save"))

    def fit(self, data: Any) -> "FeaturePipeline":
        """Learns vocabularies, quantiles and statistics; from nothing but this data.

        Args:
            data: The training rows, labels and sample weights included.

        Returns:
            The pipeline itself.

        Raises:
            FileNotFoundError: If a path or pattern has no file.
            TypeError: If it is no data.
            ValueError: If a file or column is missing, unreadable, of a wrong type or
                has values that the schema does not allow.
        """
        from recsys.data.fitting import learn
        from recsys.data.preparation import raw_columns
        from recsys.data.source import engine, open_source

        lent = engine(self.connection, [data])
        with working("Opening the data") as report, lent as here:
            read = raw_columns(self.schema, self.schema.columns, {})
            source = open_source(data, here, read)
            with source.reading():
                run = here.to_pyarrow
                self._fitted = learn(self.schema, source, run, report)
        return self

    def transform(
        self, data: Any, *, events: Any = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Returns the model input for some rows, in their order.

        Args:
            data: The rows. Labels may be absent, from all or none of the rows.
            events: Event log of the histories, if it is not the rows themselves: for
                validation rows, for example, the training and validation events.
            columns: Names of the columns of the schema to make, labels and groups left
                out; for a catalogue of items, for example, those of the item.

        Returns:
            Table of int32 ids and group keys, float32 numbers, labels and
            `sample_weight`; histories and multi-value columns are lists of fixed size,
            a history of a multi-value column lists of such lists. Its metadata say
            which pipeline made it, and after which `fit`.

        Raises:
            RuntimeError: If the pipeline is not fitted.
            FileNotFoundError, TypeError, ValueError: As in `fit`; or a raw column has
                changed its type since.
        """
        prepare = self._prepared("transform", data, events, columns)
        with working("Transforming the data"), prepare as prepared:
            table = as_arrow(prepared.columns())
        return table.replace_schema_metadata({FINGERPRINT: prepared.fingerprint})

    def fields(self, dim: Dim = 16) -> list[Field]:
        """Returns the fields of a model that reads the output of `transform`.

        Args:
            dim: Width of the embeddings: a number, a mapping of tables (names of the
                columns that own them) to widths, or a function of the vocabulary size.

        Raises:
            RuntimeError: If the pipeline is not fitted.
            ValueError: If a mapping has no width for a table.
        """
        fitted = self._learned("fields")
        fingerprint = self._fingerprint(fitted)

        def field(name: str, column: Column, **options: Any) -> Field:
            owner = self.schema.owner(column)
            size = fitted.vocabulary_size(owner)
            return Field(
                name,
                emb=owner.name,
                dim=_width(dim, owner.name, size),
                vocabulary_size=size,
                dtype="float32" if isinstance(column, Numeric) else "int32",
                counts=cast("Sequence[int] | None", fitted.counts(owner)),
                reserved=FIRST_ID,
                fingerprint=fingerprint,
                edges=fitted.bins(column),
                **options,
            )

        fields = []
        for column in self.schema.columns:
            options: dict[str, Any] = {}
            if isinstance(column, MultiValue):
                for key in ("length", "group", "pooling", "weight"):
                    options[key] = getattr(column, key)
            if isinstance(column, RawColumn):
                options["belong"] = column.belong
                fields.append(field(column.name, column, **options))
            if isinstance(column, History):
                options = {"length": column.length, "group": column.name}
                options["belong"] = "history"
                for name, of in column.attributes.items():
                    attribute = self.schema.column(of)
                    several: dict[str, Any] = {}
                    if isinstance(attribute, MultiValue):
                        several["values"] = attribute.length
                        several["pooling"] = attribute.pooling
                    fields.append(field(name, attribute, **options, **several))
                own: list[tuple[str | None, Any, Role]] = [
                    (column.age, column.ages, "time"),
                    (column.session, column.length + 1, "session"),
                ]
                for output, size, role in own:
                    if output:
                        options |= {"vocabulary_size": size, "role": role}
                        width = _width(dim, output, size)
                        options["fingerprint"] = fingerprint
                        fields.append(Field(output, dim=width, **options))
        return fields

    def catalogue(self, data: Any, item: str) -> dict[str, np.ndarray]:
        """Returns what is known of each item, as match models take it.

        Args:
            data: Rows with the raw columns of the item; of several rows of an item the
                last one counts.
            item: Name of the column of item ids, a `Categorical` or `Hashed` one with
                `belong="item"`.

        Returns:
            For each other column with `belong="item"` its value for each id of the
            item, `(vocabulary_size,)` or `(vocabulary_size, length)`; zeros for ids
            without a row, and for id 1, which stands for items of any kind.

        Raises:
            RuntimeError: If the pipeline is not fitted.
            FileNotFoundError, TypeError, ValueError: As in `transform`; or `item` names
                no such column.
        """
        column = self.schema.column(item, "catalogue: item")
        if not isinstance(column, (Categorical, Hashed)) or column.belong != "item":
            raise ValueError(
                "catalogue: item must name a Categorical or Hashed column with "
                f"belong='item'. Received: {column!r}"
            )
        names = [
            column.name
            for column in self.schema.columns
            if isinstance(column, RawColumn) and column.belong == "item"
        ]
        found = as_columns(self.transform(data, columns=names))
        size = self._learned("catalogue").vocabulary_size(self.schema.owner(column))
        ids = found.pop(item)
        known = ids != UNSEEN
        catalogue = {}
        for name, values in found.items():
            catalogue[name] = np.zeros((size, *values.shape[1:]), values.dtype)
            catalogue[name][ids[known]] = values[known]
        return catalogue

    def vocabulary(self, name: str) -> pa.Table:
        """Returns what the ids of a column stand for.

        Args:
            name: Name of a column with a vocabulary.

        Returns:
            Table of `id`, `value` and `count` (in the data of `fit`), from id 2.

        Raises:
            RuntimeError: If the pipeline is not fitted.
            ValueError: If there is no such column, or it has no vocabulary.
        """
        fitted = self._learned("vocabulary")
        owner = self.schema.owner(self.schema.column(name))
        if not isinstance(owner, Vocabulary):
            raise ValueError(
                "vocabulary: name must be that of a Categorical or MultiValue column. "
                f"Received: {name!r}, a {type(owner).__name__}"
            )
        words = fitted.vocabularies[owner.name]
        ids = np.arange(FIRST_ID, FIRST_ID + len(words), dtype="int32")
        return words.add_column(0, "id", pa.array(ids))

    def dataset(
        self,
        data: Any,
        batch_size: int,
        *,
        events: Any = None,
        shuffle: bool = False,
        seed: int | None = None,
        drop_remainder: bool = False,
        streaming: bool | Literal["auto"] = "auto",
        start: tuple[int, int] = (0, 0),
    ) -> "tf.data.Dataset":
        """Returns the model input as batches for `fit`, `evaluate` and `predict`.

        In memory, the rows are shuffled exactly. Streaming transforms the data once,
        into temporary files that need 4 bytes for each number of the model input, and
        reads those in each epoch; it shuffles a quarter of a million rows at a time,
        taken from 64 random places. The event log of a history is sorted in memory.

        Args:
            data: The rows. Labels may be absent, from all or none of the rows.
            batch_size: Rows of a batch.
            events: As in `transform`.
            shuffle: Whether each epoch has an order of its own. For `predict` leave it
                off: the order is then that of the data.
            seed: Seed of the orders; the same seed gives the same epochs, whatever else
                is random. Each pass is the next epoch, but each epoch of a `fit` is the
                one of its number, from `initial_epoch`. Over a dataset derived from
                this one by methods (`prefetch`, `map`, `repeat`), `fit` begins with
                `initial_epoch` and each pass is the next; over one that a function
                returns (`interleave`), it goes on. By default the seed is drawn, and
                `fit` takes that of the model, which is in its files, and for each epoch
                the one that the model has not seen.
            drop_remainder: Whether to leave out a last batch that is not full.
            streaming: Whether the rows are on disk instead of in memory. `"auto"`
                streams files whose model input is larger than 2 GiB.
            start: Epoch of the first pass, and how many of its batches to leave out.
                `fit` begins with that epoch too, unless `initial_epoch` says otherwise,
                and the first leaves out so many steps of its first epoch, also where it
                is given a dataset derived from this one.

        Returns:
            Dataset of known cardinality that yields `(x, y)`, or `(x, y,
            sample_weight)` if the schema has sample weights, or `x` if it has no
            labels or the data has none. `x` is a dict of the columns of `fields()`,
            their weights and the groups, `y` a dict by name of label. Without labels in
            the schema the sample weights are the column `sample_weight` of `x`.

        Raises:
            RuntimeError, FileNotFoundError, TypeError, ValueError: As in `transform`.
        """
        from recsys.data.dataset import (
            Order,
            batches,
            checksum,
            from_step,
            in_memory,
            mapped,
            on_disk,
        )

        given = {
            "batch_size": batch_size,
            "seed": seed,
            "shuffle": shuffle,
            "drop_remainder": drop_remainder,
        }
        plain = checked("dataset", given, _OF_DATASET)
        if streaming not in (True, False, "auto"):
            raise ValueError(
                "dataset: streaming must be True, False or 'auto'. "
                f"Received: streaming={streaming!r}"
            )
        if not _is_pair(start):
            raise ValueError(
                "dataset: start must be (epoch, step), integers of at least 0. "
                f"Received: start={start!r}"
            )
        # In Python's integers, those of NumPy would overflow.
        batch_size = plain["batch_size"]
        epoch, step = map(int, start)
        prepare = self._prepared("dataset", data, events)
        with working("Transforming the data"), prepare as prepared:
            slots = prepared.part.slots
            if streaming == "auto":
                size = 4 * prepared.num_rows * sum(slot.width for slot in slots)
                streaming = bool(prepared.source.files) and size > STREAM_ABOVE
            order = Order(plain["seed"], epoch, step, shuffle, streaming)
            if streaming:
                folder = prepared.write()
                rows = mapped(Path(folder.name), slots, prepared.num_rows)
                known = checksum(rows)
                blocks = on_disk(
                    folder,
                    slots,
                    num_rows=prepared.num_rows,
                    batch_size=batch_size,
                    shuffle=shuffle,
                    order=order,
                )
            else:
                block = prepared.block()
                known = checksum(block)
                blocks = in_memory(block, order)
        dataset = batches(
            blocks,
            prepared.part,
            num_rows=prepared.num_rows,
            batch_size=batch_size,
            shuffle=shuffle,
            drop_remainder=drop_remainder,
        )
        whole = dataset
        if order.step:
            dataset = from_step(whole, order)
            dataset.recsys_whole = whole  # `Model.fit` leaves the batches out itself
        for each in (dataset, whole):
            setattr(each, FINGERPRINT, prepared.fingerprint)
            each.recsys_order = order  # `Model.fit` sets its epoch
            each.recsys_rows = prepared.num_rows, batch_size, known
            each.recsys_checked = True  # `Model` need not check these inputs again
        return dataset

    @classmethod
    def _of(cls, schema: Schema, connection: Any) -> "FeaturePipeline":
        parts = schema.columns, schema.labels, schema.sample_weight, schema.groups
        return cls(*parts, connection)

    def _fingerprint(self, fitted: Fitted) -> str:
        columns = self.schema.to_dict()["columns"]
        both = f"{fitted.fingerprint} {columns}"
        return hashlib.sha256(both.encode()).hexdigest()[:16]

    def _learned(self, caller: str) -> Fitted:
        if self._fitted is None:
            raise RuntimeError(f"FeaturePipeline: fit must be called before {caller}")
        return self._fitted

    @property
    def connection(self) -> Any:
        """The Ibis backend that runs the expressions."""
        with _CONNECTING:
            if self._connection is None:
                import ibis

                scratch = temporary_folder()
                weakref.finalize(self, scratch.cleanup)
                self._connection = ibis.duckdb.connect(temp_directory=scratch.name)
        return self._connection

    @contextmanager
    def _prepared(
        self, caller: str, data: Any, events: Any, columns: Sequence[str] | None = None
    ) -> "Iterator[_Prepared]":
        from recsys.data.source import engine

        fitted = self._learned(caller)
        with engine(self.connection, [data, events]) as here:
            yield self._prepare(here, fitted, data, events, columns)

    def _prepare(
        self,
        connection: Any,
        fitted: Fitted,
        data: Any,
        events: Any,
        columns: Sequence[str] | None,
    ) -> "_Prepared":
        from recsys.data.preparation import Preparation, raw_columns
        from recsys.data.source import open_source

        made: Sequence[Column] = self.schema.columns
        if columns is not None:
            listed = isinstance(columns, Sequence) and not isinstance(columns, str)
            if not listed or not columns:
                raise ValueError(
                    "transform: columns must be a list of names, one or more. "
                    f"Received: columns={columns!r}"
                )
            made = [self.schema.column(name) for name in columns]
        read = raw_columns(self.schema, made, fitted.families)
        source = open_source(data, connection, read)
        log = None
        if events is not None:
            log = open_source(events, connection, read)
        if columns is not None:
            part = Part(self.schema, made)
        else:
            raw = {label.source for label in self.schema.labels}
            part = Part.of(self.schema, labels=bool(raw & {*source.table.columns}))
        preparation = Preparation(self.schema, fitted, part)
        histories = [c for c in part.columns if isinstance(c, History)]
        both = source if log is None else source.beside(log)
        with both.reading():
            run = connection.to_pyarrow
            raw, beside = source.table, None if log is None else log.table
            table = preparation.settled(raw, run, beside)
            if log is not None:
                source.check_zones(log, [h.time for h in histories], run)
                beside = preparation.settled(beside, run, raw)
            rows = preparation.rows(table, log=log is None)
            if connection.name != "duckdb":
                rows = rows.cache()  # others may number the rows anew in each use
            num_rows = preparation.check(rows, run, source)
            expression = preparation.model_input(rows, log is None)
            events = [
                (h, None if log is None else preparation.events(rows, beside, h))
                for h in histories
            ]
        known_by = self._fingerprint(fitted)
        return _Prepared(part, num_rows, both, expression, events, connection, known_by)


@dataclass(frozen=True)
class _Prepared:
    """Checked data, and the expressions of the model input made from it."""

    part: Part
    num_rows: int
    source: "Source"
    expression: Any
    events: Sequence[tuple[History, Any]]
    connection: Any
    fingerprint: str

    def columns(self) -> dict[str, np.ndarray]:
        """Evaluates the expressions in memory."""
        columns = room(self.num_rows, self.part.slots)
        self._fill(columns)
        return columns

    def block(self) -> tuple[np.ndarray, np.ndarray]:
        """Evaluates the expressions in memory, columns side by side."""
        block, columns = packed_room(self.num_rows, self.part.slots)
        self._fill(columns)
        return block

    def _fill(self, columns: dict[str, np.ndarray]) -> None:
        with self.source.reading():
            table = by_row(self.connection.to_pyarrow(self.expression))
            fill(columns, table, self.part.slots)
            table = table.drop([n for n in table.column_names if n in columns])
            for windows in self._windows(table):
                windows.cut(0, columns)

    def write(self) -> "tempfile.TemporaryDirectory[str]":
        """Evaluates the expressions into a temporary folder, as `on_disk` reads it."""
        from recsys.data.dataset import write_packed

        folder = temporary_folder()
        path = Path(folder.name) / "rows.parquet"
        with self.source.reading():
            self.connection.to_parquet(self.expression.order_by(ROW), path)
            names = [name for name in self.expression.columns if name[0] == "/"]
            windows = [*self._windows(pq.read_table(path, columns=names))]
        write_packed(path, windows, path.parent, self.part.slots)
        path.unlink()
        return folder

    def _windows(self, rows: pa.Table) -> "Iterator[Windows]":
        import ibis

        from recsys.data.history import Windows

        here = self.connection
        for history, events in self.events:
            if here.name != "duckdb":
                here = ibis.duckdb.connect()
            slots = [
                dataclasses.replace(slot, shape=slot.shape[1:])
                for slot in self.part.slots
                if slot.name in history.attributes
            ]
            log = None if events is None else self.connection.to_pyarrow(events)
            yield Windows.of(history, rows, log, slots, here.to_pyarrow)


def _is_pair(value: Any) -> bool:
    listed = isinstance(value, (tuple, list)) and len(value) == 2
    return listed and all(map(Integer(0).accepts, value))


def _width(dim: Dim, table: str, vocabulary_size: int) -> int:
    if isinstance(dim, Mapping):
        if table not in dim:
            raise ValueError(
                f"fields: dim must have a width for the table {table!r}. "
                f"Received: dim={dim!r}"
            )
        return dim[table]
    return dim(vocabulary_size) if callable(dim) else dim
