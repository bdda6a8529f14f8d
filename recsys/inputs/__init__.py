"""From fields to tensors: Keras inputs, tables, pooled histories, concatenation.

embed = FieldEmbedder(fields)
x = embed(fields, history_agg, agg_kwargs)  # one tensor per field, history pooled
x.concat()                # (batch, sum of widths)
x.stack()                 # (batch, num_fields, dim)
x.of("user", "item")      # the part that belongs to users and items
embed.linear(fields)      # first-order logit, with the model's one bias
embed.inputs              # {name: keras.Input}
"""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.inputs.embedder import Domain, FieldEmbedder
    from recsys.inputs.embeddings import Embeddings, check_embedded, concat
    from recsys.inputs.histories import EmbeddedHistory, split_histories
    from recsys.inputs.legacy import build_feature_embeddings, concatenate
    from recsys.inputs.lookup import OutOfRange

__all__ = [
    "Domain",
    "Embeddings",
    "FieldEmbedder",
    "EmbeddedHistory",
    "OutOfRange",
    "build_feature_embeddings",
    "check_embedded",
    "concat",
    "concatenate",
    "split_histories",
]

public_face(
    __name__,
    {
        "recsys.inputs.embedder": ["Domain", "FieldEmbedder"],
        "recsys.inputs.embeddings": ["Embeddings", "check_embedded", "concat"],
        "recsys.inputs.histories": ["EmbeddedHistory", "split_histories"],
        "recsys.inputs.legacy": ["build_feature_embeddings", "concatenate"],
        "recsys.inputs.lookup": ["OutOfRange"],
    },
)
