"""Titles of items, which no model reads, but people do."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recsys.data.raw import as_category
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.events import KEY, opened
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.wanted import Wanted

TITLES = ("title", "name")


def title_in(columns: Iterable[str], item: str | None) -> str | None:
    """Returns which column of items has their titles, if any.

    Args:
        columns: Names of the columns.
        item: The one of the ids.
    """
    there = [*columns]
    return next((name for name in TITLES if name in there and name != item), None)


def with_titles(items: Any, wanted: Wanted, base: Path, engine: Engine) -> Any:
    """Returns a catalogue with the titles that `data.items` has, if it has any.

    Args:
        items: Table of `ITEM` and raw columns.
        wanted: What is read.
        base: The folder that relative files are seen from.
        engine: What reads the files.
    """
    data = wanted.config.data
    if not data.items or title_in(items.columns, data.item):
        return items
    source = opened(wanted, base, data.items, engine, TITLES)
    title = title_in(source.table.columns, data.item)
    if title is None:
        return items
    ids = as_category(source.table, "data.item", str(data.item))
    titles = source.table.select(**{KEY: ids, title: title})
    with source.reading():
        return engine.keep(
            items.left_join(titles, [items[ITEM] == titles[KEY]]).drop(KEY)
        )
