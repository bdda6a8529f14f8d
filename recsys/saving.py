"""Files of models: whether they are whole, and names of classes in them."""

import json
import zipfile
import zlib
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from pathlib import Path
    from typing import Any

    Named = TypeVar("Named", bound=type | Callable[..., Any])

_HDF5 = b"\x89HDF\r\n\x1a\n"


def damage(file: "Path", members: "Set[str]") -> str | None:
    """Returns why an archive is not whole, or none.

    All of its bytes are read: HDF5 reads weights without their checksum.

    Args:
        file: The archive.
        members: Names that it must have.
    """
    reason: str | None = "no archive, or cut off"
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                lacking = members - {*archive.namelist()}
                damaged = archive.testzip() or next(
                    (n for n in sorted(members - lacking) if not _readable(archive, n)),
                    None,
                )
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            lacking, damaged = set(), str(error)
        reason = f"no {min(lacking)} in it" if lacking else None
        reason = f"damaged in {damaged}" if damaged else reason
    return f"{reason} ({file.stat().st_size} bytes)" if reason else None


def _readable(archive: zipfile.ZipFile, name: str) -> bool:
    """Whether a member is what its ending says."""
    if not name.endswith(".json"):
        with archive.open(name) as member:
            return member.read(len(_HDF5)) == _HDF5
    try:
        json.loads(archive.read(name))
    except ValueError:
        return False
    return True


def saved(owner: "Named") -> "Named":
    """Has files know a class or function by its name, as `recsys>Name`.

    Raises:
        ValueError: If another one has the name: files would load the wrong one.
    """
    import keras

    name = f"recsys>{owner.__name__}"
    other = keras.saving.get_custom_objects().get(name, owner)
    if (other.__module__, other.__qualname__) != (owner.__module__, owner.__qualname__):
        raise ValueError(
            f"Files must know one class by a name. Received: {name!r} of "
            f"{other.__module__} and of {owner.__module__}"
        )
    keras.saving.register_keras_serializable(package="recsys")(owner)
    return owner
