"""What a first run is made of: histories, groups, samples, split and model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.runs.init.answers import Answer, main_of
from recsys.runs.init.kinds import Column
from recsys.runs.init.names import free
from recsys.runs.init.roles import Roles
from recsys.runs.init.who import Who

HISTORY, LENGTH, MOST_OF = "seen", 20, 4


@dataclass(frozen=True)
class Start:
    """A first run; each reason is a comment.

    Args:
        labels: Those that it learns.
        rare: Those that it leaves out, as too few rows have them.
        history: Entry of the schema, and why it is as it is; or `None`.
        groups: As in the schema.
        samples, split, model: Sections, and why they are so.
        metrics: As in `evaluation`.
    """

    labels: Sequence[Answer]
    rare: Sequence[Answer]
    history: tuple[Mapping[str, Any], str] | None
    groups: Mapping[str, str]
    samples: tuple[Mapping[str, Any], str]
    split: tuple[Mapping[str, Any], str]
    model: tuple[str, str]
    metrics: Sequence[str]


def start_of(
    roles: Roles, who: Who, answers: Sequence[Answer], columns: Sequence[Column]
) -> Start:
    """Returns what a first run is made of.

    Args:
        roles: What each file is for.
        who: The user, item and time.
        answers: The labels.
        columns: What becomes of each column.
    """
    rare = [answer for answer in answers if answer.is_rare]
    rare = rare if len(rare) < len(answers) else []
    labels = [answer for answer in answers if answer not in rare]
    inputs = [column for column in columns if column.is_input]
    taken = [column.name for column in inputs]
    taken += [answer.name for answer in answers]
    history = _history(who, labels, inputs, taken)
    if history:
        name = history[0]["name"]
        taken += [name, *(f"{name}_{of}" for of in history[0]["of"])]
    groups = {} if who.user is None else {free("user", taken, "_key"): who.user}
    raw = [column.seen.name for column in columns]
    samples = _samples(who, labels, [*raw, *taken, *groups])
    num_labels = len(labels) or len(samples[0])
    return Start(
        labels,
        rare,
        history,
        groups,
        samples,
        _split(roles, who, columns),
        _model(num_labels, history is not None),
        ["auc", "gauc", "log_loss"] if groups else ["auc", "log_loss"],
    )


def _history(
    who: Who, labels: Sequence[Answer], inputs: Sequence[Column], taken: Sequence[str]
) -> tuple[dict[str, Any], str] | None:
    """What the user did before, of the item and its attributes."""
    ids = [c for c in inputs if c.is_one_id and c.belong == "item"]
    item = [column.name for column in ids if column.seen.name == who.item]
    if not item or who.user is None or who.time is None:
        return None
    of = [*item, *(c.name for c in ids if c.name not in item)][:MOST_OF]
    name = HISTORY
    others = {each.lower() for each in taken}
    while {name, *(f"{name}_{each}".lower() for each in of)} & others:
        name += "_before"
    entry = {
        "kind": "history",
        "name": name,
        "of": of,
        "length": LENGTH,
        "user": who.user,
        "time": who.time,
    }
    main = main_of(labels)
    if not labels:
        return entry, "Of all events: each is one that the user chose."
    if main is None:
        return entry, (
            "Of all events, since no label is clearly the main one. A history of what "
            "was only shown says little: `where` takes the events that count, such as "
            f"{{{labels[0].source}: 1}}."
        )
    good = [*main.good]
    entry["where"] = {main.source: good if main.rule else good[0]}
    return entry, (
        "Only events that the user answered well, as what was but shown says little; "
        "and only those before the row, so that none sees its own answer."
    )


def _samples(
    who: Who, labels: Sequence[Answer], taken: Sequence[str]
) -> tuple[dict[str, Any], str]:
    rules = {answer.name: answer.rule for answer in labels if answer.rule}
    if rules:
        shares = [f"{a.rate:.1%} of {a.source}" for a in labels if a.rule]
        return {"labels": rules}, (
            "A guess, by the upper quarter of the scale: " + ", ".join(shares)
        )
    if labels or who.item is None:
        return {}, ""
    label = free("chosen", taken, "_item")
    return {"negatives": {"label": label, "per_event": 4}}, (
        "No column looks like an answer, so each event is one that the user chose; of "
        "the items that the user did not choose some are drawn beside it. Whether a "
        "column knows the answer could not be looked at"
    )


def _split(
    roles: Roles, who: Who, columns: Sequence[Column]
) -> tuple[dict[str, Any], str]:
    if roles.valid:
        return {"by": "files"}, "By the names of the files"
    shares = {"valid": 0.1, "test": 0.1}
    if who.time is None:
        return {"by": "ratio", **shares}, (
            "Rows at random, as no column looks like a time; where there is one, a cut "
            "in it says more of use"
        )
    seen = next(c.seen for c in columns if c.seen.name == who.time)
    cuts = [seen.quantiles.get(share, 0) for share in (0.8, 0.9, 1.0)]
    if not cuts[0] < cuts[1] < cuts[2]:
        return {"by": "ratio", **shares}, (
            f"Rows at random: {who.time} has too few different times for a cut in it"
        )
    why = "One cut in time for all, as in use: what comes later tests"
    if seen.missing:
        why += f"; {seen.missing:,} rows without a time are left out"
    return {"by": "time", **shares}, why


def _model(num_labels: int, has_history: bool) -> tuple[str, str]:
    if num_labels > 1:
        return "mmoe", f"a first model for {num_labels} labels"
    if num_labels and has_history:
        return "din", "a first model for one label and a history"
    return "deepfm", "a first model for one label without a history"
