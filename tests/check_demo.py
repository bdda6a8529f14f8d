"""`python -m tests.check_demo runs/demo`: what `make demo` left is what it promises.

The bounds leave room for another processor and seed, not for a model that is no better
than its baseline.
"""

import json
import sys
from html.parser import HTMLParser
from pathlib import Path

BETTER = {  # by how much at least, over the baseline
    "match": {"recall@50": 0.12, "ndcg@50": 0.06},
    ".": {"auc": 0.03, "gauc": 0.03, "log_loss": -0.02},
}
FILES = {
    ".": {
        ".lock", "config.yaml", "epochs.json", "events.parquet", "last.keras",
        "lists.json", "match", "metrics.json", "model.keras", "pipeline",
        "predictions.parquet", "report.html", "run.json",
    },
    "match": {
        "config.yaml", "epochs.json", "events.parquet", "items.parquet", "last.keras",
        "metrics.json", "model.keras", "pipeline", "report.html", "run.json",
        "seen.parquet", "users.parquet",
    },
}  # fmt: skip
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
    for stage, margins in BETTER.items():
        here = folder / stage
        found = {path.name for path in here.iterdir()}
        assert found == FILES[stage], f"{here} has {sorted(found)}"
        scores = json.loads((here / "metrics.json").read_text())
        page = Page()
        page.feed((here / "report.html").read_text())
        page.close()
        assert not page.open, f"{here}: the report leaves {page.open} open"
        assert page.tags.count("svg") >= 3, f"{here}: the report has charts"
        assert page.text.count("User ") == 3, f"{here}: the report shows three users"
        for name, margin in margins.items():
            ours, theirs = scores["test"][name], scores["baseline"][name]
            better = ours >= theirs + margin if margin > 0 else ours <= theirs + margin
            assert better, f"{here}: {name} {ours}, and of the baseline {theirs}"
            for value in (ours, theirs):
                assert f"{value:.4f}" in page.text, f"the report lacks {name} {value}"
            print(f"{name}: {ours:.4f}, of the baseline {theirs:.4f}")
    for name, stages in json.loads((folder / "lists.json").read_text()).items():
        assert stages["ranked"] > stages["match"], f"{name}: {stages}"
        print(f"{name}: {stages['ranked']:.4f}, of match alone {stages['match']:.4f}")
    page = (folder / "report.html").read_text()
    assert "Match, then rank" in page, "the report tells of both stages"


if __name__ == "__main__":
    check(Path(sys.argv[1]))
