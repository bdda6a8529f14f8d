"""`recsys init`: a look at files, and the YAML of a first run."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from recsys.runs.init import Draft, init

console = Console()


def run(files: Sequence[Path], output: Path) -> None:
    """Writes a YAML, and prints what was guessed, what was left out, and what is next.

    Args:
        files: What to look at.
        output: The YAML.

    Raises:
        OSError: If a file is missing, or the YAML cannot be written.
        ValueError: If the files are not events, with items and users beside them.
    """
    for line in summary(init([str(file) for file in files], output), output):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def summary(draft: Draft, output: Path) -> list[str]:
    """Returns what is printed, by lines."""
    who, start = draft.who, draft.start
    found = {"user": who.user, "item": who.item, "time": who.time}
    made = start.samples[0].get("negatives")
    labels = [answer.rule or answer.source for answer in start.labels]
    if made:
        labels = [f"{made['label']}, drawn beside the events"]
    lines = [f"{draft.total:,} rows, {len(draft.columns)} columns. Guesses:"]
    lines += [f"  {key}: {name or 'none'}" for key, name in found.items()]
    lines += [
        f"  labels: {', '.join(labels) or 'none: name one in the file'}",
        f"  split: {start.split[0]['by']}",
        f"  model: {start.model[0]}, {start.model[1]}",
    ]
    left_out = {column.seen.name: column.left_out for column in draft.left_out}
    rare = {a.source: f"{a.positives:,} rows of 1 are too few" for a in start.rare}
    reasons = {**draft.roles.left_out, **left_out, **rare}
    if reasons:
        lines.append("Left out:")
        lines += [f"  {name}: {reason}" for name, reason in reasons.items()]
    return [
        *lines,
        f"Wrote {output}. Read it, change what is wrong, then: recsys train {output}",
    ]
