"""Kinds of columns of one value, or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from recsys.feature._constraints import (
    Constraint,
    Flag,
    Integer,
    Maybe,
    Number,
    Numbers,
    OneOf,
    Text,
    check,
    refuse,
)
from recsys.feature._repr import short_repr
from recsys.feature.field import NAME, Belong, Pooling, check_weight
from recsys.feature.task import Kind, Task

PADDING, UNSEEN, FIRST_ID = 0, 1, 2


LARGEST = 3.4028234663852886e38  # of float32


@dataclass(frozen=True, repr=False)
class Column:
    """What all kinds of columns have in common; not for use by itself."""

    name: str

    _constraints: ClassVar[Mapping[str, Constraint]] = {"name": NAME}

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check(self)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that the model reads."""
        return (self.name,)


@dataclass(frozen=True, kw_only=True, repr=False)
class RawColumn(Column):
    """What columns made from one raw column have in common."""

    source: str = ""
    belong: Belong = "user"

    _constraints = {
        **Column._constraints,
        "source": Text(),
        "belong": OneOf(get_args(Belong)),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source or self.name)
        super().__post_init__()


@dataclass(frozen=True, kw_only=True, repr=False)
class Vocabulary(RawColumn):
    """What columns with a vocabulary have in common; not for use by itself."""

    emb: str = ""
    min_count: int = 1
    max_size: int | None = None
    empty_is_missing: bool = True

    _constraints = {
        **RawColumn._constraints,
        "emb": Text(),
        "min_count": Integer(1),
        "max_size": Maybe(Integer(1)),
        "empty_is_missing": Flag(),
    }

    def __post_init__(self) -> None:
        object.__setattr__(self, "emb", self.emb or self.name)
        super().__post_init__()
        if self.emb != self.name:
            own = f"left to {self.emb!r}, which owns the vocabulary"
            if self.min_count != 1:
                refuse(self, "min_count", own)
            if self.max_size is not None:
                refuse(self, "max_size", own)


@dataclass(frozen=True, kw_only=True, repr=False)
class Categorical(Vocabulary):
    """One of a set of values: integers, strings, booleans or dates.

    The id is 1 for values `fit` has not seen, or too rarely, and for missing ones;
    then 2 and so on by falling count, values of equal count in their own order.

    Args:
        name: Name of the column that the model reads.
        source: Name of the raw column. Default: `name`.
        belong: Whose field it is, as in `Field`.
        emb: Name of the column whose vocabulary, or hash, and table it shares.
            Default: `name`, it owns one itself.
        min_count: Values that `fit` sees fewer times share the id of unseen ones, whose
            embedding they train. With 1 nothing does.
        max_size: Most values with an id of their own; the most frequent stay.
        empty_is_missing: Whether an empty string is a missing value. If not, it is a
            value of a column of strings, and so is an empty field of a CSV file, which
            does not tell them apart.

    Raises:
        ValueError: If an argument has another type or value than described.

    Example:
    >>> Categorical("item_id", belong="item", min_count=5)
    Categorical('item_id', belong='item', min_count=5)
    """


@dataclass(frozen=True, kw_only=True, repr=False)
class Hashed(RawColumn):
    """One of a set of values too many to list: hashed into buckets.

    The id is 2 + `int(md5(text).hexdigest()[:8], 16) % num_buckets`, where text is
    the value in UTF-8 (`17`, `true`, `2020-12-31`); 1 for missing values. `fit` learns
    nothing here, so the id is the same on every run, machine and language.

    Args:
        name: As in `Categorical`, like `source`, `belong` and `empty_is_missing`.
        num_buckets: Number of buckets.

    Raises:
        ValueError: If an argument has another type or value than described.
    """

    num_buckets: int
    empty_is_missing: bool = True

    _constraints = {
        **RawColumn._constraints,
        "num_buckets": Integer(1),
        "empty_is_missing": Flag(),
    }


@dataclass(frozen=True, kw_only=True, repr=False)
class Numeric(RawColumn):
    """A number that stays a number, float32.

    A value is missing if it is null, NaN, infinite or beyond float32.

    Args:
        name: As in `Categorical`, like `source` and `belong`.
        log1p: Whether to take `sign(x) * log(1 + |x|)`.
        standardize: Whether to then subtract the mean and divide by the standard
            deviation of the data of `fit`, missing values left out (by 1 if all
            its values are equal).
        fill: What stands for a missing value: a number in the units of the raw column,
            or `"mean"`, the mean of the data of `fit` (after `log1p`). Without it
            missing values are an error.
        bins: Most bins of a piecewise linear encoding, cut at quantiles of the data of
            `fit` as in `Bucketed`. The model encodes the number, see `Field.edges`.
            Bins whose width float32 cannot hold are left out.

    Raises:
        ValueError: If an argument has another type or value than described.
    """

    log1p: bool = False
    standardize: bool = False
    fill: float | Literal["mean"] | None = None
    bins: int | None = None

    _constraints = {
        **RawColumn._constraints,
        "log1p": Flag(),
        "standardize": Flag(),
        "fill": Maybe(Number(-LARGEST, most=LARGEST), OneOf(("mean",))),
        "bins": Maybe(Integer(2)),
    }


@dataclass(frozen=True, kw_only=True, repr=False)
class Bucketed(RawColumn):
    """A number turned into an id by its bucket.

    The id is 2 + the number of edges at or below the value; 1 for missing values (null,
    NaN, infinite, beyond float32).

    The edges are given, or the quantiles `1/n, ..., (n-1)/n` of the data of `fit`. A
    value so frequent that several of these are equal to it has a bucket of its own,
    from it to the next larger value; the quantiles are then those of the other values,
    of so many buckets as are left.

    Args:
        name: As in `Categorical`, like `source` and `belong`.
        num_buckets: `n`, the most buckets; or else
        edges: What lies between the buckets, rising.

    Raises:
        ValueError: If an argument has another type or value than described.

    Example:
    >>> from recsys.data import FeaturePipeline
    >>> pipeline = FeaturePipeline([Bucketed("age", edges=[18, 65])])
    >>> pipeline.fit({"age": [30]}).transform({"age": [17, 18, 70, None]}).to_pydict()
    {'age': [2, 3, 4, 1]}
    """

    num_buckets: int | None = None
    edges: Sequence[float] | None = None

    _constraints = {
        **RawColumn._constraints,
        "num_buckets": Maybe(Integer(2)),
        "edges": Maybe(Numbers("finite numbers that rise", rising=True)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.num_buckets is None) == (self.edges is None):
            refuse(self, "num_buckets", "given, or else edges")
        if self.edges is not None:
            object.__setattr__(self, "edges", tuple(map(float, self.edges)))


@dataclass(frozen=True, kw_only=True, repr=False)
class MultiValue(Vocabulary):
    """Several values per row: a list column, or a delimited string.

    Ids as in `Categorical` (or as in the column that `emb` names), padded at the end
    with 0 to `length`. A history that the files already hold is a `MultiValue` with
    `belong="history"`, its events oldest first.

    Args:
        name: As in `Categorical`, like `source`, `belong`, `emb`, `min_count`,
            `max_size` and `empty_is_missing`, which is about single values.
        length: Most values of a row; of longer rows the first `length` are kept, the
            last if it is a history.
        separator: What stands between the values if the column is of strings; an
            empty string has no values.
        weight: Name of a raw column of as many numbers per row, lists or delimited
            strings as the values are. It becomes a column of the same name,
            padded with 0. Weights that are missing, NaN or infinite are 0; others are
            at least 0 and such as float32 holds. For a mean or a sum.
        group: Histories of one group are one sequence with several attributes.
        pooling: How the embeddings become one vector, as in `Field`.

    Raises:
        ValueError: If an argument has another type or value than described.
    """

    length: int
    separator: str | None = None
    weight: str | None = None
    group: str = "default"
    pooling: Pooling = "mean"

    _constraints = {
        **Vocabulary._constraints,
        "length": Integer(1),
        "separator": Maybe(Text()),
        "weight": Maybe(NAME),
        "group": Text(),
        "pooling": OneOf(get_args(Pooling)),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 2 and self.belong != "history":
            refuse(self, "length", Integer(2).wanted)
        check_weight(self)

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, self.weight) if self.weight else (self.name,)


@dataclass(frozen=True, repr=False)
class Label:
    """What a task predicts: a column of float32, in which NaN means not known.

    Args:
        name: Name of the task.
        source: Name of the raw column. Default: `name`.
        belong: Kind of the task, as in `Task`: a binary label is 0 or 1, a multiclass
            label an integer in `[0, num_classes)`, a count at least 0, a regression
            label any number.
        num_classes: Classes of a multiclass task; 1 otherwise.

    Raises:
        ValueError: If an argument has another type or value than described.
    """

    name: str
    source: str = field(default="", kw_only=True)
    belong: Kind = field(default="binary", kw_only=True)
    num_classes: int = field(default=1, kw_only=True)

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        **{key: Task._constraints[key] for key in ("name", "belong", "num_classes")},
        "source": Text(),
    }

    __repr__ = short_repr

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source or self.name)
        check(self)
        Task(self.name, self.belong, self.num_classes)  # whether these go together
