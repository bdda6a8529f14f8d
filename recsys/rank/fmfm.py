"""FmFM, FvFM: Field-matrixed Factorization Machines for Recommender Systems.

Sun et al., WWW 2021, https://arxiv.org/abs/2102.12994 (eq. 5-7)

    fields ──┬─> one weight per value ────────────────> first order ──┐
             └─> embeddings ─> a matrix per pair ─────> FmFM ────────(+)──> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, check_embedded
from recsys.layers.heads import predict
from recsys.layers.interaction.field_weighted import FmFM, FvFM
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "fmfm"]


@factory()
def fmfm(
    fields: Sequence[Field], task: Task = Task("ctr"), *, kernel: str = "matrix"
) -> Model:
    """Builds FmFM: embeddings of a pair meet through a matrix of that pair of fields.

    Parameters: `sum of V (d + 1)` over the tables, one bias, and `sum over pairs of
    d_i d_j` (matrix) or `d` for each pair (vector).

    Args:
        fields: The fields, of any widths with matrices. Several values and histories
            are averaged.
        task: Any but a multiclass one.
        kernel: `"matrix"`, or `"vector"` for FvFM, whose matrices are diagonal.

    Raises:
        ValueError: If the kernel is unknown, or the fields form no pair; for vectors
            if they differ in `dim`.
    """
    if kernel not in ("matrix", "vector"):
        raise ValueError(
            f"fmfm: kernel must be 'matrix' or 'vector'. Received: kernel={kernel!r}"
        )
    check_embedded(fields)
    embed = FieldEmbedder(fields)
    features = embed(fields)
    if kernel == "matrix":
        second_order = FmFM(name="dnn_fmfm")(features.tensors())
    else:
        second_order = FvFM(name="dnn_fvfm")(features.of_one_dim())
    outputs = predict(task, [embed.linear(fields), second_order])

    return Model(inputs=embed.inputs, outputs=outputs, name="fmfm")
