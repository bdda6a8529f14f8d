"""FM: Factorization Machines.

Rendle, ICDM 2010, https://doi.org/10.1109/ICDM.2010.127 (eq. 1 and 5)

    fields ──┬─> one weight per value ─> first order ──┐
             └─> embeddings ──────────> FM ───────────(+)──> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.heads import predict
from recsys.layers.interaction.fm import FM
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "fm"]


@factory("one_dim")
def fm(fields: Sequence[Field], task: Task = Task("ctr")) -> Model:
    """Builds a factorization machine of second order.

    A field of several values is one averaged feature: its values form no pairs with
    each other.

    Parameters: `sum of V (d + 1)` over the tables, and one bias.

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: Any but a multiclass one.

    Raises:
        ValueError: If the fields differ in `dim`.
    """
    embed = FieldEmbedder(fields)
    first_order = embed.linear(fields)
    second_order = FM(name="dnn_fm")(embed(fields).stack())
    outputs = predict(task, [first_order, second_order])

    return Model(inputs=embed.inputs, outputs=outputs, name="fm")
