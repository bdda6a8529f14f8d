"""The folders are the registry: one file, one factory, one name."""

import difflib
import fnmatch
import importlib
import pkgutil
import re
import sys
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.data.writing import checked_path
from recsys.feature import Field
from recsys.saving import damage

if TYPE_CHECKING:
    import keras

_MEMBERS = {"config.json", "metadata.json", "model.weights.h5"}  # of a .keras file
_LOADING = threading.Lock()  # the registry of Keras is one for all threads
FAMILIES = ("rank", "multitask", "multidomain", "match")


def _owners() -> dict[str, str]:
    """Name of each model -> its family; reads folders, imports nothing heavy."""
    root = Path(__file__).parent
    return {
        module.name: family
        for family in FAMILIES
        for module in pkgutil.iter_modules([str(root / family)])
        if not module.name.startswith("_")
    }


def list_models(pattern: str | None = None) -> list[str]:
    """Returns the names of all models, or of some of them, sorted.

    Args:
        pattern: A family, `"rank"`, `"multitask"`, `"multidomain"` or `"match"`; or a
            name, of small letters or capitals, in which `*` stands for any letters and
            `?` for one.

    Raises:
        ValueError: If there is no such family or name.

    Example:
    >>> "deepfm" in list_models("rank")
    True
    >>> list_models("*sim*")
    ['sim', 'simplex']
    """
    owners = _owners()
    if pattern in (None, *FAMILIES):
        return sorted(name for name, of in owners.items() if pattern in (None, of))
    names = fnmatch.filter(owners, str(pattern).lower())
    if not names:
        raise ValueError(
            f"There is no model {pattern!r}, and {_near(str(pattern), owners)}; the "
            f"families are {', '.join(FAMILIES)}. Received: pattern={pattern!r}"
        )
    return sorted(names)


def _near(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names)
    known = f"the nearest names are {', '.join(near)}"
    return known if near else "`recsys models` lists all"


def family_of(name: str) -> str:
    """Returns the family of a model.

    Raises:
        ValueError: If no model has that name; the error has the nearest.
    """
    owners = _owners()
    if name not in owners:
        raise ValueError(
            f"There is no model {name!r}; {_near(name, owners)}. "
            f"Received: name={name!r}"
        )
    return owners[name]


def create_model(name: str, fields: Sequence[Field], **kwargs: Any) -> "keras.Model":
    """Builds a model by its name.

    Args:
        name: One of `list_models()`.
        fields: The columns of the input, the factory's first argument.
        **kwargs: Further arguments of the factory, e.g. `task` or `task_list`.

    Raises:
        ValueError: If no model has that name; the error has the nearest.
    """
    if not isinstance(name, str):
        raise ValueError(
            f"create_model: name must be one of list_models(). Received: name={name!r}"
        )
    module = importlib.import_module(f"recsys.{family_of(name)}.{name}")
    model: keras.Model = getattr(module, name)(fields, **kwargs)
    return model


def load_model(path: str | Path) -> "keras.Model":
    """Loads a model saved as `.keras`, with weights, optimizer and random state.

    Unlike `keras.models.load_model` it works in a process that has not imported the
    model's module, and takes the library's classes whatever others are registered
    under their names.

    Args:
        path: The file that `model.save` wrote.

    Raises:
        ValueError: If the file is missing, or is no Keras archive or not all of it; or
            if Keras cannot make the model, as when a class of a user is not registered.
    """
    import keras

    file = checked_path("load_model: path", path)
    if not file.is_file():
        raise _not_whole(file, "a folder" if file.is_dir() else "no file of that name")
    if file.suffix not in (".keras", ".h5", ".hdf5"):
        raise _not_whole(file, f"a name that ends in {file.suffix!r}, not in '.keras'")
    if file.name.endswith(".weights.h5"):
        raise _not_whole(file, "weights alone, which `model.load_weights` loads")
    if file.suffix == ".keras":  # others Keras tells apart
        reason = damage(file, _MEMBERS)
        if reason:
            raise _not_whole(file, reason)
    modules = [f"recsys.{family}.{name}" for name, family in _owners().items()]
    for module in (*modules, "recsys.metrics.streaming"):  # registers their classes
        importlib.import_module(module)
    registered = keras.saving.get_custom_objects()
    with _LOADING:
        before = {**registered}
        registered.update(_own_classes())  # a scope would come after what is registered
        try:
            return keras.models.load_model(path)
        except Exception as error:  # Keras has many
            if isinstance(error, OSError) and file.suffix != ".keras":
                raise _not_whole(file, str(error)) from error
            raise _not_made(file, error) from error
        finally:
            registered.update(before)


def _not_whole(file: Path, reason: str) -> ValueError:
    return ValueError(
        f"{file} must be a whole file that `model.save` wrote. Received: {reason}"
    )


def _not_made(file: Path, error: Exception) -> ValueError:
    """Of Keras' errors in errors the first, without the configs."""
    reason = str(error).rpartition("Exception encountered: ")[2]
    unknown = re.match(r"(?:Could not locate|Unknown) (\w+):? '([^']+)'", reason)
    if unknown:
        kind, name = unknown.groups()
        return ValueError(
            f"load_model: {kind} {name!r} of {file} must be known: register it with "
            "keras.saving.register_keras_serializable and import its module, or load "
            "in a keras.saving.custom_object_scope. Received: none of that name"
        )
    reason = re.split(r"\s*(?:Full object config:|config=)", reason)[0]
    return ValueError(
        f"load_model: {file} must be of what Keras can make anew. "
        f"Received: {type(error).__name__}: {reason}"
    )


def _own_classes() -> dict[str, type]:
    """The classes of all imported modules of the library, by their registered name."""
    import keras

    owned = [
        value
        for name, module in [*sys.modules.items()]
        if name.startswith("recsys.")
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == name
    ]
    named = {keras.saving.get_registered_name(value): value for value in owned}
    return {name: value for name, value in named.items() if ">" in name}
