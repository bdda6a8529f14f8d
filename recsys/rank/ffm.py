"""FFM: Field-aware Factorization Machines for CTR Prediction.

Juan et al., RecSys 2016, https://doi.org/10.1145/2959100.2959134 (eq. 4)

    fields ──┬─> one weight per value ─────────────────> first order ──┐
             └─> a vector per value and opposite field ─> FFM ────────(+)──> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, check_embedded
from recsys.layers.elementary import Bias
from recsys.layers.heads import predict
from recsys.layers.interaction.field_weighted import FFM
from recsys.train.factory import factory
from recsys.train.model import Model

__all__ = ["Field", "Task", "ffm"]


@factory("one_dim")
def ffm(
    fields: Sequence[Field], task: Task = Task("ctr"), *, use_linear: bool = True
) -> Model:
    """Builds FFM: each value has a vector for each field it meets.

    Parameters: `sum of V F d` over the tables for F fields (that for the field itself
    is stored and not used), `sum of V` with `use_linear`, and one bias.

    Args:
        fields: The fields, all of one `dim`, which is the width of one vector: a table
            is F times as wide. Several values and histories are averaged.
        task: Any but a multiclass one.
        use_linear: Whether there is a first order; the paper has none. Raw fields have
            no other part.

    Raises:
        ValueError: If the fields differ in `dim`, or form no pair.
    """
    check_embedded(fields)
    num_fields = sum(field.vocabulary_size > 0 for field in fields)
    embed = FieldEmbedder(fields, times=num_fields)
    second_order = FFM(name="dnn_ffm")(embed(fields).of_one_dim())
    linear = [f for f in fields if use_linear or not f.vocabulary_size]
    if linear:
        logits = [embed.linear(linear), second_order]
    else:
        logits = [Bias(name="dnn_bias")([second_order])]

    return Model(inputs=embed.inputs, outputs=predict(task, logits), name="ffm")
