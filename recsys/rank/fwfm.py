"""FwFM: Field-weighted Factorization Machines for Click-Through Rate Prediction.

Pan et al., WWW 2018, https://arxiv.org/abs/1806.03514 (eq. 3-6)

    fields ─> embeddings ─┬─> a vector per field ──> first order ──┐
                          └─> weighted pairs ──────> FwFM ────────(+)──> sigmoid
"""

from collections.abc import Sequence

import keras

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.elementary import Bias, SumUnits
from recsys.layers.heads import predict
from recsys.layers.interaction.field_weighted import FwFM
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "fwfm"]


@factory("one_dim")
def fwfm(
    fields: Sequence[Field], task: Task = Task("ctr"), *, linear: str = "field"
) -> Model:
    """Builds FwFM: a factorization machine with a weight for each pair of fields.

    Parameters: `sum of V d` over the tables, one for each pair of fields, one bias, and
    the first order: `F d` (`"field"`), `sum of V d` (`"feature"`) or `sum of V`
    (`"weight"`).

    Args:
        fields: The fields, all of one `dim`. Several values and histories are averaged.
        task: Any but a multiclass one.
        linear: The first order: `"weight"`, one weight a value; `"feature"`, an inner
            product with a second vector of each value; `"field"`, with one vector of
            each field, which the paper recommends. Raw fields have weights always.

    Raises:
        ValueError: If `linear` is unknown, the fields differ in `dim` or form no pair.
    """
    if linear not in ("weight", "feature", "field"):
        raise ValueError(
            "fwfm: linear must be 'weight', 'feature' or 'field'. "
            f"Received: linear={linear!r}"
        )
    embed = FieldEmbedder(fields)
    e = embed(fields).of_one_dim()
    second_order = FwFM(name="dnn_fwfm")(e)
    if linear == "weight":
        first_order = [embed.linear(fields)]
    else:
        raw = [field for field in fields if not field.vocabulary_size]
        first_order = [embed.linear(raw)] if raw else []
        if linear == "field":
            vectors = keras.layers.Dense(1, use_bias=False, name="dnn_field_vectors")
            first_order.append(vectors(concat(e)))
        else:
            second = embed.another("linear_vector")(fields).tensors()
            product = keras.layers.Multiply()([concat(e), concat(second)])
            first_order.append(SumUnits()(product))
        if not raw:
            first_order = [Bias(name="dnn_bias")(first_order)]
    outputs = predict(task, [*first_order, second_order])

    return Model(inputs=embed.inputs, outputs=outputs, name="fwfm")
