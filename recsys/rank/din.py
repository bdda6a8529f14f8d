"""DIN: Deep Interest Network for Click-Through Rate Prediction.

Zhou et al., KDD 2018, https://arxiv.org/abs/1706.06978 (figure 2, eq. 3)

    user, context, ... ───> embeddings ────────────────────────┐
    item ─────────────────> embeddings ──┬─────────────────────┤
                                         v                     v
    history ──────────────> embeddings ─> activation unit, sum ─> MLP ─> sigmoid
"""

from collections.abc import Sequence

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.inputs.ending import mlp_model
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "din"]


@factory("history")
def din(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    attention_hidden_units: Sequence[int] = (80, 40),
    attention_activation: Activation = "dice",
    query_ffn: bool = False,
    query_activation: Activation = "prelu",
    dnn_hidden_units: Sequence[int] = (100, 64),
    dnn_activation: Activation = "dice",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    *,
    attention_softmax: bool = False,
) -> Model:
    """Builds DIN: behaviours weigh by how much they have to do with the target.

    Histories of one group are one sequence of their attributes side by side and get
    one activation unit; the target are the item fields that share their tables. What
    the unit reads is that of the published code, not figure 2's, see `AttentionLayer`.
    Mini-batch aware regularization (section 5.1) is `Field.l2_reg` with
    `Field.counts`.

    Args:
        fields: At least one item field and one history.
        task: The task.
        attention_hidden_units: Sizes of the activation unit's MLP.
        attention_activation: Its activation.
        query_ffn: Whether the target passes a Dense layer to the width of the
            history first; needed where they differ.
        query_activation: Activation of that layer.
        dnn_hidden_units: Sizes of the MLP. The default is this library's; the paper has
            (200, 80).
        dnn_activation: Its activation.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        attention_softmax: Whether the weights of behaviours are normalised, as in
            the authors' published code; the paper does not.

    Raises:
        ValueError: If there is no history or no target.
    """
    embed = FieldEmbedder(fields)
    activation_unit = {
        "ffn_hidden_units": attention_hidden_units,
        "ffn_activation": attention_activation,
        "query_ffn": query_ffn,
        "query_activation": query_activation,
        "softmax": attention_softmax,
    }
    x = embed(fields, "attention", activation_unit, needed_by="din").concat()
    mlp = dnn_hidden_units, dnn_activation, l2_reg, dropout, use_bn
    return mlp_model("din", embed, x, task, mlp)
