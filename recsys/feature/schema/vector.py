"""Vectors: what a text or an image became, of a row or of an item."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

from recsys.feature._constraints import Integer, Maybe, OneOf, Text, refuse
from recsys.feature.content import HOW, Fuse
from recsys.feature.schema.columns import RawColumn

Half = Literal["float16", "float32"]


@dataclass(frozen=True, repr=False)
class Vector(RawColumn):
    """A list of numbers, all of one length: of each row, or of each item by its id.

    Of a row it is a column `(rows, length)` of the model input, float32 as it comes.
    Where a row has none, that is a missing value, an empty list or an empty string, it
    is all 0.

    Of an item, `of="item_id"`, it is no column of the model input: `fit` learns one
    matrix by item id, from the column of its data or of its `items`, and all fields
    that share the item's table have it as `Field.content`. So the item, histories of
    it and the catalogue read it by their ids. An item with a vector has an id of its
    own even if it has no events, or fewer than `min_count` of the item; what it lacks
    is a row in the table of ids. Rows without an item tell nothing. A vector of zeros
    is none.

    `fit` chooses the scale, once, by the vectors of all items: if their lengths are
    within a hundredth of the mean length, they are of an encoder trained by cosine, and
    each is divided by its length. Of others, raw activations or factors, the mean is
    subtracted and all is divided by one standard deviation, which leaves their angles
    and the shares of their directions as they are; a deviation for each number would
    raise what is noise, and a vector beside which nothing is left of the others is an
    error. Both are what a linear projection can be trained on at the learning rates of
    the rest.

    Args:
        name: As in `Categorical`, like `source`; `belong` is said of a row's only.
        length: Numbers of a vector; others, and numbers that are missing, not finite or
            beyond float32, are errors.
        separator: What stands between the numbers if the column is of strings.
        of: Name of the `Categorical` column of the item, which owns its vocabulary.
        fuse: How it meets the embedding of the id, as in `Content`.
        id_dropout: As in `Content`. With `"sum"` and `"concat"` a model that never does
            without the row of an id leaves to it what vectors could tell of new items.
        dtype: Type of the matrix; the vectors of a million items, 768 numbers each, are
            1.5 GB of float16.

    Raises:
        ValueError: If an argument has another type or value than described.

    Example:
    >>> from recsys.data import Categorical, FeaturePipeline
    >>> columns = [Categorical("item"), Vector("image", 2, of="item")]
    >>> items = {"item": ["a", "b"], "image": [[3.0, 4.0], [0.0, 5.0]]}
    >>> pipeline = FeaturePipeline(columns).fit({"item": ["b"]}, items=items)
    >>> pipeline.fields()[0].content.vectors  # ids 0 and 1, b, a
    array([[0. , 0. ],
           [0. , 0. ],
           [0. , 1. ],
           [0.6, 0.8]], dtype=float16)
    """

    length: int
    _: KW_ONLY
    separator: str | None = None
    of: str | None = None
    fuse: Fuse = "sum"
    id_dropout: float = 0.0
    dtype: Half = "float16"

    _constraints = {
        **RawColumn._constraints,
        **HOW,
        "length": Integer(1),
        "separator": Maybe(Text()),
        "of": Maybe(Text()),
        "dtype": OneOf(get_args(Half)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.belong == "history":
            refuse(self, "belong", "that of a row; histories name the item in `of`")
        if self.of is not None and self.belong != "user":
            refuse(self, "belong", f"left to {self.of!r}, whose vectors they are")
        default = ("sum", 0.0, "float16")
        if self.of is None and (self.fuse, self.id_dropout, self.dtype) != default:
            refuse(self, "of", "given where fuse, id_dropout or dtype are")

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name,) if self.of is None else ()
