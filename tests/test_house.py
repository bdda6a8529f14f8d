"""The house: rooms of a size, without circles, and one owner of each saved name."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
        ".__init__"
    ): path
    for path in (ROOT / "recsys").rglob("*.py")
}
MOST = 350


def test_rooms_hold_one_idea():
    """A longer file says why in its head."""
    for name, path in MODULES.items():
        text = path.read_text()
        if text.count("\n") > MOST:
            head = ast.get_docstring(ast.parse(text)) or ""
            assert f"More than {MOST} lines: " in " ".join(head.split()), name


def _imported(path: Path) -> set[str]:
    """The modules of the library that a module imports when it is imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found & MODULES.keys()


def test_no_module_comes_back_to_itself():
    graph = {name: _imported(path) - {name} for name, path in MODULES.items()}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                walk(other, (*way, name))
            done.add(name)

    for name in sorted(graph):
        walk(name, ())


SECOND = """
import keras
from recsys.layers.base import Layer
from recsys.layers.mlp import Tower

class Mine(Layer):
    pass

assert "recsys>Mine" not in keras.saving.get_custom_objects()  # a user's own
made = type("Tower", (Layer,), {"__module__": "recsys.rank.other"})
"""


def test_a_second_owner_of_a_saved_name_is_refused():
    run = subprocess.run([sys.executable, "-c", SECOND], capture_output=True, text=True)
    wanted = "ValueError: Files must know one class by a name. Received: 'recsys>Tower'"
    assert wanted in run.stderr, run.stderr[-2000:]
    assert "recsys.layers.mlp and of recsys.rank.other" in run.stderr
