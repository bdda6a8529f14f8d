"""Draws items that a user did not choose, the same ones on every engine.

What is drawn is a function of the seed, the row and the number of the try alone: the
MD5 of these says the place in the pool. An item counts as chosen by a user who has any
event with it, also a later one, or one that is no row: to train that it is not wanted,
or to test so, would be wrong, and the model would be told what happens later.
"""

from typing import Any

import ibis

from recsys.data.history import USER
from recsys.data.layout import ROW
from recsys.data.vocabulary import text_hash
from recsys.runs.samples.catalogue import PLACE
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.kept import ITEM
from recsys.runs.samples.split import DIGITS

ROUNDS = 8  # of twice as many tries each
NUMBER, TRY, WANTED, WEIGHT = "//number", "//try", "//wanted", "//weight"


def drawn(
    keys: Any, chosen: Any, pool: Any, per_event: int, seed: int, engine: Engine
) -> tuple[Any, list[str]]:
    """Draws items for each event: none twice, and none that its user chose.

    Args:
        keys: Table of `ROW` and `USER`, the events.
        chosen: Table of `USER` and `ITEM`, each pair once.
        pool: Table of `PLACE` and `ITEM`, each row of which is drawn alike.
        per_event: How many are drawn for an event.
        seed: Of what is drawn.
        engine: What runs the steps.

    Returns:
        Table of `ROW`, `NUMBER` (from 1 on) and `ITEM`; a sentence, if some events have
        less.
    """
    pool = engine.keep(pool)
    size = engine.rows(pool)
    weights = engine.keep(pool.group_by(ITEM).aggregate(**{WEIGHT: pool.count()}))
    lacking = _events(keys, chosen, weights, per_event)
    short = lacking[WANTED] < per_event
    counted = engine.one(lacking, n=short.sum().fill_null(0), rows=lacking.count())
    notes = []
    if counted["n"]:
        notes.append(
            f"{counted['n']:,} of {counted['rows']:,} events have less than "
            f"{per_event} negatives, as there are no more items that their users did "
            "not choose."
        )
    lacking = engine.keep(lacking.filter(lacking[WANTED] > 0))
    done, partial, tried = [], None, 0
    for number in range(ROUNDS + 1):
        if not engine.rows(lacking):
            break
        if number < ROUNDS:
            tries = per_event * 2**number
            table = _tried(lacking, pool, size, range(tried, tried + tries), seed)
            tried += tries
        else:
            table = _all(lacking, weights, tried, seed)
        new = table.anti_join(chosen, [USER, ITEM])
        new = new.group_by([ROW, WANTED, ITEM]).aggregate(**{TRY: new[TRY].min()})
        if partial is not None:
            new = new.anti_join(partial, [ROW, ITEM])
            new = new.union(partial.select(*new.columns))
        place = ibis.row_number().over(group_by=ROW, order_by=[TRY, ITEM])
        found = new.mutate(**{NUMBER: place + 1})
        found = engine.keep(found.filter(found[NUMBER] <= found[WANTED]))
        enough = found.filter(found[NUMBER] == found[WANTED]).select(ROW)
        done.append(found.semi_join(enough, ROW).select(ROW, NUMBER, ITEM))
        partial = found.anti_join(enough, ROW)
        lacking = engine.keep(lacking.anti_join(enough, ROW))
    if not done:
        empty = lacking.cross_join(weights)
        done = [empty.select(ROW, ITEM, **{NUMBER: empty[WEIGHT]}).limit(0)]
    return engine.keep(ibis.union(*done) if done[1:] else done[0]), notes


def _events(keys: Any, chosen: Any, weights: Any, per_event: int) -> Any:
    """Each event, and how many items there are to draw for it."""
    there = chosen.semi_join(weights, ITEM)
    there = there.group_by(USER).aggregate(**{WEIGHT: there.count()})
    joined = keys.select(ROW, USER).left_join(there, USER)
    total = weights.count().as_scalar()
    left = total - joined[WEIGHT].fill_null(0)
    return joined.select(
        ROW, USER, **{WANTED: ibis.least(left, per_event).cast("int64")}
    )


def _tried(lacking: Any, pool: Any, size: int, tries: range, seed: int) -> Any:
    """Items at random places of the pool, so many for each event."""
    numbers = ibis.range(tries.start, tries.stop).unnest().name(TRY).as_table()
    each = lacking.cross_join(numbers.mutate(**{TRY: numbers[TRY].cast("int64")}))
    place = text_hash(_text(each, TRY, seed), DIGITS) % size
    return each.mutate(**{PLACE: place}).inner_join(pool, PLACE).drop(PLACE)


def _all(lacking: Any, weights: Any, tried: int, seed: int) -> Any:
    """All items for each event, as if drawn until none is left.

    The logarithm of a number between 0 and 1, divided by the weight, is in the order in
    which items are drawn one after another without those before (Efraimidis and
    Spirakis, 2006).
    """
    each = lacking.cross_join(weights)
    share = (text_hash(_text(each, ITEM, seed), DIGITS) + 0.5) / 16.0**DIGITS
    order = [(share.ln() / each[WEIGHT]).desc(), each[ITEM]]
    place = ibis.row_number().over(group_by=ROW, order_by=order)
    return each.mutate(**{TRY: tried + place}).drop(WEIGHT)


def _text(table: Any, name: str, seed: int) -> Any:
    row, value = table[ROW].cast("string"), table[name].cast("string")
    return ibis.literal(f"negatives/{seed}/") + row + "/" + value
