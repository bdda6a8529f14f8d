"""The report: whole, escaped, and nothing outside the picture."""

import html
import re

import pytest

from recsys.runs.page import (
    HEIGHT,
    WIDTH,
    Chart,
    Grid,
    Heading,
    Lists,
    Plot,
    Text,
    _ticks,
    in_notebook,
    page_of,
    write_html,
)


def test_everything_is_on_the_page_and_escaped(tmp_path):
    path = tmp_path / "r.html"
    write_html(
        path,
        "A & B",
        [
            Heading("<h>"),
            Text("text"),
            Grid(["", "AUC"], [["din", "0.8"]]),
            Chart("one", {"loss": [3.0, 2.0]}),
            Chart("two", {"<auc>": [0.5], "gauc": [0.7, 0.6]}),
            Lists("User 1", {"watched": ["Thelma & Louise"], "next": ["Fargo"]}),
        ],
    )
    page = path.read_text()
    for part in ("A &amp; B", "&lt;h&gt;", "<td>0.8</td>", "Thelma &amp; Louise"):
        assert part in page
    assert "<auc>" not in page and "http" not in page  # self-contained
    assert page.count("<svg") == 2 and page.count('class="row"') == 1


def test_a_notebook_has_the_page_in_a_frame():
    page = page_of('a "b" & c', [Text("<text>")])
    shown = in_notebook(page)
    inside = re.fullmatch(r'<iframe srcdoc="([^"]*)" style="[^"]*"></iframe>', shown)
    assert html.unescape(inside[1]) == page


@pytest.mark.parametrize("values", [[0.1, 0.9], [3.0], [5.0, 5.0], [0.0], [-2, 1e-3]])
def test_lines_stay_inside_the_picture(values):
    drawn = Chart("c", {"line": values}).html()
    points = re.search(r'points="([^"]*)"', drawn)[1].split()
    for point in points:
        x, y = map(float, point.split(","))
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    ticks = _ticks(min(values), max(values))
    assert ticks[0] <= min(values) and max(values) <= ticks[-1]
    assert 2 <= len(ticks) <= 7


@pytest.mark.parametrize("points", [[(0.0, 0.0), (1.0, 1.0)], [(2.0, -3.0)]])
@pytest.mark.parametrize("diagonal", [None, "by chance"])
def test_points_and_their_diagonal_stay_inside_too(points, diagonal):
    drawn = Plot("p", {"<model>": points}, "x & y", diagonal).html()
    lines = re.findall(r'points="([^"]*)"', drawn)
    assert len(lines) == 1 + (diagonal is not None)
    for line in lines:
        for point in line.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    assert "<model>" not in drawn and "x &amp; y" in drawn
    assert ("dasharray" in drawn) == (diagonal is not None)
