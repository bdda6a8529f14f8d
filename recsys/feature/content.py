"""What items look or sound like: a vector of each, by its id."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from recsys.feature._arrays import as_numbers
from recsys.feature._constraints import (
    Constraint,
    Integer,
    Maybe,
    Number,
    OneOf,
    Same,
    check,
    refuse,
)

Fuse = Literal["sum", "concat", "content"]
HOW: Mapping[str, Constraint] = {
    "fuse": OneOf(get_args(Fuse)),
    "id_dropout": Number(0, below=1),
}
"""What a declaration of vectors may say of how they meet the ids."""


@dataclass(frozen=True, eq=False, repr=False)
class Content:
    r"""Vectors of the items of a table by their ids, which are not trained.

        u_i = c_i P + b     of an item that has a vector
              n_0           of one that has none: its row of c is all zero
        e_i = E_i + u_i     "sum"
              [E_i, u_i]    "concat", each of half of the width
              u_i           "content": there is no table of ids

    P, b and n_0 are learned, and shared by all fields of the table; what E_i is beside
    c_i, an item that nobody has chosen lacks. So E_i is 0 for ids from `num_rows` on,
    and in training for some of the others, that the model learns to do without.

    Args:
        vectors: c, `(vocabulary_size, width)`, float16 or float32; float64 becomes
            float32. Rows of ids that stand for no item (`Field.reserved`) are 0.
        fuse: How e_i is made.
        id_dropout: Fraction of the ids of a training step whose E_i is 0 wherever they
            are in it, in [0, 1).
        num_rows: Ids from here on occur too seldom in training to have an E_i. Default:
            all have one.

    Raises:
        ValueError: If an argument is outside the values above, or a number of `vectors`
            is not finite.
    """

    vectors: Any
    fuse: Fuse = "sum"
    id_dropout: float = 0.0
    num_rows: int | None = None

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        **HOW,
        "num_rows": Maybe(Integer(0)),
    }

    def __post_init__(self) -> None:
        import numpy as np  # late: `import recsys` loads nothing heavy

        check(self)
        vectors = as_numbers("Content: vectors", self.vectors)
        if vectors.ndim != 2 or vectors.dtype.kind != "f" or not vectors.size:
            raise ValueError(
                "Content: vectors must be floating numbers, (vocabulary_size, width). "
                f"Received: {vectors.dtype} of shape {vectors.shape}"
            )
        if vectors.dtype not in ("float16", "float32"):
            with np.errstate(over="ignore"):  # the next lines say so
                vectors = vectors.astype("float32")
        for start in range(0, len(vectors), 2**14):
            bad = ~np.isfinite(vectors[start : start + 2**14]).all(axis=1)
            if bad.any():
                raise ValueError(
                    "Content: vectors must be of finite numbers that float32 holds. "
                    f"Received: others in the row of id {start + int(bad.argmax())}"
                )
        object.__setattr__(self, "vectors", vectors)

    def __repr__(self) -> str:
        rows, width = self.vectors.shape
        return f"Content({rows} vectors of {width}, fuse={self.fuse!r})"

    def __eq__(self, other: object) -> bool:
        import numpy as np  # late, as above

        if not isinstance(other, Content):
            return NotImplemented
        options = (self.fuse, self.id_dropout, self.num_rows)
        if options != (other.fuse, other.id_dropout, other.num_rows):
            return False
        one, two = self.vectors, other.vectors
        return one is two or (one.dtype == two.dtype and np.array_equal(one, two))

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        width: int = self.vectors.shape[1]
        return width


@dataclass(frozen=True)
class AContent(Same):
    """Vectors of the items of a table."""

    wanted: ClassVar[str] = "a Content"

    def accepts(self, value: Any) -> bool:
        return isinstance(value, Content)


def check_content(field: Any) -> None:
    """Raises `ValueError` if a field cannot have the vectors that it says it has."""
    content: Content = field.content
    if field.vocabulary_size != len(content.vectors):
        raise ValueError(
            f"Field {field.name!r}: content must have a vector for each id, "
            f"vocabulary_size={field.vocabulary_size}. Received: {content!r}"
        )
    if field.belong == "domain":
        refuse(field, "content", "None for a domain")
    if content.vectors[: field.reserved].any():
        raise ValueError(
            f"Field {field.name!r}: content must be 0 for ids below reserved="
            f"{field.reserved}, which stand for no item. Received: other numbers"
        )
