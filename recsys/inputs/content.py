"""How columns are embedded whose ids have vectors, see `Content`."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import keras
import numpy as np

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.feature.content import Content
from recsys.inputs.tables import make_table
from recsys.layers.content import ContentEmbedding, ContentVectors, OwnRows
from recsys.layers.table import Embedding, gather_rows
from recsys.types import Tensor

if TYPE_CHECKING:
    from recsys.inputs.lookup import Lookup

SAMPLE = 1000  # rows from which the scale of P is taken


def with_content(
    embed: "Lookup", field: Field, table: str, column: Tensor, valid: Tensor | None
) -> Tensor:
    """Returns the embedding of a column whose ids have vectors, not pooled.

    In place of `"concat"` other tables than the embedder's own have the sum: their
    width is not the field's to divide.

    Args:
        embed: Whose tables these are.
        field: With the attributes of its table.
        table: Start of the table's name.
        column: Ids.
        valid: Which of several count.
    """
    content: Content = field.content
    own = table == embed.prefix
    fuse = "sum" if content.fuse == "concat" and not own else content.fuse
    dim = field.dim
    if fuse == "concat":
        dim //= 2
    name = table + field.emb
    given = {} if valid is None else {"valid": valid}
    if fuse != "content" and name not in embed.tables:
        half = replace(field, dim=dim, content=None)
        embed.tables[name] = make_table(half, layer_name(name), len(column.shape) > 1)
    projection = embed.once(
        ("projection", name), lambda: _projection(embed, field, table, dim)
    )
    vectors = embed.once(("vectors", field.emb), lambda: _frozen(field))
    rows = embed.once(("vectors", field.emb, id(column)), lambda: vectors(column))
    u: Tensor = projection(rows, **given)
    if fuse == "content":
        embed.tables.setdefault(name, projection)
        return u
    layer: Callable[..., Tensor] = embed.tables[name]
    e = layer(column, **given)
    if content.id_dropout or content.num_rows is not None:
        e = embed.once(("own rows", field.emb), lambda: _own_rows(field))([column, e])
    return keras.layers.Concatenate()([e, u]) if fuse == "concat" else _sum(e, u)


def _sum(one: Tensor, other: Tensor) -> Tensor:
    summed: Tensor = keras.layers.Add()([one, other])
    return summed


def _frozen(field: Field) -> ContentVectors:
    content: Content = field.content
    layer = ContentVectors(
        field.vocabulary_size,
        content.width,
        str(content.vectors.dtype),
        name=layer_name(f"content_vectors_{field.emb}"),
    )
    layer.build()
    layer.vectors.assign(content.vectors)
    return layer


def _own_rows(field: Field) -> OwnRows:
    content: Content = field.content
    name = layer_name(f"content_own_rows_{field.emb}")
    return OwnRows(content.num_rows, content.id_dropout, name=name)


def _projection(
    embed: "Lookup", field: Field, table: str, dim: int
) -> ContentEmbedding:
    """P, b and n_0; beside a table of ids u is as large as they are."""
    name = table.removeprefix("embedding_") + field.emb
    layer = ContentEmbedding(dim, name=layer_name(f"dnn_content_{name}"))
    content: Content = field.content
    layer.build((None, content.width))
    beside = embed.tables.get(table + field.emb)
    if isinstance(beside, Embedding):
        if not beside.built:
            beside.build()
        ids = np.arange(min(SAMPLE, field.vocabulary_size))
        e = keras.ops.convert_to_numpy(gather_rows(beside.embeddings, ids))
        some = np.flatnonzero(content.vectors.any(axis=1))[:SAMPLE]
        layer.scale(float(e.std()), content.vectors[some])
    return layer
