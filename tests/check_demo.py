"""`python -m tests.check_demo runs/demo`: what `make demo` left is what it promises.

The bounds leave room for another processor and seed, not for a model that is no better
than its baseline.
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

BETTER = {  # by how much at least, over the baseline
    "match": ("youtube_dnn", "most popular", {"Recall@50": 0.12, "NDCG@50": 0.06}),
    "rank": ("din", "logistic regression", {"AUC": 0.05, "GAUC": 0.05}),
}
FILES = {"report.html", "metrics.json", "match.keras", "rank.keras", "pipeline"}
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """A page whose tags all close, and which loads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        loads = {value for key, value in attrs if key in ("src", "href")}
        assert not loads, f"the report loads {loads}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        self.text += data


def check(folder: Path) -> None:
    """Raises an AssertionError that says what is not as promised."""
    found = {path.name for path in folder.iterdir()}
    assert found == FILES, f"{folder} has {sorted(found)}"
    scores = json.loads((folder / "metrics.json").read_text())
    page = Page()
    page.feed((folder / "report.html").read_text())
    page.close()
    assert not page.open, f"the report leaves {page.open} open"
    assert page.tags.count("svg") == 4, "the report has four charts"
    assert page.text.count("User ") == 3, "the report shows three users"
    for family, (model, baseline, margins) in BETTER.items():
        assert set(scores[family]) == {model, baseline}
        for name, margin in margins.items():
            ours, theirs = scores[family][model][name], scores[family][baseline][name]
            assert ours >= theirs + margin, f"{name}: {ours} of {model}, {theirs}"
            for value in (ours, theirs):
                assert f"{value:.4f}" in page.text, f"the report lacks {name} {value}"
            print(f"{name}: {model} {ours:.4f}, {baseline} {theirs:.4f}")


if __name__ == "__main__":
    check(Path(sys.argv[1]))
