"""Field-Embedded Factorization Machines for Click-through Rate Prediction (FEFM).

Pande, 2020, https://arxiv.org/abs/2009.09931 (eq. 5-7)

    fields ──┬─> one weight per value ───────────> first order ──┐
             └─> embeddings ─> a matrix per pair ──> FEFM ─────────(+)──> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.core import SumUnits, predict
from recsys.layers.interaction.product import SymmetricProduct
from recsys.train.model import Model

__all__ = ["Field", "Task", "fefm"]


def fefm(fields: Sequence[Field], task: Task = Task("ctr")) -> Model:
    """Builds FEFM: pairs of embeddings meet through a symmetric matrix of their fields.

    Parameters: `sum of V (d + 1)` over the tables, one bias, `d^2` for each pair.

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: A binary or regression task.

    Raises:
        ValueError: If the fields differ in `dim` or form no pair.
    """
    embed = FieldEmbedder(fields)
    pairs = SymmetricProduct(name="dnn_fefm")(embed(fields).of_one_dim())
    logits = [embed.linear(fields), SumUnits(name="dnn_second_order")(pairs)]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="fefm")
