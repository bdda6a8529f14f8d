"""From events to the rows that train, choose the epoch and test, in files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ibis

from recsys.data.history import USER
from recsys.data.layout import ROW
from recsys.data.raw import such
from recsys.data.vocabulary import text_hash
from recsys.data.writing import whole_folder
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Config, Negatives
from recsys.runs.matching.kind import is_match
from recsys.runs.samples.catalogue import catalogue, items_of_parts, pool
from recsys.runs.samples.engine import Engine, engine_of
from recsys.runs.samples.events import Events, read_events
from recsys.runs.samples.kept import ITEM, kept_events, key_columns
from recsys.runs.samples.negatives import NUMBER, drawn
from recsys.runs.samples.split import DIGITS, PART, PARTS, with_parts
from recsys.runs.samples.titles import with_titles
from recsys.runs.samples.wanted import Wanted

EVENTS, ITEMS = "events", "items"


class Candidates(Protocol):
    """Draws hard negatives, see `recsys.runs.stages.hard`."""

    def draw(
        self,
        events: Events,
        keys: Any,
        items: Any,
        chosen: Any,
        per_event: int,
        seed: int,
        engine: Engine,
    ) -> tuple[Any, list[str]]: ...


@dataclass(frozen=True)
class Written:
    """What `write_samples` wrote.

    Args:
        rows: Part -> its rows.
        notes: What was left out, in whole sentences with numbers.
    """

    rows: Mapping[str, int]
    notes: Sequence[str]


@dataclass(frozen=True)
class Samples:
    """Samples that are not yet written.

    Args:
        tables: Of each part, `EVENTS` if the schema has histories, and `ITEMS` for a
            match model: an Ibis table in the order of the files, or of the items.
        notes: As in `Written`.
    """

    tables: Mapping[str, Any]
    notes: Sequence[str]


def write_samples(
    config: Config, base: Path, folder: Path, candidates: Candidates | None = None
) -> Written:
    """Makes the rows of each part, by the engine that the run names.

    `train.parquet`, `valid.parquet` and `test.parquet` have the raw columns that the
    run reads. Their rows are in the order of the files, negatives behind their event.
    `events.parquet`, of schemas with histories, has what histories may hold: all
    events, also those that are no row; of a split by ratio, which knows no earlier and
    later, those that train.

    Args:
        config: The run.
        base: The folder that relative files are seen from.
        folder: The folder to write, which appears whole or not at all.
        candidates: Draws hard negatives, where the run wants them.

    Raises:
        FileNotFoundError: If there is no such file, or no folder for this one.
        FileExistsError: If there is anything else at its place.
        OSError: If the disk is full.
        ValueError: If the data are not as the run says, or a part has no rows.
    """
    names = [f"{name}.parquet" for name in (*PARTS, EVENTS, ITEMS)]
    with (
        whole_folder(folder, names) as whole,
        engine_of(
            config.data.engine, whole.with_name(f"{whole.name}-scratch")
        ) as engine,
    ):
        samples = make_samples(config, base, engine, candidates)
        whole.mkdir()
        rows = {
            name: engine.write(table, whole / f"{name}.parquet")
            for name, table in samples.tables.items()
        }
    return Written({name: rows[name] for name in PARTS}, samples.notes)


def make_samples(
    config: Config, base: Path, engine: Engine, candidates: Candidates | None = None
) -> Samples:
    """Returns what `write_samples` writes, as tables of any engine."""
    wanted = Wanted(config, Schema.from_dict(config.declared).of_rows)
    events = read_events(wanted, base, engine)
    keys, notes = kept_events(events, wanted, engine)
    keys, left_out = with_parts(keys, config.split, events.rows, engine)
    notes = [*events.notes, *notes, *left_out]
    options = config.samples.negatives
    if options is not None:
        items, fewer = catalogue(events, keys, wanted, engine)
        negatives, short = _negatives(
            events, keys, items, wanted, options, engine, candidates
        )
        notes += [*fewer, *short]
    tables = {}
    for place, name in enumerate(PARTS):
        part = keys.filter(keys[PART] == place).select(ROW)
        rows = _positives(events.table.inner_join(part, ROW), name, wanted, engine)
        if options is None:
            rows = rows.mutate(**{NUMBER: ibis.literal(0, "int64")})
        else:
            rows = _with_negatives(rows, negatives, items, wanted, options.label)
        if name == "train":
            rows = _with_less_negatives(rows, wanted)
        tables[name] = rows.order_by(ROW, NUMBER).drop(ROW, NUMBER)
    if wanted.histories:
        log = events.table
        if config.split.by == "ratio":
            log = log.semi_join(keys.filter(keys[PART] == 0), ROW)
        tables[EVENTS] = log.order_by(ROW).select(*wanted.of_events)
    if is_match(config):
        items, _ = catalogue(events, keys, wanted, engine)  # the others are not known
        items = with_titles(items, wanted, base, engine)
        tables[ITEMS] = items.order_by(ITEM).drop(ITEM)
    return Samples(tables, notes)


def _positives(rows: Any, part: str, wanted: Wanted, engine: Engine) -> Any:
    """The rows that are choices, of a match model."""
    if not wanted.positives:
        return rows
    found = engine.keep(rows.filter(such(rows, "samples.positives", wanted.positives)))
    if not engine.rows(found):
        raise ValueError(
            "samples.positives must leave rows of each part. Received: none of "
            f"{engine.rows(rows):,} in {part}"
        )
    return found


def _with_less_negatives(rows: Any, wanted: Wanted) -> Any:
    """Rows without some of those of label 0, drawn by their place and the seed."""
    keep = wanted.config.training.keep_negatives
    if keep == 1:
        return rows
    (label,) = wanted.schema.labels
    place = rows[ROW].cast("string") + "/" + rows[NUMBER].cast("string")
    text = ibis.literal(f"kept/{wanted.config.samples.seed}/") + place
    kept = text_hash(text, DIGITS) / 16.0**DIGITS < keep
    return rows.filter((rows[label.source] != 0).fill_null(True) | kept)


def _negatives(
    events: Events,
    keys: Any,
    items: Any,
    wanted: Wanted,
    options: Negatives,
    engine: Engine,
    candidates: Candidates | None,
) -> tuple[Any, list[str]]:
    named = key_columns(events.table, wanted)
    chosen = events.table.select(**{key: named[key] for key in (USER, ITEM)})
    chosen = engine.keep(chosen.distinct())
    seed = wanted.config.samples.seed
    parts, notes = [], []
    for part, there in items_of_parts(items, keys, wanted.config.split.by):
        if candidates is not None:
            negatives, short = candidates.draw(
                events, part, there, chosen, options.per_event, seed, engine
            )
            parts.append(negatives)
            notes += short
            continue
        negatives, short = drawn(
            part,
            chosen,
            pool(there, keys, options.by),
            options.per_event,
            seed,
            engine,
        )
        parts.append(negatives)
        notes += short
    return ibis.union(*parts) if parts[1:] else parts[0], notes


def _with_negatives(
    rows: Any, negatives: Any, items: Any, wanted: Wanted, label: str
) -> Any:
    """Events and, for each, its negatives: the same but for item and labels.

    What other labels are of an item that was not chosen, nobody knows.
    """
    own = [name for name in items.columns if name in rows.columns]
    labels = {label.source for label in wanted.schema.labels} | {*wanted.made}
    unknown = {
        name: ibis.null(rows[name].type())
        for name in rows.columns
        if name in labels and name not in own
    }
    others = rows.drop(*own).inner_join(negatives, ROW).inner_join(items, ITEM)
    others = others.mutate(**{**unknown, label: ibis.literal(0.0)})
    rows = rows.mutate(**{NUMBER: ibis.literal(0, "int64")})
    return rows.union(others.select(*rows.columns))
