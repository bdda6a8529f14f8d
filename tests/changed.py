"""Leaves out the tests of what has not changed: pytest -p tests.changed --since HEAD.

What a changed module reaches by imports has changed, too. A file of tests is run if it
has changed, or names what has: a module, what that makes public, or any other file. Of
its checks of every model, those of the models that have changed are run. `make test`
runs all: a name that stands nowhere is not found here.
"""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grimp

from recsys.registry import list_models

ROOT = Path(__file__).parents[1]
OF_ALL = {"conftest.py", "pyproject.toml", "constraints.txt"}
"""Files that every test depends on."""


def changed_files(since: str) -> set[str]:
    """Returns the paths of files that differ from a commit, new ones too."""
    found = set()
    for command in (
        ["diff", "--name-only", since, "--"],
        ["ls-files", "--others", "--exclude-standard"],
    ):
        run = subprocess.run(
            ["git", *command], cwd=ROOT, check=True, capture_output=True, text=True
        )
        found |= {*run.stdout.splitlines()}
    return found


def reached(files: Iterable[str]) -> set[str]:
    """Returns the modules of the library that have changed, or import one that has."""
    graph = grimp.build_graph(
        "recsys", exclude_type_checking_imports=True, cache_dir=None
    )
    found = set()
    for file in files:
        module = _module(file)
        if module in graph.modules:
            found |= {module, *graph.find_downstream_modules(module)}
    return found


def _names(modules: Iterable[str], files: Iterable[str]) -> set[str]:
    """What tests call changed things by."""
    found = {*modules, *(Path(file).name for file in files)}
    found |= {Path(file).stem for file in files if file.startswith("tests/")}
    for module in modules:
        text = _file_of(module).read_text()
        found |= {*re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)}
    return {name for name in found if not name.startswith("_")}


def _module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


class Changed:
    """What has changed: files, modules of the library, models."""

    def __init__(self, files: set[str]) -> None:
        self.all = bool(OF_ALL & files)
        self.modules = reached(files)
        of_models = {module.rpartition(".")[2] for module in self.modules}
        self.models = of_models & {*list_models()}
        self.files, size = files, -1
        while size != len(files):  # a helper that names what has changed, has changed
            size = len(files)
            names = "|".join(map(re.escape, _names(self.modules, files)))
            word = re.compile(rf"\b({names})\b")
            for path in (ROOT / "tests").rglob("*.py") if names else ():
                if word.search(path.read_text()):
                    files.add(str(path.relative_to(ROOT)))

    def has(self, item: Any) -> bool:
        """Whether a test is one of what has changed."""
        given = getattr(item, "callspec", None)
        entry = given and given.params.get("entry")
        if self.all or hasattr(entry, "factory"):
            return self.all or entry.name in self.models
        file = str(item.path.relative_to(ROOT))
        return file in self.files or _module(file) in self.modules


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--since", default="HEAD", help="the commit to compare with")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    changed = Changed(changed_files(config.getoption("since")))
    kept = [item for item in items if changed.has(item)]
    config.hook.pytest_deselected(items=[*{*items} - {*kept}])
    items[:] = kept
