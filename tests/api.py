"""Prints the public names of the package and their signatures.

python -m tests.api > tests/api.txt
"""

import importlib
import inspect
import pkgutil
import re

import recsys


def public_api() -> list[str]:
    """One line for each public function, class and method, sorted."""
    lines = set()
    for info in pkgutil.walk_packages(recsys.__path__, "recsys."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            own = getattr(value, "__module__", None) == info.name
            if name.startswith("_") or not own:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                lines.add(f"{info.name}.{name}{_signature(value)}")
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if inspect.isfunction(function) and not method.startswith("_"):
                        lines.add(f"{info.name}.{name}.{method}{_signature(function)}")
    return sorted(lines)


def _signature(value: object) -> str:
    try:
        signature = inspect.signature(value)
    except ValueError:
        return ""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=parameters, return_annotation=signature.empty)
    return re.sub(r" at 0x[0-9a-f]+", "", str(plain))


if __name__ == "__main__":
    print("\n".join(public_api()))
