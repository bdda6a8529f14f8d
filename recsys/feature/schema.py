"""The schema: which raw columns there are, and what becomes of each.

    columns:
    - {kind: categorical, name: user_id, min_count: 2}
    - {kind: categorical, name: item_id, belong: item}
    - {kind: multivalue, name: genres, belong: item, length: 4, separator: "|"}
    - {kind: numeric, name: price, belong: item, log1p: true, standardize: true}
    - kind: history
      name: watched
      of: [item_id]
      length: 50
      user: user_id
      time: timestamp
    labels: [label]
    groups: {user: user_id}

Ids are 0 for padding, 1 for unseen or missing values, and 2 and more for the rest.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, get_args

import yaml

from recsys.feature._constraints import (
    Constraint,
    Flag,
    Integer,
    ListOf,
    MapOf,
    Maybe,
    Number,
    Numbers,
    OneOf,
    Text,
    Values,
    check,
    refuse,
)
from recsys.feature._yaml import read_yaml
from recsys.feature.field import NAME, Belong, Pooling, check_weight
from recsys.feature.task import Kind, Task

PADDING, UNSEEN, FIRST_ID = 0, 1, 2
LARGEST = 3.4028234663852886e38  # of float32


@dataclass(frozen=True)
class Column:
    """What all kinds of columns have in common; not for use by itself."""

    name: str

    _constraints: ClassVar[Mapping[str, Constraint]] = {"name": NAME}

    def __post_init__(self) -> None:
        check(self)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the columns that the model reads."""
        return (self.name,)


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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
    >>> Categorical("item_id", belong="item", min_count=5).emb
    'item_id'
    """


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class History(Column):
    """The last events of the row's user, from an event log and without leakage.

    Per row the last `length` events of the same user with a strictly earlier time,
    oldest first, padded at the end with 0. Events of the same time are in the order of
    their ids, so that the result does not depend on the order of the files. Each
    attribute `a` in `of` becomes a column `<name>_<a>`; all of them list the same
    events and form one `group`, called `name`. Rows or events without a user or a
    time have no history and are part of none.

    An attribute of several values, `(rows, length, values)`, is padded with 0 as well.
    Times are in seconds where `time` is a date or a timestamp, else in its own unit.

    Args:
        name: Name of the sequence.
        of: Names of columns of the schema with one id per row, or with several: a
            `MultiValue` that is no history, whose weights do not count here.
        length: Most events.
        user: Raw column that says whose event it is.
        time: Raw column that says when: a number, a date or a timestamp.
        where: Which events count: for each raw column the value, or a list of the
            values, it must have: strings, true or false, numbers, dates or times, as
            the column has them. Default: all events.
        ages: Number of ids of a column `<name>_age`, how long before the row an event
            was: `1 + floor(log2(1 + time between them))`, at most `ages - 1`.
        session_gap: Longest time between two events of one session. Gives a column
            `<name>_session`, in which session of the user an event was: 1 is that of
            the newest event in the row's history, 2 the one before.

    Raises:
        ValueError: If an argument has another type or value than described.

    Example:
    >>> History("clicked", of=["item_id", "genre"], length=20, user="user_id",
    ...         time="timestamp", where={"action": "click"}, ages=32).outputs
    ('clicked_item_id', 'clicked_genre', 'clicked_age')
    """

    of: Sequence[str]
    length: int
    user: str
    time: str
    where: Mapping[str, Any] = field(default_factory=dict)
    ages: int | None = None
    session_gap: float | None = None

    _constraints = {
        **Column._constraints,
        "of": ListOf(Text(), "a list of names of columns"),
        "length": Integer(1),
        "user": Text(),
        "time": Text(),
        "where": MapOf(Values(), f"a mapping of raw columns to {Values.wanted}"),
        "ages": Maybe(Integer(3)),
        "session_gap": Maybe(Number(above=0)),
    }

    @property
    def attributes(self) -> dict[str, str]:
        """Output -> the column of the schema whose ids it lists."""
        return {f"{self.name}_{attribute}": attribute for attribute in self.of}

    @property
    def age(self) -> str | None:
        """Name of the output that says how long ago the events were, if any."""
        return None if self.ages is None else f"{self.name}_age"

    @property
    def session(self) -> str | None:
        """Name of the output that says in which session they were, if any."""
        return None if self.session_gap is None else f"{self.name}_session"

    @property
    def outputs(self) -> tuple[str, ...]:
        attributes = (f"{self.name}_{attribute}" for attribute in self.of)
        names = (*attributes, self.age, self.session)
        return tuple(name for name in names if name)


@dataclass(frozen=True)
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", self.source or self.name)
        check(self)
        Task(self.name, self.belong, self.num_classes)  # whether these go together


@dataclass(frozen=True)
class Schema:
    """All columns, labels and groups of a data set.

    Args:
        columns: What the model reads.
        labels: What it predicts.
        sample_weight: Raw column that weighs the rows in the loss.
        groups: Integer keys for metrics that look at each user or query by itself; no
            layer reads them. Name of the key in `x` -> raw column. Unlike ids, they
            tell users apart that `fit` has not seen.

    Raises:
        ValueError: If two columns have the same name, or a column refers to one that
            does not exist or has no ids.
    """

    columns: Sequence[Column]
    labels: Sequence[Label] = ()
    sample_weight: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "sample_weight": Maybe(Text()),
        "groups": MapOf(Text(), "a mapping of names to raw columns"),
    }

    def __post_init__(self) -> None:
        for key, wanted in (("columns", Column), ("labels", Label)):
            values = getattr(self, key)
            listed = isinstance(values, Sequence) and not isinstance(values, str)
            if not listed or not all(isinstance(value, wanted) for value in values):
                raise ValueError(
                    f"Schema: {key} must be a list of declarations. "
                    f"Received: {key}={values!r}"
                )
        check(self)
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "labels", tuple(self.labels))
        self._check_names()
        self._check_references()

    def owner(self, column: Column) -> Column:
        """Returns the column whose table `column` reads."""
        if isinstance(column, Vocabulary):
            return self.column(
                column.emb, f"{type(column).__name__} {column.name!r}: emb"
            )
        return column

    def column(self, name: str, who: str = "Schema: a column") -> Column:
        """Returns the column of a name; `who` begins the error if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ValueError(
            f"{who} must be one of {nearest(name, self._names())}. Received: {name!r}"
        )

    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    def _check_names(self) -> None:
        if not self.columns:
            raise ValueError("Schema: there must be at least one column. Received: []")
        inputs = [name for column in self.columns for name in column.outputs]
        for name in self.groups:
            if name in inputs:
                raise ValueError(
                    f"Schema: group {name!r} must be named differently from the column "
                    f"{name!r}, whose ids merge all unseen values; for example "
                    f"groups={{'{name}_key': '{self.groups[name]}'}}"
                )
        names = [*inputs, *self.groups, *(label.name for label in self.labels)]
        names += ["sample_weight"] if self.sample_weight else []
        for what, taken in (("column", self._names()), ("input and label", names)):
            folded = [name.lower() for name in taken]  # SQL ignores case
            for name in taken:
                if folded.count(name.lower()) > 1:
                    raise ValueError(
                        f"Schema: {what} names must differ, case aside. "
                        f"Received twice: {name!r}"
                    )

    def _check_references(self) -> None:
        for column in self.columns:
            owner = self.owner(column)
            shared = isinstance(owner, (Vocabulary, Hashed))
            if owner is not column and not (shared and self.owner(owner) is owner):
                raise ValueError(
                    f"{type(column).__name__} {column.name!r}: emb must name a column "
                    "that owns a vocabulary or hashes. "
                    f"Received: emb={owner.name!r}"
                )
            if isinstance(column, History):
                for name in column.of:
                    of = self.column(name, f"History {column.name!r}: of")
                    past = isinstance(of, MultiValue) and of.belong == "history"
                    ids = (Categorical, Hashed, Bucketed, MultiValue)
                    if past or not isinstance(of, ids):
                        raise ValueError(
                            f"History {column.name!r}: of must name columns with one "
                            "id per row, or several but no history. Received: "
                            f"{name!r}, which is "
                            f"{'a history' if past else type(of).__name__}"
                        )

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Schema":
        """Builds a schema from plain dicts and lists, as a YAML file holds them.

        Short forms: a string for a binary label of that name, and a list for groups
        that are named like their raw columns.
        """
        made = dict(entries)
        for key, build in (("columns", _build_column), ("labels", _build_label)):
            if isinstance(
                made.get(key), (list, tuple)
            ):  # anything else is refused by Schema
                made[key] = [build(entry) for entry in made[key]]
        if isinstance(made.get("groups"), (list, tuple)):
            made["groups"] = {name: name for name in made["groups"]}
        return cast(Schema, _build(cls, made))

    def to_dict(self) -> dict[str, Any]:
        """Returns the opposite of `from_dict`, without what is left to defaults."""
        kinds = {cls: kind for kind, cls in KINDS.items()}
        entries = {
            "columns": [{"kind": kinds[type(c)], **_set_by(c)} for c in self.columns],
            "labels": [_set_by(label) for label in self.labels],
            "sample_weight": self.sample_weight,
            "groups": dict(self.groups),
        }
        return {key: value for key, value in entries.items() if value}

    @classmethod
    def from_yaml(cls, path: str | Path) -> "Schema":
        """Reads a schema file.

        Args:
            path: A YAML file with the arguments of `Schema` as keys; each column is a
                mapping of `kind` (`categorical`, `hashed`, `numeric`, `bucketed`,
                `multivalue`, `history`) and the arguments of that class.

        Raises:
            ValueError: If the file is missing, is no YAML or describes no schema.
        """
        try:
            entries = read_yaml(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"Schema {str(path)!r} cannot be read: {error}") from error
        if not isinstance(entries, Mapping):
            raise ValueError(
                f"Schema {str(path)!r} must be a mapping with the key 'columns'. "
                f"Received: {entries!r}"
            )
        try:
            return cls.from_dict(entries)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def to_yaml(self, path: str | Path) -> None:
        """Writes a file that `from_yaml` reads."""
        text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
        Path(path).write_text(text, encoding="utf-8")


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns the end of an error text: all names, and those most like `name`."""
    names = sorted(names)
    near = difflib.get_close_matches(str(name), names)
    return ", ".join(names) + (f" (nearest: {', '.join(near)})" if near else "")


KINDS: Mapping[str, type[Column]] = {
    "categorical": Categorical,
    "hashed": Hashed,
    "numeric": Numeric,
    "bucketed": Bucketed,
    "multivalue": MultiValue,
    "history": History,
}


def _build_column(entry: Any) -> Column:
    if isinstance(entry, Column):
        return entry
    if not isinstance(entry, Mapping) or entry.get("kind") not in KINDS:
        raise ValueError(
            f"Schema: each column must be a mapping with a kind of {tuple(KINDS)}. "
            f"Received: {entry!r}"
        )
    arguments = dict(entry)
    return cast(Column, _build(KINDS[arguments.pop("kind")], arguments))


def _build_label(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        return _build(Label, entry)
    return Label(entry) if isinstance(entry, str) else entry


def _build(cls: type[Any], arguments: Mapping[str, Any]) -> Any:
    """Calls `cls`; unknown and missing arguments are errors that name the entry."""
    who = f"{cls.__name__} {arguments['name']!r}" if "name" in arguments else "Schema"
    known = {f.name: f for f in fields(cls)}
    for key in arguments:
        if key not in known:
            raise ValueError(
                f"{who}: arguments must be of {nearest(key, known)}. Received: {key!r}"
            )
    for key, f in known.items():
        required = f.default is MISSING and f.default_factory is MISSING
        if required and key not in arguments:
            raise ValueError(f"{who}: {key} must be given. Received: {arguments!r}")
    return cls(**arguments)


def _set_by(declaration: Any) -> dict[str, Any]:
    """The arguments of a dataclass that differ from their defaults."""
    values = {f.name: getattr(declaration, f.name) for f in fields(declaration)}
    defaults = {f.name: f.default for f in fields(declaration)}
    defaults.update(source=values["name"], emb=values["name"])
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in values.items()
        if value != defaults[key] and value != {}
    }
