"""What commands print, and write where they are asked to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.runs.page import Block


def tell(
    title: str,
    blocks: "Sequence[Block]",
    plain: dict[str, Any],
    as_json: Path | None,
    html: Path | None,
) -> None:
    """Prints blocks, and writes all numbers, and a page of the blocks.

    Args:
        title: Of the page.
        blocks: What is told.
        plain: The same as JSON holds it.
        as_json, html: Files to write, if any.
    """
    from rich.console import Console

    from recsys.runs.evaluation.evaluating import print_block
    from recsys.runs.page import write_html

    for block in blocks:
        print_block(block, Console())
    if as_json is not None:
        as_json.write_text(json.dumps(plain, indent=2) + "\n")
    if html is not None:
        write_html(html, title, blocks)
