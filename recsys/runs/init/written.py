"""A draft as a commented YAML."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recsys.runs.config import Training, Tuning
from recsys.runs.init.draft import Draft
from recsys.runs.init.kinds import Column

WIDTH = 88
MOST_UP = 2  # folders that a relative name climbs


class _Dumper(yaml.SafeDumper):
    """Of a text with a line break, PyYAML would make several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def written(draft: Draft, output: Path) -> str:
    """Returns the text of a draft.

    Args:
        draft: What is in it.
        output: Where it is to be written, from whose folder files are seen.
    """
    parts = [
        _head(draft, output.name),
        _data(draft, output.absolute().parent),
        [*_inputs(draft), *_history(draft), *_left_out(draft), *_labels(draft)],
        _samples(draft),
        _split(draft, output.absolute().parent),
        [*_match(draft), *_model(draft)],
        _tuning(output.name),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _head(draft: Draft, name: str) -> list[str]:
    said = (
        f"Made by `recsys init` of {draft.total:,} rows and {len(draft.columns)} "
        "columns. What the files do not say is a guess, and said to be one: read it "
        "once, and change what is wrong."
    )
    if draft.sampled < draft.total:
        said += (
            " Ranges and missing values are of all rows, numbers of different values "
            f"about; all else is of {draft.sampled:,} rows, drawn at random."
        )
    return [
        *_comment(said),
        "#",
        f"#   recsys train {name}",
        "#   recsys config show    tells all keys and their defaults",
        "#   recsys models         lists the models, `recsys models din` tells of one",
    ]


def _data(draft: Draft, folder: Path) -> list[str]:
    roles, who = draft.roles, draft.who
    lines = ["data:"]
    for home, table in roles.tables.items():
        of = _files(table.paths, folder)
        lines.append(f"  {'files' if home == 'events' else home}: {of}")
    for path, why in roles.left_out.items():
        lines += _comment(f"{_from(path, folder)} is left out: {why}.", "  ")
    for key, column in (("user", who.user), ("item", who.item), ("time", who.time)):
        if column is None:
            lines.append(f"  # {key}: no column looks like it")
        else:
            lines.append(f"  {key}: {_flow(column)}  # a guess, {who.why[column]}")
    return lines


def _inputs(draft: Draft) -> list[str]:
    lines = [
        "schema:",
        "  columns:",
        *_comment(
            "belong: whose it is, of the user if it is not said; of an item what has "
            "one value for each item. min_count: what comes less often trains what "
            "stands for ids that are new.",
            "  ",
        ),
    ]
    inputs = [column for column in draft.columns if column.is_input]
    return [*lines, *(_entry(column, "  - ") for column in inputs)]


def _history(draft: Draft) -> list[str]:
    if draft.start.history is None:
        return []
    entry, why = draft.start.history
    return [*_comment(f"What a user did before. {why}", "  "), f"  - {_flow(entry)}"]


def _left_out(draft: Draft) -> list[str]:
    left_out = draft.left_out
    if not left_out:
        return []
    lines = _comment(
        "Left out; a column in braces is read all the same without its #:", "  "
    )
    for column in left_out:
        if column.entry is None:
            lines.append(f"  # {_line(column.seen.name)}: {_said(column)}")
        else:
            lines.append(_entry(column, "  # - "))
    return lines


def _labels(draft: Draft) -> list[str]:
    start = draft.start
    made = start.samples[0].get("negatives")
    lines = ["  labels:"]
    if made:
        lines.append(f"  - {_flow(made['label'])}  # which `samples` makes")
    elif not start.labels:
        return [
            *_comment(
                "No column looks like an answer, and without an item none can be made: "
                "name a column of 0 and 1.",
                "  ",
            ),
            "  labels: []",
        ]
    for answer in (*start.labels, *start.rare):
        rare = answer in start.rare
        same = answer.rule or answer.name == answer.source
        entry = answer.name if same else {"name": answer.name, "source": answer.source}
        lines.append(
            f"  {'# ' if rare else ''}- {_flow(entry)}  # a guess, {answer.why}; "
            f"{answer.rate:.1%} of the rows are 1"
            + (f", {answer.positives:,} are too few to begin with" if rare else "")
        )
    groups = [f"  groups: {_flow(start.groups)}  # for metrics within users"]
    return lines + (groups if start.groups else [])


def _samples(draft: Draft) -> list[str]:
    section, why = draft.start.samples
    lines = ["# Further keys: where, min_user_events, min_item_events leave out rows."]
    if not section:
        return [*lines, "samples: {}"]
    return [
        *_comment(why + "."),
        *lines,
        "samples:",
        *(f"  {key}: {_flow(value)}" for key, value in section.items()),
    ]


def _split(draft: Draft, folder: Path) -> list[str]:
    section, why = draft.start.split
    lines = [*_comment(why + "."), "split:"]
    lines += [f"  {key}: {_flow(value)}" for key, value in section.items()]
    for key, paths in (("valid", draft.roles.valid), ("test", draft.roles.test)):
        if paths:
            lines.append(f"  {key}_files: {_files(paths, folder)}")
    return lines


def _match(draft: Draft) -> list[str]:
    """A first stage, to be taken: of events that are all choices, with a history."""
    start = draft.start
    if start.history is None or "negatives" not in start.samples[0]:
        return []
    return [
        *_comment(
            "To recommend out of all items, a match model chooses some, and the model "
            "below puts these in order. Without its #, this line is a first stage; "
            "{by: candidates} in the negatives above then draws them out of what it "
            "chooses."
        ),
        "# match: {model: {name: two_tower, dim: 32}}",
        "",
    ]


def _model(draft: Draft) -> list[str]:
    (name, why), training = draft.start.model, Training()
    kept = ("epochs", "batch_size", "optimizer", "patience")
    given = training.model_dump()
    metrics = _flow([*draft.start.metrics])
    evaluation = [f"  metrics: {metrics}  # the first chooses the epoch"]
    if draft.start.groups:
        evaluation.append(f"  group: {_flow(next(iter(draft.start.groups)))}")
    return [
        "model:",
        f"  name: {name}  # {why}",
        "  dim: 16  # of the embeddings",
        f"  arguments: {{}}  # see `recsys models {name}`",
        "",
        "training:",
        *(f"  {key}: {_flow(given[key])}" for key in kept),
        "",
        "evaluation:",
        *evaluation,
    ]


def _tuning(name: str) -> list[str]:
    space = {
        "training.learning_rate": {"low": 0.0003, "high": 0.03, "log": True},
        "model.dim": [8, 16, 32],
        "model.arguments.dropout": {"low": 0.0, "high": 0.5, "step": 0.1},
    }
    return [
        f"# What `recsys tune {name}` tries: a list of choices, or a range.",
        "tuning:",
        f"  trials: {Tuning().trials}",
        "  space:",
        *(f"    {key}: {_flow(entry)}" for key, entry in space.items()),
    ]


def _entry(column: Column, before: str) -> str:
    return f"{before}{_flow(column.entry)}  # {_said(column)}"


def _said(column: Column) -> str:
    """What is said of a column, on one line."""
    seen = column.seen
    parts = [column.left_out] if column.left_out else []
    parts.append(column.kind)
    if seen.distinct is not None:
        parts.append(f"{seen.distinct:,} different")
    share = seen.missing / seen.rows
    parts.append(f"{share:.2%} missing" if seen.missing else "none missing")
    if seen.examples:
        parts.append(f"such as {', '.join(seen.examples)}")
    elif seen.least is not None:
        of = "lengths " if seen.family == "array" else ""
        parts.append(f"{of}{_number(seen.least)} to {_number(seen.most)}")
    return _line("; ".join(parts))


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _comment(text: str, before: str = "") -> list[str]:
    return textwrap.wrap(
        _line(text),
        WIDTH,
        initial_indent=f"{before}# ",
        subsequent_indent=f"{before}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _line(text: str) -> str:
    """A text on one line, as YAML takes it in a comment."""
    return "".join(each if each.isprintable() else " " for each in text)


def _files(paths: Sequence[str], folder: Path) -> str:
    return _flow([_from(path, folder) for path in paths])


def _from(path: str, folder: Path) -> str:
    """A path as seen from a folder: relative where it is near, else absolute."""
    seen = os.path.relpath(os.path.abspath(path), folder)
    far = seen.split(os.sep)[: MOST_UP + 1] == [os.pardir] * (MOST_UP + 1)
    return os.path.abspath(path) if far else seen


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    plain = dict(value) if isinstance(value, Mapping) else value
    text = yaml.dump(
        [plain],
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    )
    return text.strip()[1:-1]
