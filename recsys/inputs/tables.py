"""Tables: which fields share one, what they must agree on, and its layer."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import keras
import numpy as np

from recsys.feature import Field
from recsys.inputs.columns import check_fields, shape_and_type
from recsys.layers.base import Layer
from recsys.layers.table import DenseEmbedding, Embedding, PiecewiseLinear


def fields_by_name(field_lists: Sequence[Sequence[Field]]) -> dict[str, Field]:
    """Checks the lists; returns the fields by name.

    Each has the attributes of its table, which are those of the fields that declare
    the table's size. Others may leave them out.
    """
    by_name: dict[str, Field] = {}
    owners: dict[str, Field] = {}
    told: dict[tuple[str, str], Field] = {}
    for fields in field_lists:
        check_fields(fields)
        names = [field.name for field in fields]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                "fields must be a list of at least one, with distinct names. "
                f"Received: names {names}"
            )
        for field in fields:
            field.check()
            if by_name.setdefault(field.name, field) != field:
                raise ValueError(
                    f"Field {field.name!r} is declared twice, and not alike. "
                    f"Received: {by_name[field.name]} and {field}"
                )
            if field.is_table:
                owners.setdefault(field.emb, field)
            for key in ("counts", "content"):
                if getattr(field, key) is not None:
                    _agree(told.setdefault((key, field.emb), field), field, key)
    for field in list(by_name.values()):
        if field.weight:  # a column of its own, that no table embeds
            weight = Field(field.weight, vocabulary_size=0, length=field.length)
            column = by_name.setdefault(field.weight, weight)
            if shape_and_type(column) != shape_and_type(weight):
                raise ValueError(
                    f"Field {field.name!r}: weight must name a column of "
                    f"{field.length} numbers a row. Received: {column}"
                )
    for name, field in by_name.items():
        owner = owners.setdefault(field.emb, field)
        numbers = field.vocabulary_size == 0 or "int" not in field.dtype
        if owner.is_table and numbers:
            raise ValueError(
                f"Fields {owner.name!r} and {name!r} cannot share the table "
                f"{field.emb!r}: ids have rows, numbers have not. "
                f"Received: {owner} and {field}"
            )
        keys = [*_DEFAULTS]
        if owner.is_table and not field.is_table:  # what it leaves out it does not say
            keys = [k for k in keys if not _alike(getattr(field, k), _DEFAULTS[k])]
        else:
            keys += ["vocabulary_size", "edges"]
        _agree(owner, field, *keys)
        content = told.get(("content", field.emb), owner).content
        if content is not None and content.fuse == "concat" and owner.dim % 2:
            raise ValueError(
                f"Field {owner.name!r}: dim must be even where content has "
                "fuse='concat', which gives vectors one half of it. "
                f"Received: dim={owner.dim}"
            )
        by_name[name] = replace(
            field,
            vocabulary_size=owner.vocabulary_size,
            counts=told.get(("counts", field.emb), owner).counts,
            content=content,
            **{key: getattr(owner, key) for key in _DEFAULTS},
        )
    return by_name


_DEFAULTS = {
    each.name: each.default
    for each in dataclasses.fields(Field)
    if each.name in ("dim", "l2_reg", "regularizer", "initializer")
}
"""What a field says of its table besides its size."""


def with_unknown(field: Field) -> Field:
    """The field with one more row in its table."""
    counts = None if field.counts is None else [*field.counts, 1]
    return replace(field, vocabulary_size=field.vocabulary_size + 1, counts=counts)


def widened(fields: Mapping[str, Field], times: int) -> dict[str, Field]:
    return {name: replace(f, dim=f.dim * times) for name, f in fields.items()}


def _agree(one: Field, other: Field, *keys: str) -> None:
    for key in keys:
        values = getattr(one, key), getattr(other, key)
        if not _alike(*values):
            if key == "counts":
                values = np.asarray(values[0]), np.asarray(values[1])  # shown in short
            raise ValueError(
                f"Fields {one.name!r} and {other.name!r} share the table {one.emb!r} "
                f"and must agree on {key}. Received: {values[0]} and {values[1]}"
            )


def _alike(one: Any, other: Any) -> bool:
    """Whether two values of an option of a table say the same."""
    if type(one) is type(other) and hasattr(one, "get_config"):
        return bool(one.get_config() == other.get_config())
    return bool(one is other or np.array_equal(one, other))


def check_same_column(one: Field, other: Field) -> None:
    penalties = ("l2_reg", "regularizer", "counts")
    tables = ("emb", "dim", "initializer", *penalties, "group", "pooling")
    alike = replace(other, **{key: getattr(one, key) for key in tables})
    if alike != one:
        raise ValueError(
            f"Field {one.name!r} is declared twice, and not alike. "
            f"Received: {one} and {other}"
        )


def make_table(field: Field, name: str, several: bool) -> Layer:
    """The layer from a column, of one or several values, to its embedding."""
    initializer = _fresh(field.initializer, name)
    if field.edges is not None:
        return PiecewiseLinear(
            field.dim,
            field.edges,
            initializer,
            field.l2_reg,
            field.regularizer,
            name=name,
        )
    if not field.is_table:
        vector = several and field.belong != "history"
        return DenseEmbedding(
            field.dim,
            int(field.vocabulary_size > 0),
            initializer,
            field.l2_reg,
            field.length if vector else None,
            field.regularizer,
            name=name,
        )
    layer = Embedding(
        field.vocabulary_size,
        field.dim,
        initializer,
        field.l2_reg,
        field.regularizer,
        name=name,
    )
    if field.l2_reg and field.counts is not None:
        layer.build()
        layer.counts.assign(np.maximum(field.counts, 1))
    return layer


def _fresh(initializer: Any, name: str) -> Any:
    """A new initializer for one table: a shared instance repeats its numbers."""
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] = crc32(f"{config['seed']} {name}".encode())
    return initializer.__class__.from_config(config)
