"""From raw event files or frames to the input of a model."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from recsys.data.learned import Learned
from recsys.data.progress import working
from recsys.data.writing import checked_path
from recsys.feature._constraints import Constraint, Flag, Integer, Maybe, checked
from recsys.feature.field import Field, Role
from recsys.feature.schema.columns import (
    FIRST_ID,
    Column,
    MultiValue,
    Numeric,
    RawColumn,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.vector import Vector

if TYPE_CHECKING:  # what imports Ibis is imported where it is needed
    import tensorflow as tf

    from recsys.data.prepared import Prepared
    from recsys.data.written import Written


STREAM_ABOVE = 2**28  # bytes; a run has three such parts
_OF_DATASET: dict[str, Constraint] = {
    "batch_size": Integer(1),
    "seed": Maybe(Integer()),
    "shuffle": Flag(),
    "drop_remainder": Flag(),
}
Dim = int | Mapping[str, int] | Callable[[int], int]


class FeaturePipeline(Learned):
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
            `MultiValue`, `Vector` and `History` declarations.
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
    >>> pipeline.fields(dim=8)[0]
    Field('item', dim=8, vocabulary_size=4, belong='item', reserved=2)
    >>> pipeline
    FeaturePipeline(columns=['item', 'price'], labels=['click'], fitted=True)
    """

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

        vectors = {
            column.of: fitted.vectors[column.name].content(column)
            for column in self.schema.vectors
        }

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
                content=vectors.get(owner.name),
                **options,
            )

        fields = []
        for column in self.schema.of_rows.columns:
            options: dict[str, Any] = {}
            if isinstance(column, MultiValue):
                for key in ("length", "group", "pooling", "weight"):
                    options[key] = getattr(column, key)
            if isinstance(column, Vector):
                fields.append(
                    Field(
                        column.name,
                        vocabulary_size=0,
                        length=column.length,
                        belong=column.belong,
                        dtype="float32",
                        fingerprint=fingerprint,
                    )
                )
            elif isinstance(column, RawColumn):
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
        taken from 64 random places. The events of histories are sorted on the disk, and
        so are those of files that are not streamed.

        Args:
            data: The rows. Labels may be absent, from all or none of the rows. Or a
                folder that `write` wrote.
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
                streams files whose model input is larger than 256 MiB.
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
            RuntimeError, FileNotFoundError, TypeError, ValueError: As in `transform`;
                or a folder of `write` is not whole, or of another pipeline.
        """
        from recsys.data.dataset import Order, dataset_of

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
        epoch, step = map(int, start)  # those of NumPy would overflow
        with working("Transforming the data"), self._rows(data, events) as rows:
            if streaming == "auto":
                size = 4 * rows.num_rows * sum(slot.width for slot in rows.part.slots)
                streaming = rows.is_of_files and size > STREAM_ABOVE
            order = Order(plain.pop("seed"), epoch, step, shuffle, streaming)
            return dataset_of(rows, order, **plain)

    def write(self, data: Any, folder: str | Path, *, events: Any = None) -> None:
        """Writes the model input of some rows, what `transform` returns, into a folder.

        The data are never in memory as a whole, unless they are given so: what is
        sorted is sorted on the disk. `dataset` reads the folder, and so does whatever
        reads parquet. It appears whole or not at all, and one written before is
        replaced.

        Args:
            data: The rows.
            folder: Gets parts `part-00000.parquet` and so on, in the order of the rows.
            events: As in `transform`.

        Raises:
            FileExistsError: If there is anything else at its place.
            FileNotFoundError: If there is no folder for this one.
            OSError: If the disk is full.
            RuntimeError, TypeError, ValueError: As in `transform`.
        """
        from recsys.data.written import write_parts

        path = checked_path("write: folder", folder)
        prepare = self._prepared("write", data, events)
        with working("Transforming the data"), prepare as prepared:
            write_parts(prepared, path)

    @contextmanager
    def _rows(self, data: Any, events: Any) -> "Iterator[Prepared | Written]":
        """Data as model input, or what `write` made of them."""
        from recsys.data.written import Written, is_written

        if not is_written(data):
            with self._prepared("dataset", data, events) as prepared:
                yield prepared
            return
        if events is not None:
            raise ValueError(
                "dataset: events must be left out of what `write` wrote, which has its "
                f"histories. Received: data={str(data)!r}, with events"
            )
        known_by = self._fingerprint(self._learned("dataset"))
        yield Written.of(Path(data), self.schema, known_by)


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
