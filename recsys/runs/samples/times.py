"""When shares of the events have happened."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.data.history import TIME
from recsys.data.writing import temporary_folder
from recsys.runs.reading import Read
from recsys.runs.samples.engine import embedded
from recsys.runs.samples.events import read_events
from recsys.runs.samples.kept import kept_events, without_missing
from recsys.runs.samples.split import first_times
from recsys.runs.samples.wanted import Wanted


def times_of_shares(read: Read, shares: Sequence[float]) -> list[Any]:
    """Returns the first times after shares of the events that become rows.

    Args:
        read: The run, with names of files that are seen from anywhere.
        shares: From 0 to 1.

    Returns:
        Numbers, dates or timestamps as `split.until` takes them; `None` for a share
        after which there is no event of another time.

    Raises:
        FileNotFoundError, ValueError: As in `write_samples`.
    """
    wanted = Wanted(read.config, read.schema)
    with (
        temporary_folder() as folder,
        embedded(Path(folder) / "engine") as engine,
    ):
        events = read_events(wanted, Path(), engine)
        keys, _ = kept_events(events, wanted, engine)
        keys, _ = without_missing(keys, [TIME], engine)
        times = first_times(keys, shares, engine)
        kind = times.schema().types[0]
        if kind.is_decimal():
            times = times.cast(dict.fromkeys(times.columns, "float64"))
        if kind.is_timestamp():
            micro = kind.copy(scale=6)
            times = times.cast(dict.fromkeys(times.columns, micro))
        (found,) = engine.run(times).to_pylist()
    return [*found.values()]
