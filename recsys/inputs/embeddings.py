"""What a list of fields becomes: vectors side by side, in the order of the list."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import keras

from recsys.feature import Field
from recsys.layers.elementary import Split
from recsys.types import Tensor


@dataclass(frozen=True)
class Part:
    """A tensor `(batch, width)` and the fields it holds, side by side."""

    fields: tuple[Field, ...]
    tensor: Tensor


class Embeddings:
    """The embeddings of a list of fields, in its order.

    Args:
        parts: One for each field; histories of one group may share one.
        times: Vectors of a value, side by side: factor on the `dim` of the fields.
        once: From a key and how to make it to what is made once for a model.
    """

    def __init__(
        self,
        parts: Iterable[Part],
        times: int = 1,
        once: Callable[[Hashable, Callable[[], Tensor]], Tensor] = lambda _, make: (
            make()
        ),
    ) -> None:
        self.parts = tuple(parts)
        self.times = times
        self._once = once

    def __repr__(self) -> str:
        widths = {
            ", ".join(f.name for f in p.fields): p.tensor.shape[-1] for p in self.parts
        }
        return f"Embeddings({widths})"

    def of(self, *belong: str) -> "Embeddings":
        """Returns the part whose fields belong to one of the given kinds."""
        parts = [part for part in self.parts if part.fields[0].belong in belong]
        return Embeddings(parts, self.times, self._once)

    def concat(self) -> Tensor:
        """Returns all of it, `(batch, sum of widths)`.

        Raises:
            ValueError: If there is none.
        """
        tensors = [part.tensor for part in self.parts]
        return self._once(("concat", *map(id, tensors)), lambda: concat(tensors))

    def tensors(self) -> list[Tensor]:
        """Returns one `(batch, dim)` for each field that has an embedding.

        Raw fields (`vocabulary_size=0`) have none and are left out.

        Raises:
            ValueError: If a history was pooled to a width that is not that of its
                fields.
        """
        tensors: list[Tensor] = []
        for part in self._embedded():
            dims = [field.dim for field in part.fields]
            if part.tensor.shape[-1] != sum(dims):
                names = ", ".join(repr(field.name) for field in part.fields)
                raise ValueError(
                    f"Field {names}: a pooled history must be {sum(dims)} wide, like "
                    f"its fields, to interact with others; set d_model in agg_kwargs."
                    f" Received: width {part.tensor.shape[-1]}"
                )
            tensors += Split(dims)(part.tensor) if len(dims) > 1 else [part.tensor]
        return tensors

    def names(self) -> list[str]:
        """Returns the names of the fields that `tensors()` are of, in its order."""
        return [field.name for part in self._embedded() for field in part.fields]

    def stack(self) -> Tensor:
        """Returns `of_one_dim()` as one `(batch, num_fields, dim)`.

        It is `concat()` in another shape: of a sum of both uses the gradient is cut
        into fields once.
        """
        tensors = self.of_one_dim()
        embedded = Embeddings(self._embedded(), self.times, self._once)
        return keras.layers.Reshape((len(tensors), -1))(embedded.concat())

    def of_one_dim(self) -> list[Tensor]:
        """Returns `tensors()`, to be multiplied with each other.

        Raises:
            ValueError: If no field has an embedding, or they differ in `dim`.
        """
        check_embedded([field for part in self.parts for field in part.fields])
        dims = {
            field.name: field.dim // self.times
            for part in self._embedded()
            for field in part.fields
        }
        if len(set(dims.values())) > 1:
            raise ValueError(
                "Embeddings that are multiplied with each other must have one dim. "
                f"Received: {dims}"
            )
        return self.tensors()

    def raw(self) -> list[Tensor]:
        """Returns the numbers of each field without embedding, `(batch, length)`."""
        parts = [part for part in self.parts if not part.fields[0].vocabulary_size]
        return [part.tensor for part in parts]

    def _embedded(self) -> Iterator[Part]:
        return (part for part in self.parts if part.fields[0].vocabulary_size)


def check_embedded(fields: Sequence[Field]) -> None:
    """Raises `ValueError` if no field has an embedding to interact with others."""
    if not any(field.vocabulary_size for field in fields):
        sizes = {field.name: field.vocabulary_size for field in fields}
        raise ValueError(
            "fields: one at least must have an embedding (a vocabulary_size of 1 or "
            "more), for this model lets embeddings interact. Received: "
            f"vocabulary_size {sizes}"
        )


def concat(tensors: Sequence[Tensor]) -> Tensor:
    """Returns tensors side by side; a single one as it is."""
    if not tensors:
        raise ValueError("This model needs fields that the list does not have.")
    return keras.layers.Concatenate()(tensors) if len(tensors) > 1 else tensors[0]
