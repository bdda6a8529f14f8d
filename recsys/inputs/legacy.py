"""The functions of version 1."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from recsys.feature import Field
from recsys.inputs.columns import check_fields
from recsys.inputs.embedder import FieldEmbedder
from recsys.inputs.embeddings import concat
from recsys.types import Tensor


def build_feature_embeddings(
    fields: Sequence[Field],
    inputs_dict: dict[str, Tensor] | None = None,
    disable: Sequence[str] | str | None = "task",
    prefix: str = "embedding/",
    return_list: bool = False,
    global_emb_table_dict: dict[str, keras.layers.Layer] | None = None,
) -> Any:
    """Embeds fields in the form of version 1; `FieldEmbedder` is the new way.

    Args:
        fields: All fields.
        inputs_dict: Filled with the Keras inputs. Without it they are returned too.
        disable: Kinds of fields the model does not take.
        prefix: Start of the tables' names.
        return_list: Whether to leave the embeddings of a group in a list.
        global_emb_table_dict: Tables to share with other calls, by name; filled.

    Returns:
        `{belong: tensor}`, or `{belong: {group: tensor}}` where there are several
        groups; a history is `(batch, length, width)`, others `(batch, width)`. With
        `return_list` lists of tensors in place of tensors, always by group. Without
        `inputs_dict` a pair of the inputs and that dict.

    Raises:
        ValueError: If a field belongs to a disabled kind.
    """
    check_fields(fields)
    refused = [disable] if isinstance(disable, str) else list(disable or ())
    for field in fields:
        if field.belong in refused:
            raise ValueError(
                f"Field {field.name!r}: this model takes no {refused} fields. "
                f"Received: belong={field.belong!r}"
            )
    embed = FieldEmbedder(fields)
    embed.inputs = inputs = {} if inputs_dict is None else inputs_dict
    tables = {} if global_emb_table_dict is None else global_emb_table_dict
    table = prefix.replace("/", "_")
    embed.tables |= {table + name: layer for name, layer in tables.items()}
    groups: dict[str, dict[str, list[Tensor]]] = {}
    for field in embed.resolve(fields):
        rows = embed.values if field.belong == "history" else embed.vector
        group = groups.setdefault(field.belong, {}).setdefault(field.group, [])
        group.append(rows(field, table))
        tables[field.emb] = embed.tables[table + field.emb]
    embeddings: dict[str, Any] = {}
    for belong, of_group in groups.items():
        if return_list:
            embeddings[belong] = of_group
        else:
            merged = {name: concat(tensors) for name, tensors in of_group.items()}
            only = next(iter(merged.values()))
            embeddings[belong] = merged if len(merged) > 1 else only
    return embeddings if inputs_dict is not None else (inputs, embeddings)


def concatenate(
    embeddings_dict: Mapping[str, Tensor], names: Sequence[str] | None = None
) -> Tensor:
    """Concatenates what `build_feature_embeddings` returned, or some kinds of it.

    Args:
        embeddings_dict: `{belong: tensor}`.
        names: The kinds, in order; default: all.
    """
    kinds = embeddings_dict if names is None else names
    return concat([embeddings_dict[kind] for kind in kinds])
