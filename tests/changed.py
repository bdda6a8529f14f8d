"""Leaves out the tests of what has not changed: pytest -p tests.changed --since HEAD.

What a changed module reaches by imports has changed, too. A file of tests is run if it
has changed, or names what has: a module, what that makes public, or any other file. Of
its checks of every model, those of the models that have changed are run, or all if the
checks themselves have. After a module is removed, all tests are run. `make test` runs
all: a name that stands nowhere is not found here.
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
CHECKS = ("recsys.testing", "recsys.registry")
"""What checks every model."""


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


def reached(files: Iterable[str], by_faces: bool = False) -> set[str]:
    """Returns the modules of the library that have changed, or import one that has.

    Args:
        files: What has changed.
        by_faces: Whether to follow what packages import for types alone: all that
            their lazy faces hold.
    """
    graph = grimp.build_graph(
        "recsys", exclude_type_checking_imports=not by_faces, cache_dir=None
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
    found |= {Path(file).parts[0] for file in files} - {"recsys", "tests"}
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
        gone = {f for f in files if f.startswith("recsys/") and not (ROOT / f).exists()}
        self.all = bool(OF_ALL & files or gone)
        self.modules = reached(files - gone)
        of_models = reached(files - gone, by_faces=True)
        self.models = {m.rpartition(".")[2] for m in of_models} & {*list_models()}
        self.files = _with_those_that_name(files, self.modules)
        own = {file for file in files - gone if Path(file).parts[:1] != ("recsys",)}
        checks = {m for m in map(_module, files - gone) if m.startswith(CHECKS)}
        self.checks = _with_those_that_name(own, checks)

    def has(self, item: Any) -> bool:
        """Whether a test is one of what has changed."""
        file = str(item.path.relative_to(ROOT))
        given = getattr(item, "callspec", None)
        entry = given and given.params.get("entry")
        if hasattr(entry, "factory") and not self.all:
            return entry.name in self.models or file in self.checks
        return self.all or file in self.files or _module(file) in self.modules


def _with_those_that_name(files: set[str], modules: set[str]) -> set[str]:
    """Files, and those of tests that name them or modules, or such a file in turn."""
    files, size = {*files}, -1
    while size != len(files):
        size = len(files)
        names = "|".join(map(re.escape, _names(modules, files)))
        word = re.compile(rf"\b({names})\b")
        for path in (ROOT / "tests").rglob("*.py") if names else ():
            if word.search(path.read_text()):
                files.add(str(path.relative_to(ROOT)))
    return files


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--since", default="HEAD", help="the commit to compare with")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    changed = Changed(changed_files(config.getoption("since")))
    kept = [item for item in items if changed.has(item)]
    config.hook.pytest_deselected(items=[*{*items} - {*kept}])
    items[:] = kept
