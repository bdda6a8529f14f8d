"""Where the vectors of items are read, which no row has."""

from typing import cast

import ibis

from recsys.data.source import open_source
from recsys.feature._names import nearest
from recsys.feature.schema.columns import RawColumn
from recsys.feature.schema.schema import Schema
from recsys.runs.reading import Read


def files_of_vectors(read: Read, schema: Schema) -> list[str] | None:
    """Returns the files of the vectors of items, `None` if a schema has none.

    These are those of `data.items`, if they have them, or else those of all events.

    Args:
        read: The configuration, its files as seen from anywhere.
        schema: All that it declares.

    Raises:
        ValueError: If neither have all vectors, and the ids of their items beside
            them; with the line.
    """
    if not schema.vectors:
        return None
    items = [schema.column(str(vector.of)) for vector in schema.vectors]
    both = [*schema.vectors, *(cast(RawColumn, item) for item in items)]
    wanted = {column.source for column in both}
    data, split = read.config.data, read.config.split
    known: set[str] = set()
    for files in (data.items, [*data.files, *split.valid_files, *split.test_files]):
        if files:
            source = open_source(files, ibis.duckdb.connect(), {})
            if wanted <= {*source.table.columns}:
                return files
            known |= {*source.table.columns}
    lacking = sorted(wanted - known) or sorted(wanted)
    raise ValueError(
        f"{read.origin.where('schema', 'columns')}: the files of data.items, or those "
        f"of events, must have {sorted(wanted)}, which are the vectors of items and "
        f"their ids. Received: {nearest(lacking[0], known)}; lacking {lacking}"
    )
