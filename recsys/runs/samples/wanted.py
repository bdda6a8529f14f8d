"""What is read of the files, and for whom."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recsys.data.raw import raw_columns, who_is
from recsys.feature._names import nearest
from recsys.feature.schema.columns import MultiValue, RawColumn
from recsys.feature.schema.history import History
from recsys.feature.schema.schema import Schema
from recsys.runs.config import Config
from recsys.runs.matching.kind import is_match
from recsys.runs.samples.labels import Rule, rules

KEYS = ("user", "item", "time")
OPTIONS = {
    "time": ("valid", "test", "gap", "valid_from", "test_from", "until"),
    "user_time": ("valid", "test"),
    "leave_one_out": (),
    "ratio": ("valid", "test", "seed"),
    "users": ("valid", "test", "seed"),
    "files": ("valid_files", "test_files"),
}


@dataclass(frozen=True)
class Wanted:
    """A run's declarations, as its samples need them.

    Args:
        config: The run.
        schema: Its schema.

    Raises:
        ValueError: If a section contradicts itself or another one.
    """

    config: Config
    schema: Schema

    def __post_init__(self) -> None:
        self._check_split()
        self._check_keys()
        if self.config.training.keep_negatives < 1 and [
            label.belong for label in self.schema.labels
        ] != ["binary"]:
            raise ValueError(
                "training.keep_negatives must be 1 but for one binary label. Received: "
                f"labels {[label.name for label in self.schema.labels]}"
            )
        samples = self.config.samples
        if samples.negatives and samples.negatives.label in samples.labels:
            raise ValueError(
                "samples.negatives: label must be made by no rule of samples.labels. "
                f"Received: {samples.negatives.label!r}"
            )
        read = {name for name, _ in self._readers()}
        for name in self.made:
            if name not in read:
                raise ValueError(
                    "samples: a label that is made must be read by the schema or by "
                    f"samples.where. Received: {name!r}, which is none of "
                    f"{nearest(name, read)}"
                )

    @cached_property
    def rules(self) -> list[Rule]:
        """The labels by a rule."""
        return rules(self.config.samples.labels)

    @property
    def made(self) -> list[str]:
        """Columns that no file has: the labels that are made."""
        negatives = self.config.samples.negatives
        return [*self.config.samples.labels, *([negatives.label] if negatives else [])]

    @property
    def kinds(self) -> dict[str, str]:
        """Raw columns that are read, as `read_files` wants them."""
        kinds = raw_columns(self.schema, self.schema.columns, {})
        for rule in self.rules:
            kinds.setdefault(rule.column, "float64")
        data = self.config.data
        chosen = [each for where in self._chosen.values() for each in where.items()]
        for name in (data.user, data.item, data.time, *(name for name, _ in chosen)):
            if name is not None and kinds.get(name, "float64") == "float64":
                kinds[name] = ""
        for name, wanted in chosen:
            texts = wanted if isinstance(wanted, list) else [wanted]
            if kinds[name] == "" and all(isinstance(text, str) for text in texts):
                kinds[name] = "string"
        return {name: kind for name, kind in kinds.items() if name not in self.made}

    @property
    def positives(self) -> dict[str, Any]:
        """Which rows a match model learns from; no other model reads this."""
        return self.config.samples.positives if is_match(self.config) else {}

    @property
    def _chosen(self) -> dict[str, dict[str, Any]]:
        """What is asked of the values of raw columns, and by whom."""
        where = self.config.samples.where
        return {"samples.where": where, "samples.positives": self.positives}

    @property
    def histories(self) -> list[History]:
        """The histories of the schema."""
        return [c for c in self.schema.columns if isinstance(c, History)]

    @property
    def of_events(self) -> list[str]:
        """Raw columns that histories are made from."""
        names: dict[str, None] = {}
        for history in self.histories:
            names |= dict.fromkeys((history.user, history.time, *history.where))
            for column in map(self.schema.column, history.of):
                names |= dict.fromkeys(sources(column))
        return [*names]

    def of_items(self, joined: Iterable[str]) -> list[str]:
        """Returns the raw columns of the item, its id first.

        Args:
            joined: Those that the files of items have.
        """
        own = [
            source
            for column in self.schema.columns
            if isinstance(column, RawColumn) and column.belong == "item"
            for source in sources(column)
        ]
        names = dict.fromkeys([str(self.config.data.item), *own, *joined])
        return [name for name in names if name not in self.made]

    def check_there(
        self, names: Collection[str], every: Callable[[], Collection[str]]
    ) -> None:
        """Raises `ValueError` unless all raw columns are there.

        Args:
            names: Those that are, of what is read.
            every: Gives those of the files, for the error.
        """
        for name, who in self._readers():
            if name not in names and name not in self.made:
                raise ValueError(
                    f"{who}: the data must have a column {name!r}. "
                    f"Received: {nearest(name, {*every()})}"
                )

    def _readers(self) -> Iterator[tuple[str, str]]:
        """Raw columns, and who reads them."""
        for column in self.schema.columns:
            if isinstance(column, History):
                for name in (column.user, column.time, *column.where):
                    yield name, who_is(column)
            for name in sources(column):
                yield name, who_is(column)
        for label in self.schema.labels:
            yield label.source, who_is(label)
        if self.schema.sample_weight:
            yield self.schema.sample_weight, "Sample weight"
        for key, name in self.schema.groups.items():
            yield name, f"Group {key!r}"
        for who, where in self._chosen.items():
            for name in where:
                yield name, who
        for rule in self.rules:
            yield rule.column, rule.who
        for key in KEYS:
            if (name := getattr(self.config.data, key)) is not None:
                yield name, f"data.{key}"

    def _check_split(self) -> None:
        split = self.config.split
        for name, field in type(split).model_fields.items():
            value = getattr(split, name)
            used = name == "by" or name in OPTIONS[split.by]
            if not used and value != field.default:
                raise ValueError(
                    f"split.{name} must be left out where split.by is {split.by!r}. "
                    f"Received: {value!r}"
                )
            if split.by == "files" and name in OPTIONS["files"] and not value:
                raise ValueError(
                    f"split.{name} must name files where split.by is 'files'. "
                    "Received: none"
                )
            if split.test_from is not None and name in ("valid", "test"):
                if value != field.default:
                    raise ValueError(
                        f"split.{name} must be left out where split.{name}_from says "
                        f"when it begins. Received: {value!r}"
                    )
        several = [*self.config.data.files, *split.valid_files, *split.test_files]
        for file in several:
            if several.count(file) > 1:
                raise ValueError(
                    "data.files, split.valid_files and split.test_files must name each "
                    f"file once. Received twice: {file!r}"
                )
        if split.valid + split.test >= 1:
            raise ValueError(
                "split: valid and test must leave rows to train, and sum to less than "
                f"1. Received: {split.valid:g} and {split.test:g}"
            )

    def _check_keys(self) -> None:
        config = self.config
        split, samples = config.split.by, config.samples
        needed = {
            "user": {
                f"split.by {split!r}": split in ("user_time", "leave_one_out", "users"),
                "samples.min_user_events": samples.min_user_events > 1,
                "samples.negatives": samples.negatives is not None,
                "data.users": bool(config.data.users),
            },
            "item": {
                "samples.min_item_events": samples.min_item_events > 1,
                "samples.negatives": samples.negatives is not None,
                "data.items": bool(config.data.items),
            },
            "time": {
                f"split.by {split!r}": split in ("time", "user_time", "leave_one_out"),
            },
        }
        for key, readers in needed.items():
            for who, reads in readers.items():
                if reads and getattr(config.data, key) is None:
                    raise ValueError(
                        f"data.{key} must name the column of the {key}, for {who}. "
                        "Received: none"
                    )


def sources(column: object) -> list[str]:
    """Raw columns of a column that is made from its own row."""
    if not isinstance(column, RawColumn):
        return []
    weight = column.weight if isinstance(column, MultiValue) else None
    return [column.source, *([weight] if weight else [])]
