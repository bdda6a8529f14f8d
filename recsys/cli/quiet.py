"""TensorFlow is loaded without its notes on the machine.

It writes them whatever `TF_CPP_MIN_LOG_LEVEL` says
(https://github.com/tensorflow/tensorflow/issues/100442).
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import IO, cast

_FILTER = r"""
import re, sys
note = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")
for line in sys.stdin.buffer:
    if not note.match(line):
        sys.stderr.buffer.write(line)
"""


class QuietTensorFlow:
    """Finds TensorFlow for `import`, once it stands in `sys.meta_path`."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Returns where TensorFlow is, and of no other module."""
        spec = PathFinder.find_spec(name, path) if name == "tensorflow" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def quietly(module: ModuleType) -> None:
            with _without_notes():
                load(module)

        spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


@contextmanager
def _without_notes() -> Iterator[None]:
    """Has another process tell what is written to the standard error, but notes.

    That process also tells the last words of this one, should TensorFlow end it: of a
    processor that lacks what it needs, for example.
    """
    sys.stderr.flush()
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    kept = os.dup(2)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as teller:
        pipe = cast(IO[bytes], teller.stdin)
        os.dup2(pipe.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
