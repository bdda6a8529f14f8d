"""From a user's name to that of a layer, and back.

TensorFlow's scopes take ASCII letters, digits and a few signs, PyTorch's parameters no
dot. All else is written as in a URL, byte by byte, with '>' in the place of '%':
`will buy` is `will>20buy`. What needs none of it stays as it is.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from keyword import iskeyword
from typing import Any
from urllib.parse import quote, unquote

OLD_NAMES = {
    "dropout_rate": "dropout",
    "emd_dim": "dim",
    "layer_num": "num_layers",
    "num_layer": "num_layers",
    "vocab_size": "vocabulary_size",
}
"""Of arguments, in version 1 and in files, with the words that took their place."""

_SIGNS = ("_", "-", ">")  # no name begins with them
_BEFORE = "0>z"  # so this goes before: it is no byte


def layer_name(name: str) -> str:
    """Returns a name as all backends take it; other names give other results."""
    safe = quote(name, safe="").replace("~", "%7E").replace(".", "%2E")
    safe = safe.replace("%", ">")
    return _BEFORE + safe if safe.startswith(_SIGNS) else safe


def given_name(layer_name: str) -> str:
    """Returns the name that `layer_name` made a layer's name of."""
    name = re.sub(f"^{_BEFORE}(?=[_>-])", "", layer_name)
    return unquote(re.sub(">(?=[0-9A-F]{2})", "%", name))


def signature_names(names: Iterable[str]) -> dict[str, str]:
    """Returns names -> those in TensorFlow's signatures, which are `layer_name`'s.

    `_` is put behind one that Python reserves, and behind one that TensorFlow, which
    reads all signs as `_` and capitals as small, would take for another.
    """
    found: dict[str, str] = {}
    taken = {"self"}
    for name in names:
        safe = layer_name(name)
        while iskeyword(read := re.sub(r"\W", "_", safe)) or read.lower() in taken:
            safe += "_"
        taken.add(read.lower())
        found[name] = safe
    return found


def new_names(
    arguments: Mapping[str, Any], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns arguments by the names that are there now.

    Args:
        arguments: Some of which may have old names.
        parameters: The names that a function takes.
    """
    found = {}
    for name, value in arguments.items():
        new = OLD_NAMES.get(name, name)
        taken = name in parameters or new not in parameters or new in arguments
        found[name if taken else new] = value
    return found


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the end of an error text: all names, and those most like `name`."""
    names = sorted(names)
    near = difflib.get_close_matches(str(name), names)
    return ", ".join(names) + (f" (nearest: {', '.join(near)})" if near else "")
