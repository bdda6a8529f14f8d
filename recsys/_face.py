"""The face of a package: its public names, each loaded when it is first used."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any


def public_face(
    package: str,
    owners: Mapping[str, Sequence[str]] | None = None,
    modules: Sequence[str] = (),
) -> None:
    """Has a package list its `__all__` alone, and load what it has not when it is used.

    Import sets a module as an attribute of its package; where a public name is called
    like its module, as `recsys.rank.deepfm`, the attribute is what the module holds, in
    whatever order and by whichever thread things are imported.

    Args:
        package: Its `__name__`, at the end of its `__init__`.
        owners: Module -> the names of it that are public.
        modules: Modules of the package that are public themselves.
    """
    face = sys.modules[package]
    face.__class__ = _Face
    owner = {name: at for at, names in (owners or {}).items() for name in names}
    vars(face)["_owners"] = owner | {name: f"{package}.{name}" for name in modules}


class _Face(ModuleType):
    _owners: Mapping[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        if name not in self._owners:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        setattr(self, name, importlib.import_module(self._owners[name]))
        return vars(self)[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and self._owners.get(name) == value.__name__:
            value = getattr(value, name, value)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted(self.__all__)
