"""`recsys models`: a table of models."""

from collections.abc import Sequence

from recsys.about import about

HEAD = ("name", "family", "year", "title", "tasks", "needs")


def table(names: Sequence[str]) -> str:
    """Returns a line for each model, however long; the head above."""
    rows = [HEAD] + [
        (
            *(a.name, a.family, str(a.papers[0].year)),
            *(a.title, a.tasks, ", ".join(a.needs)),
        )
        for a in map(about, names)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
