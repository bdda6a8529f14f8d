"""How a command ends that cannot do what it is told."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def refusing(command: str) -> Iterator[None]:
    """Turns an error of what was given, or is missing, into one line, and status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        yield
    except (ImportError, OSError, ValueError) as error:
        typer.echo(f"recsys {command}: {error}", err=True)
        raise typer.Exit(2) from error
