"""How columns are embedded whose ids have vectors, see `Content`."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from recsys.feature import Field
from recsys.feature._names import layer_name
from recsys.feature.content import Content
from recsys.inputs.tables import make_table
from recsys.layers.content import ContentEmbedding, ContentVectors, OwnRows
from recsys.layers.table import Embedding, gather_rows
from recsys.types import Tensor

SAMPLE = 1000  # rows from which the scale of P is taken


@dataclass(frozen=True)
class Making:
    """What an embedder makes layers with.

    Attributes:
        tables: Its layers by name.
        once: From a key and how to make it to what is made once for a model.
        prefix: How the names of its own tables begin.
    """

    tables: dict[str, keras.layers.Layer]
    once: Callable[[Hashable, Callable[[], Any]], Any]
    prefix: str


def with_content(
    making: Making,
    field: Field,
    content: Content,
    table: str,
    column: Tensor,
    valid: Tensor | None,
) -> Tensor:
    """Returns the embedding of a column whose ids have vectors, not pooled.

    In place of `"concat"` other tables than the embedder's own have the sum: their
    width is not the field's to divide.

    Args:
        making: Of the embedder.
        field: With the attributes of its table.
        content: The vectors.
        table: Start of the table's name.
        column: Ids.
        valid: Which of several count.
    """
    tables, once = making.tables, making.once
    joined = content.fuse == "concat" and table == making.prefix
    dim = field.dim // 2 if joined else field.dim
    name = table + field.emb
    given = {} if valid is None else {"valid": valid}
    if content.fuse != "content" and name not in tables:
        part = replace(field, dim=dim, content=None)
        tables[name] = make_table(part, layer_name(name), len(column.shape) > 1)
    beside = tables.get(name)
    projection = once(
        ("projection", name),
        lambda: _projection(field.emb, content, table, dim, beside),
    )
    vectors = once(("vectors", field.emb), lambda: _frozen(field.emb, content))
    rows = once(("vectors", field.emb, id(column)), lambda: vectors(column))
    u: Tensor = projection(rows, **given)
    if content.fuse == "content":
        tables.setdefault(name, projection)
        return u
    e = tables[name](column, **given)
    if content.id_dropout or content.num_rows is not None:
        own = once(("own rows", field.emb), lambda: _own_rows(field.emb, content))
        e = own([column, e])
    merge = keras.layers.Concatenate() if joined else keras.layers.Add()
    merged: Tensor = merge([e, u])
    return merged


def _frozen(emb: str, content: Content) -> ContentVectors:
    size, width = content.vectors.shape
    name = layer_name(f"content_vectors_{emb}")
    layer = ContentVectors(size, width, str(content.vectors.dtype), name=name)
    layer.build()
    layer.vectors.assign(content.vectors)
    return layer


def _own_rows(emb: str, content: Content) -> OwnRows:
    name = layer_name(f"content_own_rows_{emb}")
    return OwnRows(content.num_rows, content.id_dropout, name=name)


def _projection(
    emb: str,
    content: Content,
    table: str,
    dim: int,
    beside: keras.layers.Layer | None,
) -> ContentEmbedding:
    """P, b and n_0; beside a table of ids u is as large as they are."""
    name = layer_name(f"dnn_content_{table.removeprefix('embedding_')}{emb}")
    layer = ContentEmbedding(dim, name=name)
    layer.build((1, content.width))
    if isinstance(beside, Embedding):
        if not beside.built:
            beside.build()
        ids = keras.ops.arange(min(SAMPLE, len(content.vectors)))
        e = keras.ops.convert_to_numpy(gather_rows(beside.embeddings, ids))
        some = np.flatnonzero(content.vectors.any(axis=1))[:SAMPLE]
        layer.scale(float(e.std()), content.vectors[some])
    return layer
