"""What a column of the input is."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar, Literal, get_args

from recsys.feature._constraints import (
    Constraint,
    Integer,
    KerasObject,
    Maybe,
    Name,
    Number,
    Numbers,
    OneOf,
    Text,
    check,
    refuse,
)
from recsys.feature._repr import short_repr
from recsys.feature.content import AContent, Content, check_content

Belong = Literal["history", "user", "item", "domain", "context", "task"]
Pooling = Literal["mean", "sum", "max"]
Role = Literal["attribute", "time", "session"]

BINS = "two or more that rise by normal float32 numbers"


def are_bins(edges: Sequence[float]) -> bool:
    """Whether edges are `BINS`: a model divides by the width of each bin."""
    import numpy as np  # late: `import recsys` loads nothing heavy

    with np.errstate(all="ignore"):
        widths = np.diff(np.asarray(edges, "float32"))
    kind = np.finfo("float32")
    normal = (widths >= kind.tiny) & (widths <= kind.max)
    return len(widths) > 0 and bool(normal.all())


_DTYPES = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32",
    "float16", "float32", "float64", "bool",
)  # fmt: skip
NAME = Name("/.\0")  # '/' ends a scope, '.' a nested column, NUL the text of a file


def check_weight(column: Any) -> None:
    """Raises `ValueError` if what weighs the values of a column cannot."""
    if column.weight == column.name:
        refuse(column, "weight", "the name of another column")
    pooled = column.pooling == "max" and column.belong != "history"
    if column.weight is not None and pooled:
        refuse(column, "weight", "None where pooling='max', which takes no weights")


@dataclass(repr=False)
class Field:
    """One input column and the table that embeds it.

    | declared | column | embedding |
    | --- | --- | --- |
    | `vocabulary_size > 1` | one id, `(batch,)` | its row of the table |
    | the same, `length > 1` | ids, `(batch, length)`, 0 is padding | rows, pooled |
    | the same, `belong="history"` | ids, oldest first, 0 is padding | rows, unpooled |
    | the same, `values > 1` | `(batch, length, values)`, 0 is padding | a row a step |
    | `vocabulary_size=1` | one number | number times a learned vector |
    | `vocabulary_size=0` | `length` numbers | themselves: the deep part only |

    A field whose `emb` names another field's table needs no `vocabulary_size` and
    no `dim` of its own.

    Args:
        name: Name of the column.
        emb: Name of the table; fields with the same `emb` share it. Default: `name`.
        dim: Width of the embedding.
        vocabulary_size: Number of ids, 0 included: ids are in `[0, vocabulary_size)`.
        l2_reg: Weight of the L2 penalty on the rows of the table that a batch
            touches: `l2_reg / 2 * sum of squares`, once per distinct id.
        regularizer: Penalty on the whole table instead, a Keras name or instance:
            `keras.regularizers.L2(l / 2)` is what other libraries mean by an L2 of l.
            Each step then costs what the table is large.
        initializer: Initializer of the table, a Keras name or instance.
        belong: Whose field it is. `"history"` is past behaviour; the item fields are
            the target that queries it.
        length: Most ids of a history or multi-value field; width of a raw field.
        group: Histories of one group are one sequence with several attributes. Some
            models give `group` a meaning of their own.
        dtype: Type of the column: an integer type for ids, any for numbers.
        pooling: How a multi-value field becomes one vector, and the values of one
            behaviour of a history. How a history does is up to the model.
        weight: Name of a `(batch, length)` column that weighs the values of a
            multi-value field, in a mean or a sum. Models do not read that of a history.
        counts: How often each id occurs in the training data, `(vocabulary_size,)`.
            Divides the L2 penalty of a row (DIN, section 5.1); of the item, says how
            often `sampler="unigram"` draws it as a negative.
        reserved: Ids below it stand for no item: 0, and from a FeaturePipeline 1 for
            what it has not seen. They are never drawn and never recommended.
        role: What a history's ids say of a behaviour: an `"attribute"`; the `"time"`
            from it to the target, in buckets that grow with it; or its `"session"`, 1
            the most recent. Models that know nothing of times or sessions take them
            as attributes.
        values: Most values of one behaviour of a history; they are pooled.
        edges: Of a number (`vocabulary_size=1`), the edges `b_0 < ... < b_T` of its
            bins, whose widths float32 must hold. Its embedding is then linear in each
            bin: a linear map of the piecewise linear encoding of Gorishniy et al. 2022,
            see `PiecewiseLinear`.
        fingerprint: Of the fitted pipeline that makes the column. A model refuses data
            that it knows to be of another one.
        content: Vectors of the ids' items, which the embedding is also made of, see
            `Content`. One field of a table says it for all.

    Raises:
        ValueError: If an argument is outside the values above.

    Example:
    >>> Field("item_id", vocabulary_size=1000, dim=16, belong="item").emb
    'item_id'
    >>> Field("seen", emb="item_id", belong="history", length=20)
    Field('seen', emb='item_id', belong='history', length=20)
    """

    name: str
    emb: str = ""
    dim: int = 4
    vocabulary_size: int = 1
    l2_reg: float = 0.0
    initializer: Any = "uniform"
    belong: Belong = "user"
    length: int = 1
    group: str = "default"
    dtype: str = "int32"
    _: KW_ONLY
    pooling: Pooling = "mean"
    weight: str | None = None
    counts: Sequence[int] | None = field(default=None, repr=False, compare=False)
    reserved: int = 1
    role: Role = "attribute"
    values: int = 1
    regularizer: Any = None
    edges: Sequence[float] | None = None
    fingerprint: str | None = field(default=None, repr=False, compare=False)
    content: Content | None = field(default=None, compare=False)

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "name": NAME,
        "emb": NAME,
        "dim": Integer(1),
        "vocabulary_size": Integer(0),
        "l2_reg": Number(0),
        "initializer": KerasObject("initializer"),
        "belong": OneOf(get_args(Belong)),
        "length": Integer(0),
        "group": Text(),
        "dtype": OneOf(_DTYPES),
        "pooling": OneOf(get_args(Pooling)),
        "weight": Maybe(NAME),
        "counts": Maybe(Numbers("a list of finite numbers of at least 0", 0)),
        "reserved": Integer(0),
        "role": OneOf(get_args(Role)),
        "values": Integer(1),
        "regularizer": Maybe(KerasObject("regularizer")),
        "edges": Maybe(Numbers(BINS)),
        "fingerprint": Maybe(Text()),
        "content": Maybe(AContent()),
    }

    def __post_init__(self) -> None:
        self.emb = self.emb or self.name
        self.check()

    __repr__ = short_repr

    @property
    def is_table(self) -> bool:
        """Whether the field declares the size of a table of ids."""
        return self.vocabulary_size > 1

    def check(self) -> None:
        """Raises `ValueError` if an attribute has a value no model can use."""
        check(self)
        if self.belong != "history" and (self.role, self.values) != ("attribute", 1):
            refuse(self, "belong", "'history' where role or values are given")
        if self.l2_reg and self.regularizer is not None:
            refuse(self, "l2_reg", "0 where a regularizer is given")
        if self.is_table and "int" not in self.dtype:
            refuse(self, "dtype", "an integer type for a field of ids")
        if self.belong == "history" and self.length < 1:
            refuse(self, "length", "at least 1 for a history")
        check_weight(self)
        if self.edges is not None:
            self.edges = tuple(map(float, self.edges))
            if self.vocabulary_size != 1 or (
                self.length > 1 and self.belong != "history"
            ):
                refuse(self, "edges", "None for all but a number")
            if not are_bins(self.edges):
                refuse(self, "edges", BINS)
        if self.counts is not None and len(self.counts) != self.vocabulary_size:
            raise ValueError(
                f"Field {self.name!r}: counts must be of length "
                f"{self.vocabulary_size}. Received: {len(self.counts)} counts"
            )
        if self.content is not None:
            check_content(self)
