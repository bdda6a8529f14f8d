"""A schema: columns, labels, weight and groups, and its file."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import yaml

from recsys.feature._constraints import Constraint, MapOf, Maybe, Text, check
from recsys.feature._names import nearest
from recsys.feature._repr import short_repr
from recsys.feature._yaml import read_yaml
from recsys.feature.schema.columns import (
    Bucketed,
    Categorical,
    Column,
    Hashed,
    Label,
    MultiValue,
    Numeric,
    Vocabulary,
)
from recsys.feature.schema.history import History
from recsys.feature.schema.vector import Vector


@dataclass(frozen=True, repr=False)
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

    Example:
    >>> Schema([Categorical("item"), Numeric("price")], labels=[Label("click")])
    Schema((Categorical('item'), Numeric('price')), labels=(Label('click'),))
    """

    columns: Sequence[Column]
    labels: Sequence[Label] = ()
    sample_weight: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    _constraints: ClassVar[Mapping[str, Constraint]] = {
        "sample_weight": Maybe(Text()),
        "groups": MapOf(Text(), "a mapping of names to raw columns"),
    }

    __repr__ = short_repr

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

    @property
    def vectors(self) -> list[Vector]:
        """The vectors of items by their ids."""
        vectors = [column for column in self.columns if isinstance(column, Vector)]
        return [column for column in vectors if column.of is not None]

    @property
    def of_rows(self) -> "Schema":
        """The schema without `vectors`, which are no columns of rows."""
        ours = [column for column in self.columns if column not in self.vectors]
        return replace(self, columns=ours) if self.vectors else self

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
            if isinstance(column, Vector) and column.of is not None:
                self._check_vector(column, column.of)
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

    def _check_vector(self, vector: Vector, of: str) -> None:
        item = self.column(of, f"Vector {vector.name!r}: of")
        if not isinstance(item, Categorical) or item.emb != item.name:
            raise ValueError(
                f"Vector {vector.name!r}: of must name a Categorical column that owns "
                f"its vocabulary. Received: {item!r}"
            )
        both = [each.name for each in self.vectors if each.of == of]
        if both[1:]:
            raise ValueError(
                f"Vector {vector.name!r}: {of!r} must have one vector; put several "
                f"side by side into one column. Received: {both}"
            )

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Schema":
        """Builds a schema from plain dicts and lists, as a YAML file holds them.

        Short forms: a string for a binary label of that name, and a list for groups
        that are named like their raw columns.
        """
        made = dict(entries)
        for key, build in (("columns", build_column), ("labels", build_label)):
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
                `multivalue`, `history`, `vector`) and the arguments of that class.

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


KINDS: Mapping[str, type[Column]] = {
    "categorical": Categorical,
    "hashed": Hashed,
    "numeric": Numeric,
    "bucketed": Bucketed,
    "multivalue": MultiValue,
    "history": History,
    "vector": Vector,
}


def build_column(entry: Any) -> Column:
    """Builds a column from a mapping of `kind` and arguments; one made is kept."""
    if isinstance(entry, Column):
        return entry
    if not isinstance(entry, Mapping) or entry.get("kind") not in KINDS:
        raise ValueError(
            f"Schema: each column must be a mapping with a kind of {tuple(KINDS)}. "
            f"Received: {entry!r}"
        )
    arguments = dict(entry)
    return cast(Column, _build(KINDS[arguments.pop("kind")], arguments))


def build_label(entry: Any) -> Any:
    """Builds a label from its name or a mapping of arguments; one made is kept."""
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
