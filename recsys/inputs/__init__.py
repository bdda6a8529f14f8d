"""From fields to tensors: Keras inputs, tables, pooled histories, concatenation.

embed = FieldEmbedder(fields)
x = embed(fields, history_agg, agg_kwargs)  # one tensor per field, history pooled
x.concat()                # (batch, sum of widths)
x.stack()                 # (batch, num_fields, dim)
x.of("user", "item")      # the part that belongs to users and items
embed.linear(fields)      # first-order logit, with the model's one bias
embed.inputs              # {name: keras.Input}
"""

from recsys.inputs.columns import shape_and_type
from recsys.inputs.embedder import Domain, FieldEmbedder
from recsys.inputs.embeddings import Embeddings, Part, check_embedded, concat
from recsys.inputs.histories import History, split_histories
from recsys.inputs.legacy import build_feature_embeddings, concatenate
from recsys.inputs.lookup import OutOfRange

__all__ = [
    "Domain",
    "Embeddings",
    "FieldEmbedder",
    "History",
    "OutOfRange",
    "Part",
    "build_feature_embeddings",
    "check_embedded",
    "concat",
    "concatenate",
    "shape_and_type",
    "split_histories",
]
