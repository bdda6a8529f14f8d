"""Columns that know the answer: how well each of them alone tells a label.

A number is judged by its order, a category by the rate of the label among half of the
rows, judged on the other half: the rate of a value with one row would be the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ibis

from recsys.data.layout import ROW
from recsys.data.raw import NUMBERS, family_of
from recsys.runs.init.answers import Answer
from recsys.runs.init.rows import Rows
from recsys.runs.init.who import Who

MOST_AUC = 0.9
MOST_ABOVE = 0.1  # the best id
LEAST_ID_AUC = 0.6  # below, the ids say too little to compare with
HALVES = 2048  # bits of a hash that do not draw the sample
CHANCE = 1e-6  # that all rows with a value have one label by chance


@dataclass(frozen=True)
class Alone:
    """How well a column alone tells a label.

    Args:
        auc: Of the order that it gives, or for a number of the opposite one.
        positives, negatives: Rows of label 1 and 0 with a value, 0 aside.
    """

    auc: float
    positives: int
    negatives: int


def leaks_of(
    rows: Rows, inputs: Mapping[str, bool], answers: Sequence[Answer], who: Who
) -> dict[str, str]:
    """Returns which columns know an answer -> the number that says so.

    An attribute of a user or an item, which does not change with the event, is one by
    its AUC alone.

    Args:
        rows: The rows.
        inputs: Columns that a model would read -> whether by their order.
        answers: The labels.
        who: The ids, with which others are compared.
    """
    rates = {answer.source: answer.rate for answer in answers}
    labels = {answer.source: _label(rows.sample, answer) for answer in answers}
    if not labels:
        return {}
    ids = [alone(rows, name, False, labels) for name in (who.user, who.item) if name]
    best = {name: max((each[name].auc for each in ids), default=1) for name in labels}
    limits = {name: max(best[name], LEAST_ID_AUC) + MOST_ABOVE for name in labels}
    leaks = {}
    for name, is_number in inputs.items():
        if name in (who.user, who.item):
            continue
        found = alone(rows, name, is_number, labels)
        by_auc = sorted(found, key=lambda label: -found[label].auc)
        far = max(found, key=lambda label: found[label].auc - limits[label])
        if found[by_auc[0]].auc > MOST_AUC:
            leaks[name] = _told(by_auc[0], found)
        elif name in who.owners:
            continue
        elif filled := _filled(found, {label: rates[label] for label in by_auc}):
            leaks[name] = filled
        elif found[far].auc > limits[far]:
            leaks[name] = (
                f"{_told(far, found)}, the best id with one of {best[far]:.3f}"
            )
    return leaks


def alone(
    rows: Rows, name: str, is_number: bool, labels: Mapping[str, Any]
) -> dict[str, Alone]:
    """Returns how well a column alone tells each label.

    Args:
        rows: The rows, of which those are taken that are looked at.
        name: The column.
        is_number: Whether its order is judged.
        labels: Name -> expression of 0 and 1.
    """
    table, value = rows.sample, rows.sample[name]
    half = (table[ROW].hash().abs() % HALVES >= HALVES // 2).cast("int8")
    named = {f"//{place}": label for place, label in enumerate(labels.values())}
    long = table.select(value=value, half=half, **named)
    long = long.pivot_longer(list(named), names_to="label", values_to="one")
    long = long.filter(long.one.notnull())
    judged = long.half >= (0 if is_number else 1)
    groups = long.group_by(["label", "value"]).aggregate(
        ones=long.one.sum(where=judged).fill_null(0),
        rows=judged.cast("int64").sum(),
        known_ones=long.one.sum(where=long.half == 0).fill_null(0),
        known=(long.half == 0).cast("int64").sum(),
        all_ones=long.one.sum(),
        all_rows=long.count(),
    )
    filled = groups.value.notnull()
    if family_of(value.type()) in NUMBERS:
        filled = filled & (groups.value.cast("float64") != 0)
    of_label = ibis.window(group_by="label")
    prior = groups.known_ones.sum().over(of_label) / groups.known.sum().over(of_label)
    groups = groups.mutate(
        score=groups.value.cast("float64")
        if is_number
        else (groups.known_ones + prior) / (groups.known + 1),
        filled_ones=filled.ifelse(groups.all_ones, 0),
        filled_rows=filled.ifelse(groups.all_rows, 0),
    )
    sums = ("ones", "rows", "filled_ones", "filled_rows")
    groups = groups.group_by(["label", "score"]).aggregate(
        **{name: groups[name].sum() for name in sums}
    )
    zeros = groups.rows - groups.ones
    rising = ibis.window(
        group_by="label", order_by=groups.score.asc(nulls_first=True), following=0
    )
    groups = groups.mutate(pairs=groups.ones * (zeros.sum().over(rising) - zeros / 2))
    found = rows.run(
        groups.group_by("label").aggregate(
            pairs=groups.pairs.sum(),
            ones=groups.ones.sum(),
            zeros=(groups.rows - groups.ones).sum(),
            positives=groups.filled_ones.sum(),
            filled=groups.filled_rows.sum(),
        )
    ).to_pylist()
    names = dict(zip(named, labels, strict=True))
    return {names[each["label"]]: _alone(each, is_number) for each in found}


def _alone(found: Mapping[str, Any], is_number: bool) -> Alone:
    pairs = found["ones"] * found["zeros"]
    auc = found["pairs"] / pairs if pairs else 0.5
    positives = int(found["positives"])
    return Alone(
        max(auc, 1 - auc) if is_number else auc,
        positives,
        int(found["filled"]) - positives,
    )


def _told(label: str, found: Mapping[str, Alone]) -> str:
    return f"alone it tells {label!r} with an AUC of {found[label].auc:.3f}"


def _filled(found: Mapping[str, Alone], rates: Mapping[str, float]) -> str:
    """Says of which label alone there are values, `""` if of both."""
    for label, rate in rates.items():
        of = found[label]
        for one, there, others, share in (
            (1, of.positives, of.negatives, rate),
            (0, of.negatives, of.positives, 1 - rate),
        ):
            if not others and share**there < CHANCE:
                return (
                    f"it has a value other than 0 only where {label!r} is {one}, in "
                    f"{there:,} rows"
                )
    return ""


def _label(table: Any, answer: Answer) -> Any:
    value = table[answer.source].cast("float64")
    return (value >= answer.good[0]).cast("float64")
