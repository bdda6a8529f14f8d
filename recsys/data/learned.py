"""A schema and what `fit` learned, in memory and in files."""

import hashlib
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from recsys.data.fitted import Fitted
from recsys.data.layout import Selection
from recsys.data.progress import working
from recsys.data.reader import FINGERPRINT, as_arrow, as_columns
from recsys.data.storage import read_pipeline, write_pipeline
from recsys.data.writing import temporary_folder
from recsys.feature.schema.columns import (
    FIRST_ID,
    UNSEEN,
    Categorical,
    Column,
    Hashed,
    Label,
    RawColumn,
    Vocabulary,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema

if TYPE_CHECKING:  # what imports Ibis is imported where it is needed
    from recsys.data.prepared import Prepared

CONNECTING = threading.Lock()


class Learned:
    """A schema, what `fit` learned of it, and the engine that applies both."""

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

    def __repr__(self) -> str:
        columns = [column.name for column in self.schema.columns]
        labels = [label.name for label in self.schema.labels]
        fitted = self._fitted is not None
        return f"{type(self).__name__}({columns=}, {labels=}, {fitted=})"

    @classmethod
    def from_yaml(cls, path: str | Path, connection: Any = None) -> Self:
        """Builds a pipeline, not yet fitted, from a schema file.

        Args:
            path: A file as `Schema.from_yaml` reads it.
            connection: As in `FeaturePipeline`.

        Raises:
            ValueError: If the file is missing, is no YAML or describes no schema.
        """
        return cls._of(Schema.from_yaml(path), connection)

    @classmethod
    def load(cls, path: str | Path, connection: Any = None) -> Self:
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

    def fit(self, data: Any, items: Any = None) -> Self:
        """Learns vocabularies, quantiles and statistics; from nothing but this data.

        Args:
            data: The training rows, labels and sample weights included.
            items: Rows with the vectors of items, and their ids, if these are not in
                `data`, see `Vector`.

        Returns:
            The pipeline itself.

        Raises:
            FileNotFoundError: If a path or pattern has no file.
            TypeError: If it is no data.
            ValueError: If a file or column is missing, unreadable, of a wrong type or
                has values that the schema does not allow; or there are `items` and no
                vectors of theirs.
        """
        from recsys.data.fitting import learn
        from recsys.data.raw import raw_columns
        from recsys.data.source import engine, open_source

        vectors, ours = self.schema.vectors, self.schema.of_rows
        if items is not None and not vectors:
            raise ValueError(
                "fit: items must be left out of a schema without vectors of items. "
                f"Received: columns {[column.name for column in ours.columns]}"
            )
        lent = engine(self.connection, [data, items])
        with working("Opening the data") as report, lent as here:
            there = [self.schema.column(str(each.of)) for each in vectors]
            of_items = raw_columns(self.schema, [*there, *vectors], {})
            read = raw_columns(ours, ours.columns, {})
            if items is None:
                read = {**of_items, **read}
            source = open_source(data, here, read)
            beside = source if items is None else open_source(items, here, of_items)
            with source.reading():
                run = here.to_pyarrow
                self._fitted = learn(self.schema, source, run, report, beside)
        return self

    @classmethod
    def _of(cls, schema: Schema, connection: Any) -> Self:
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
        with CONNECTING:
            if self._connection is None:
                import ibis

                scratch = temporary_folder()
                weakref.finalize(self, scratch.cleanup)
                self._connection = ibis.duckdb.connect(temp_directory=scratch.name)
        return self._connection

    @contextmanager
    def _prepared(
        self, caller: str, data: Any, events: Any, columns: Sequence[str] | None = None
    ) -> "Iterator[Prepared]":
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
    ) -> "Prepared":
        from recsys.data.preparation import Preparation
        from recsys.data.prepared import Prepared
        from recsys.data.raw import raw_columns
        from recsys.data.rules import check
        from recsys.data.settling import settled
        from recsys.data.source import open_source

        schema = self.schema.of_rows
        made: Sequence[Column] = schema.columns
        if columns is not None:
            listed = isinstance(columns, Sequence) and not isinstance(columns, str)
            if not listed or not columns:
                raise ValueError(
                    "transform: columns must be a list of names, one or more. "
                    f"Received: columns={columns!r}"
                )
            made = [schema.column(name) for name in columns]
        read = raw_columns(schema, made, fitted.families)
        source = open_source(data, connection, read)
        log = None
        if events is not None:
            log = open_source(events, connection, read)
        if columns is not None:
            part = Selection(schema, made)
        else:
            raw = {label.source for label in schema.labels}
            part = Selection.of(schema, labels=bool(raw & {*source.table.columns}))
        preparation = Preparation(schema, fitted, part)
        histories = [c for c in part.columns if isinstance(c, History)]
        both = source if log is None else source.beside(log)
        with both.reading():
            run = connection.to_pyarrow
            raw, beside = source.table, None if log is None else log.table
            types = part, fitted.families, run
            table = settled(raw, *types, beside)
            if log is not None:
                source.check_zones(log, [h.time for h in histories], run)
                beside = settled(beside, *types, raw)
            rows = preparation.typed_rows(table, log=log is None)
            if connection.name != "duckdb":
                rows = rows.cache()  # others may number the rows anew in each use
            num_rows = check(rows, preparation, run, source)
            expression = preparation.model_input(rows, log is None)
            events = [
                (h, None if log is None else preparation.events(rows, beside, h))
                for h in histories
            ]
        known_by = self._fingerprint(fitted)
        return Prepared(part, num_rows, both, expression, events, connection, known_by)

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
            for column in self.schema.of_rows.columns
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
