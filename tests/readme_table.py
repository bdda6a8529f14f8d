"""Writes the README's table of models from their docstrings.

python -m tests.readme_table
"""

from pathlib import Path

from recsys.about import about
from recsys.registry import FAMILIES, list_models

README = Path(__file__).parents[1] / "README.md"
HEAD = "| model | paper | module |\n| --- | --- | --- |\n"


def table() -> str:
    """A row for each model, by family and year."""
    found = [about(name) for family in FAMILIES for name in list_models(family)]
    rows = []
    for model in sorted(
        found, key=lambda m: (FAMILIES.index(m.family), m.papers[0].year, m.name)
    ):
        links = [f"[{f'{p.venue} {p.year}'.strip()}]({p.url})" for p in model.papers]
        module = f"`recsys.{model.family}.{model.name}`"
        rows.append(f"| {model.label} | {', '.join(links)} | {module} |\n")
    return HEAD + "".join(rows)


def with_table(text: str) -> str:
    """A README with the table of today in place of its own."""
    start = text.index(HEAD)
    return text[:start] + table() + text[text.index("\n\n", start) + 1 :]


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
