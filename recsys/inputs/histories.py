"""Histories: sequences of what a user did, with the fields of one group."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.feature import Field
from recsys.feature.needs import NEEDS
from recsys.types import Tensor


@dataclass(frozen=True)
class EmbeddedHistory:
    """The histories of one group: one sequence with several attributes.

    Attributes:
        group: `Field.group`.
        fields: Its attributes, in order.
        sequence: `(batch, length, sum of dims)`, oldest behaviour first.
        valid: `(batch, length)`, bool: where the group's first ids are not 0.
        target: What is compared with the sequence, `(batch, dim)`; `None` if the
            model has neither item nor user fields.
        times: If asked for, `(batch, length)`: the ids of the field whose role is
            `"time"`, or without one the place counted back from the target, 1 being
            the most recent behaviour; 0 is padding.
        num_times: Number of ids of `times`.
        sessions: If asked for and there is such a field, `(batch, length)`: its ids.
    """

    group: str
    fields: tuple[Field, ...]
    sequence: Tensor
    valid: Tensor
    target: Any
    times: Any = None
    num_times: int = 0
    sessions: Tensor | None = None

    @property
    def length(self) -> int:
        """Most behaviours."""
        return self.fields[0].length

    @property
    def item(self) -> Field:
        """The field whose ids tell behaviour from padding."""
        return id_column(self.fields)


def id_column(group: Sequence[Field]) -> Field:
    lengths = {field.name: field.length for field in group}
    ids = [
        field
        for field in group
        if field.is_table and field.role == "attribute" and field.values == 1
    ]
    if not ids or len(set(lengths.values())) > 1:
        raise ValueError(
            f"History group {group[0].group!r}: its fields must have one length, and "
            f"one of them ids whose 0 is padding. Received: lengths {lengths}, "
            f"ids {[field.name for field in ids]}"
        )
    return ids[0]


def check_histories(
    model: str,
    histories: Sequence[EmbeddedHistory],
    fields: Sequence[Field],
    any_width: bool,
) -> None:
    NEEDS["history"].check(model, fields)
    for history in histories:
        width = None if history.target is None else history.target.shape[-1]
        if width is None or not (any_width or width == history.sequence.shape[-1]):
            raise ValueError(
                f"History group {history.group!r}: {model} compares behaviours with "
                "the target, whose item fields must share the tables of the history "
                "or be as wide. Received: "
                f"{[(field.name, field.emb, field.dim) for field in history.fields]} "
                f"and a target of width {width}"
            )


def split_histories(
    fields: Sequence[Field], short_groups: Collection[str]
) -> tuple[list[Field], list[Field]]:
    """Returns all but the short histories, and all but the long ones.

    Args:
        fields: All fields of a model.
        short_groups: Groups of the short histories; all others are long.

    Raises:
        ValueError: If there is no such group.
    """
    groups = {field.group for field in fields if field.belong == "history"}
    if unknown := set(short_groups) - groups:
        raise ValueError(
            f"short_groups: there is no history group {sorted(unknown)}. "
            f"Received: groups {sorted(groups)}"
        )
    short = {f.name: f.belong == "history" and f.group in short_groups for f in fields}
    long = [f for f in fields if not short[f.name]]
    return long, [f for f in fields if f.belong != "history" or short[f.name]]
