"""PNN, IPNN, OPNN, KPNN: Product-based Neural Networks for User Response Prediction.

Qu et al., ICDM 2016, https://arxiv.org/abs/1611.00144 (figure 1);
pairs and kernels: Qu et al., TOIS 2018, https://arxiv.org/abs/1807.00311 (section 3)

    embeddings ─┬─────────────────────> concat ─> MLP ─> sigmoid
                └─> products of pairs ────┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.heads import predict
from recsys.layers.interaction.product import ProductLayer
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "pnn"]


@factory("one_dim")
def pnn(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    inner_product: bool = True,
    outer_product: bool = False,
    kernel_type: str | None = "mat",
    net_activation: Activation | None = None,
    net_size: int | None = None,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds PNN: an MLP on the embeddings and on products of their pairs.

    IPNN is the default; `inner_product=False, outer_product=True` is OPNN with
    `kernel_type=None` and KPNN with a kernel; both products together are PNN*.

    The inner products are those of TOIS and of the authors' code: of pairs i < j, each
    with weights of its own in the first layer. ICDM takes all i and j, i = j included,
    and weights that factorise, `W^n_ij = theta^n_i theta^n_j` of unit n; this form is
    not offered. OPNN is that of ICDM.

    Parameters: `sum of V d` over the tables, those of the kernel (`P`, `P d` or `P d^2`
    for P pairs of fields), the MLP from the embeddings and P (OPNN: `d^2`) products.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to the MLP.
        task: The task.
        inner_product: Whether the MLP gets the inner product of each pair.
        outer_product: Whether it gets the outer product, or what `kernel_type` names.
        kernel_type: `None`: the sum of the outer products of all embeddings (ICDM);
            `"num"`, `"vec"`, `"mat"`: a trained product of each pair; `"net"`: a
            network of each, see `pin`.
        net_activation: Activation of these networks, ReLU by default.
        net_size: Their inner width, 20 by default.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            others.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If there is no product or one field, or the fields differ in `dim`.
    """
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    products = ProductLayer(
        inner_product,
        outer_product,
        kernel_type,
        net_activation,
        net_size,
        name="dnn_product",
    )
    z = products(features.of_one_dim())
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(concat([z, *features.raw()]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="pnn")
