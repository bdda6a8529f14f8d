"""Names by which files know the classes of the library."""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Named = TypeVar("Named", bound=type | Callable[..., Any])


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
