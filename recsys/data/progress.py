"""A sign of life for work that takes long."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Shows a spinner on a terminal if the block takes longer than a second.

    Args:
        what: What is going on; the yielded function replaces it.
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    status = Console(stderr=True).status(what)
    late = threading.Timer(1.0, status.start)
    late.start()
    try:
        yield status.update
    finally:
        late.cancel()
        late.join()
        status.stop()
