"""Columns that tell a label which they should not know."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import ibis

from recsys.feature.schema.columns import Label
from recsys.runs.samples.engine import Engine
from recsys.runs.samples.looked import VALUE, Looked, label_of

TOO_GOOD = 0.9
ABOVE_IDS = 0.1
LEAST_ROWS = 20  # of each class; of less an AUC of 0.9 says nothing
LABEL, SCORE = "//label", "//score"


def leaks(
    train: Any, test: Any, label: Label, columns: Sequence[Looked], engine: Engine
) -> list[str]:
    """Returns a sentence for each column that by itself tells a binary label too well.

    That is with an AUC above `TOO_GOOD`, or by more than `ABOVE_IDS`, and what is by
    chance, above the better of user and item. Numbers are ranked as they are, or the
    other way round, missing ones below all others. Categories are ranked by the mean of
    the label in the training rows.

    Args:
        train: Training rows, which rank the categories.
        test: Rows that judge.
        label: A binary label.
        columns: What is looked at; lists are not.
        engine: What runs it.
    """
    train, known = (
        table.mutate(**{LABEL: label_of(table, label)}).filter(ibis._[LABEL].notnull())
        for table in (train, test)
    )
    sizes = {f"{value}": (known[LABEL] == value).sum() for value in (0, 1)}
    found = {key: n or 0 for key, n in engine.one(known, **sizes).items()}
    if min(found.values()) < LEAST_ROWS:
        return [
            f"Label {label.name!r}: leaks cannot be looked for, as test has "
            f"{found['0']:,} rows of 0 and {found['1']:,} of 1."
        ]
    columns = [column for column in columns if not column.is_list]
    by_itself = {
        column.source: _auc_of(train, known, column, engine) for column in columns
    }
    ids = [by_itself[column.source] for column in columns if column.is_id]
    ones, zeros = found["1"], found["0"]
    chance = 2 * sqrt((ones + zeros + 1) / (12 * ones * zeros))
    told = []
    for column in columns:
        auc = by_itself[column.source]
        above = bool(ids) and auc > max(0.5, *ids) + ABOVE_IDS + chance
        if not column.is_id and (auc > TOO_GOOD or above):
            beside = f" (the better of the ids: {max(ids):.3f})" if ids else ""
            told.append(
                f"{column.who} by itself has an AUC of {auc:.3f} on label "
                f"{label.name!r}{beside}: it may be known only afterwards."
            )
    return told


def _auc_of(train: Any, test: Any, column: Looked, engine: Engine) -> float:
    if column.is_number:
        rows = test.select(LABEL, **{SCORE: column.value(test)})
        found = auc(rows, engine)
        return max(found, 1 - found)
    train = train.select(LABEL, **{VALUE: column.value(train).fill_null("")})
    mean: float = engine.one(train, mean=train[LABEL].mean())["mean"]
    means = train.group_by(VALUE).aggregate(
        **{SCORE: (train[LABEL].sum() + mean) / (train.count() + 1)}
    )
    test = test.select(LABEL, **{VALUE: column.value(test).fill_null("")})
    rows = test.left_join(means, VALUE)
    return auc(rows.select(LABEL, **{SCORE: rows[SCORE].fill_null(mean)}), engine)


def auc(rows: Any, engine: Engine) -> float:
    """Returns the share of pairs of a 1 and a 0 of which the 1 has the higher score.

    Args:
        rows: Table of `SCORE`, of which missing is the lowest, and `LABEL`, 0 or 1.
        engine: What runs it. Equal scores count one half.
    """
    positive = rows[LABEL].sum()
    by_score = rows.group_by(SCORE).aggregate(
        positives=positive, negatives=rows.count() - positive
    )
    lower = by_score.negatives.sum().over(
        ibis.window(
            order_by=[by_score[SCORE].notnull(), by_score[SCORE]], preceding=(None, 1)
        )
    )
    by_score = by_score.mutate(lower=lower.fill_null(0))
    pairs = by_score.positives * (by_score.lower + by_score.negatives / 2)
    found = engine.one(
        by_score,
        pairs=pairs.sum(),
        ones=by_score.positives.sum(),
        zeros=by_score.negatives.sum(),
    )
    return float(found["pairs"] / (found["ones"] * found["zeros"]))
