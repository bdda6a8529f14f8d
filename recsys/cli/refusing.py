"""How a command ends that cannot do what it is told."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import typer

from recsys.cli.quiet import QuietTensorFlow


@contextmanager
def refusing(command: str) -> Iterator[None]:
    """Turns an error of what was given, or is missing, into a line, and status 2.

    Warnings are lines too.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.meta_path.insert(0, QuietTensorFlow())
    with warnings.catch_warnings():
        warnings.showwarning = _show
        try:
            yield
        except (ImportError, OSError, ValueError) as error:
            typer.echo(f"recsys {command}: {error}", err=True)
            raise typer.Exit(2) from error


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Tells a warning without the place in the code, which says nothing to users."""
    typer.echo(f"Warning: {message}", err=True)
