"""FEFM: Field-Embedded Factorization Machines for Click-through Rate Prediction.

Pande, 2020, https://arxiv.org/abs/2009.09931 (eq. 5-7)

    fields ──┬─> one weight per value ───────────> first order ──┐
             └─> embeddings ─> a matrix per pair ──> FEFM ─────────(+)──> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.field_weighted import FEFM
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "fefm"]


@factory("one_dim")
def fefm(fields: Sequence[Field], task: Task = Task("ctr")) -> Model:
    """Builds FEFM: pairs of embeddings meet through a symmetric matrix of their fields.

    Parameters: `sum of V (d + 1)` over the tables, one bias, `d^2` for each pair.

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: Any but a multiclass one.

    Raises:
        ValueError: If the fields differ in `dim` or form no pair.
    """
    embed = FieldEmbedder(fields)
    first_order = embed.linear(fields)
    second_order = FEFM(name="dnn_fefm")(embed(fields).of_one_dim())
    outputs = predict(task, [first_order, second_order])

    return Model(inputs=embed.inputs, outputs=outputs, name="fefm")
