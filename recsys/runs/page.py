"""One self-contained HTML page: text, tables and lines, no script."""

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

COLOURS = ("#1f6f8b", "#d1495b", "#66a182", "#8d6a9f")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 270, 52, 14, 14, 44
MOST_DOTS = 40


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str

    def html(self) -> str:
        return f"<h2>{html.escape(self.text)}</h2>"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str

    def html(self) -> str:
        return f"<p>{html.escape(self.text)}</p>"


@dataclass(frozen=True)
class Grid:
    """A table; the first cell of a row names it.

    Args:
        header: Names of the columns.
        rows: Cells, as they are to be read.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        return f'<div class="wide"><table>{table}</table></div>'


@dataclass(frozen=True)
class Lists:
    """Lists side by side under a title, such as films watched and recommended.

    Args:
        title: What they have in common.
        lists: Entries of each list, by its name.
    """

    title: str
    lists: Mapping[str, Sequence[str]]

    def html(self) -> str:
        columns = "".join(
            f"<div><h4>{html.escape(name)}</h4><ol>"
            + "".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
            + "</ol></div>"
            for name, entries in self.lists.items()
        )
        title = html.escape(self.title)
        return f'<section class="lists"><h3>{title}</h3>{columns}</section>'


@dataclass(frozen=True)
class Chart:
    """Lines over epochs 1, 2, ...

    Args:
        title: What is shown.
        series: Values by name of the line.
    """

    title: str
    series: Mapping[str, Sequence[float]]

    def html(self) -> str:
        lines = {
            name: [(float(epoch), value) for epoch, value in enumerate(line, start=1)]
            for name, line in self.series.items()
        }
        epochs = max(len(line) for line in self.series.values())
        step = math.ceil(epochs / 10)
        ticks = [float(epoch) for epoch in range(1, epochs + 1, step)]
        return _figure(self.title, lines, ticks, (1.0, float(max(epochs, 2))), "epoch")


@dataclass(frozen=True)
class Plot:
    """Lines through points (x, y).

    Args:
        title: What is shown.
        series: Points by name of the line.
        x_name: What x is.
        diagonal: Name of a dashed line y = x; default: none.
    """

    title: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    x_name: str
    diagonal: str | None = None

    def html(self) -> str:
        xs = [x for line in self.series.values() for x, _ in line]
        ys = [y for line in self.series.values() for _, y in line]
        if self.diagonal is not None:
            xs, ys = [*xs, *ys], [*xs, *ys]
        ticks = _ticks(min(xs), max(xs))
        ends = (ticks[0], ticks[-1])
        lines = dict(self.series)
        if self.diagonal is not None:
            lines[self.diagonal] = [(end, end) for end in ends]
        return _figure(
            self.title, lines, ticks, ends, self.x_name, dashed=self.diagonal
        )


def _figure(
    title: str,
    lines: Mapping[str, Sequence[tuple[float, float]]],
    x_ticks: Sequence[float],
    x_ends: tuple[float, float],
    x_name: str,
    dashed: str | None = None,
) -> str:
    """Draws lines with points, axes and a legend."""
    values = [value for line in lines.values() for _, value in line]
    y_ticks = _ticks(min(values), max(values))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        (left, right), (low, high) = x_ends, (y_ticks[0], y_ticks[-1])
        x, y = (point[0] - left) / (right - left), (point[1] - low) / (high - low)
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x,
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y,
        )

    parts = []
    for tick in y_ticks:
        _, y = place((x_ends[0], tick))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" class="end">{tick:g}</text>'
        )
    for tick in x_ticks:
        x, _ = place((tick, y_ticks[0]))
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - 18}" class="middle">{tick:g}</text>'
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.1f}" y="{HEIGHT - 4}" '
        f'class="middle">{html.escape(x_name)}</text>'
    )
    legend = ""
    for (name, line), colour in zip(
        lines.items(), itertools.cycle(COLOURS), strict=False
    ):
        path = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in line)
        style = ' stroke-dasharray="5 5"' if name == dashed else ""
        parts.append(f'<polyline points="{path}" stroke="{colour}"{style}/>')
        for point in line if name != dashed and len(line) <= MOST_DOTS else ():
            x, y = place(point)
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}">'
                f"<title>{html.escape(name)}, {html.escape(x_name)} {point[0]:g}: "
                f"{point[1]:.4f}</title></circle>"
            )
        legend += f'<span><i style="background:{colour}"></i>{html.escape(name)}</span>'
    return (
        f"<figure><figcaption>{html.escape(title)} {legend}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'
        "</figure>"
    )


Block = Heading | Text | Grid | Lists | Chart | Plot


def write_html(path: Path, title: str, blocks: Sequence[Block]) -> None:
    """Writes a page, see `page_of`, to a file."""
    path.write_text(page_of(title, blocks), encoding="utf-8")


def in_notebook(page: str) -> str:
    """Returns a page as a notebook shows it, neither's styles touching the other's."""
    return (
        f'<iframe srcdoc="{html.escape(page)}" '
        'style="width: 100%; height: 32em; border: 0"></iframe>'
    )


def page_of(title: str, blocks: Sequence[Block]) -> str:
    """Returns a page that loads nothing.

    Args:
        title: Its title.
        blocks: What is on it, from top to bottom; charts that follow each other stand
            side by side.
    """
    body, row = [], []
    for block in (*blocks, None):
        if isinstance(block, (Chart, Plot)):
            row.append(block.html())
            continue
        if row:
            body.append(f'<div class="row">{"".join(row)}</div>')
            row = []
        if block is not None:
            body.append(block.html())
    name = html.escape(title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{name}</h1>{''.join(body)}</main></body></html>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers that enclose the values."""
    span = (high - low) or abs(high) or 1.0
    size = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * f for f in (1, 2, 2.5, 5, 10) if span / (size * f) <= 5)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 1120px; margin: auto; padding: 1.5rem; }
h1 { font-size: 1.7rem; }
h2 { margin: 2.2rem 0 .6rem; border-bottom: 2px solid var(--line); }
h3 { margin: 0; } h4 { margin: .4rem 0; font-weight: 600; }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { padding: .35rem .9rem; text-align: right; }
th, td { border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
tbody tr:nth-child(odd) { background: var(--soft); }
.wide { overflow-x: auto; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { flex: 1 1 440px; max-width: 560px; margin: .6rem 0; }
figcaption span { margin-left: .9rem; white-space: nowrap; }
figcaption i { display: inline-block; width: .8em; height: .8em; margin-right: .35em;
  border-radius: 2px; }
svg { width: 100%; height: auto; }
svg line { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; }
svg text { font-size: 12px; fill: currentColor; }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.lists { display: flex; flex-wrap: wrap; gap: 0 2rem; margin: 1rem 0;
  padding: .8rem 1rem; border: 1px solid var(--line); border-radius: 6px; }
.lists h3 { flex: 1 1 100%; } .lists div { flex: 1 1 320px; }
ol { margin: 0; padding-left: 1.6rem; }
@media (max-width: 480px) {
  main { padding: .7rem; } figure { flex-basis: 100%; } svg text { font-size: 16px; }
}
"""
