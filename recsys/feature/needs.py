"""What models cannot do without, by the names that a factory declares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.feature.field import Field

NeedName = Literal[
    "catalogue",
    "domain",
    "domain_id",
    "graph",
    "history",
    "item",
    "item_history",
    "one_dim",
    "tasks",
    "user",
]


@dataclass(frozen=True)
class Need:
    """Something that a model cannot do without.

    Attributes:
        wanted: What that is, for errors and tables.
        is_met: Whether fields have it; `None` if they alone do not tell.
    """

    wanted: str
    is_met: Callable[[Sequence[Field]], bool] | None = None

    def check(self, model: str, fields: Sequence[Field]) -> None:
        """Raises `ValueError` if the fields of a model do not have it."""
        if self.is_met is not None and not self.is_met(fields):
            raise ValueError(
                f"{model} needs {self.wanted}. "
                f"Received: {[(field.name, field.belong) for field in fields]}"
            )


def _has(belong: str) -> Callable[[Sequence[Field]], bool]:
    return lambda fields: any(field.belong == belong for field in fields)


def _has_id(belong: str) -> Callable[[Sequence[Field]], bool]:
    return lambda fields: any(
        field.belong == belong and field.is_table and field.length == 1
        for field in fields
    )


def _has_one_domain(fields: Sequence[Field]) -> bool:
    tables = {field.emb for field in fields if field.is_table}
    of_domain = [field for field in fields if field.belong == "domain"]
    return sum(field.emb in tables for field in of_domain) == 1


def _has_history_of_item(fields: Sequence[Field]) -> bool:
    watched = {field.emb for field in fields if field.belong == "history"}
    return _has_id("item")([field for field in fields if field.emb in watched])


NEEDS: Mapping[NeedName, Need] = {
    "catalogue": Need("a catalogue, where it has item fields besides the item"),
    "domain": Need("a field with belong='domain'", _has("domain")),
    "domain_id": Need(
        "exactly one field of ids (vocabulary_size of 2 or more) with belong='domain', "
        "which says where a row comes from",
        _has_one_domain,
    ),
    "graph": Need("interactions, who chose what"),
    "history": Need("a field with belong='history'", _has("history")),
    "item": Need("a field of ids with belong='item'", _has_id("item")),
    "item_history": Need(
        "a history that shares the item's table", _has_history_of_item
    ),
    "one_dim": Need("one dim for all fields that are multiplied with each other"),
    "tasks": Need("a list of tasks"),
    "user": Need("a user field of one id", _has_id("user")),
}
