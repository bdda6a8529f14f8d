"""Tables that commands write: parquet or CSV, whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from recsys.data.writing import whole_file

WRITERS: dict[str, Callable[..., Any]] = {
    ".parquet": pq.ParquetWriter,
    ".csv": pyarrow.csv.CSVWriter,
}


def check_output(output: Path) -> None:
    """Raises `ValueError` if a file is neither parquet nor CSV."""
    if output.suffix not in WRITERS:
        raise ValueError(
            f"--output must end in .parquet or .csv. Received: {str(output)!r}"
        )


@contextmanager
def writing(output: Path) -> Iterator[Callable[[pa.Table], None]]:
    """Yields what appends a table, of the columns of the first, to a new file."""
    with whole_file(output) as part, ExitStack() as stack:
        writers: list[Any] = []

        def write(table: pa.Table) -> None:
            if not writers:
                made = WRITERS[output.suffix](part, table.schema)
                writers.append(stack.enter_context(made))
            writers[0].write_table(table)

        yield write
