"""TensorFlow is loaded without its notes on the machine.

It writes them whatever `TF_CPP_MIN_LOG_LEVEL` says
(https://github.com/tensorflow/tensorflow/issues/100442).
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_NOTE = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")


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
    """Holds back what is written to the standard error, and then tells the rest."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            log.seek(0)
            rest = [line for line in log if not _NOTE.match(line)]
            os.write(2, b"".join(rest))
