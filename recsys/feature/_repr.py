"""What a declaration says of itself."""

from dataclasses import MISSING, fields
from typing import Any


def short_repr(declaration: Any) -> str:
    """Returns the call that declares it, without what need not be said.

    That is a default, and a name that is the declaration's own; `repr=False` leaves
    an attribute out.
    """
    given = []
    for each in fields(declaration):
        value = getattr(declaration, each.name)
        default = each.default
        if each.default_factory is not MISSING:
            default = each.default_factory()
        of_its_name = default == "" and value == declaration.name
        alike = type(value) is type(default) and value == default
        if each.repr and not (alike or of_its_name):
            plain = default is MISSING and not each.kw_only
            given.append(repr(value) if plain else f"{each.name}={value!r}")
    return f"{type(declaration).__name__}({', '.join(given)})"
