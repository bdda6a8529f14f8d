"""From files to the YAML of a first run."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recsys.data.progress import working
from recsys.data.writing import whole_file
from recsys.runs.init.answers import answers_of
from recsys.runs.init.draft import LEAK, Draft
from recsys.runs.init.kinds import columns_of
from recsys.runs.init.leaks import leaks_of
from recsys.runs.init.roles import roles_of
from recsys.runs.init.rows import database, rows_of
from recsys.runs.init.seen import look
from recsys.runs.init.starting import start_of
from recsys.runs.init.who import who_of
from recsys.runs.init.written import written


def init(files: Sequence[str], output: Path) -> Draft:
    """Looks at files, and writes one commented YAML, a run to edit and to train.

    Args:
        files: CSV or parquet, folders of it or patterns: events; beside them items or
            users, with a row for each; or events in files named train, valid and test.
        output: The YAML.

    Returns:
        What was found and written.

    Raises:
        OSError: If a file is missing, or the YAML is there or cannot be written.
        ValueError: If a file is unreadable, or they are not what is described above.
    """
    output = Path(output)
    _check_output(output)
    with working("Reading the files") as report, database() as connection:
        roles = roles_of(files, connection, connection.to_pyarrow)
        rows = rows_of(roles, connection)
        report("Looking at each column")
        seen = look(rows)
        report("Looking for users, items and times")
        who = who_of(rows, seen, roles.keys)
        answers = answers_of(rows, seen, who)
        columns = columns_of(seen, who, answers)
        inputs = {
            column.seen.name: column.is_number for column in columns if column.is_input
        }
        report("Looking for columns that know the answer")
        leaks = leaks_of(rows, inputs, answers, who)
    columns = [
        replace(column, left_out=LEAK + leaks[column.seen.name])
        if column.seen.name in leaks
        else column
        for column in columns
    ]
    if not any(column.is_input for column in columns):
        reasons = "; ".join(f"{c.seen.name}: {c.left_out or c.kind}" for c in columns)
        raise ValueError(
            f"{roles.tables['events'].name} must have a column that a model can read. "
            f"Received: {reasons}"
        )
    start = start_of(roles, who, answers, columns)
    draft = Draft(roles, rows.total, rows.sampled, who, columns, start)
    text = written(draft, output)
    with whole_file(output) as part:
        part.write_text(text, encoding="utf-8")
        _check_output(output)
    return draft


def _check_output(output: Path) -> None:
    """Raises `OSError` if there is something already, or no folder for it."""
    if os.path.lexists(output):
        raise FileExistsError(
            f"{output} must be new, as what is there may be edited. Received: "
            f"{'a folder' if output.is_dir() else 'a file that is there'}"
        )
    if not output.absolute().parent.is_dir():
        raise FileNotFoundError(
            f"{output} must be in a folder that is there. Received: {output.parent}"
        )
