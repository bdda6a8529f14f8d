"""PIN: Product-network In Network.

Qu et al., TOIS 2018, https://arxiv.org/abs/1807.00311 (figure 5, eq. 17-20)

    embeddings ─> e_i, e_j, e_i * e_j ─> network of the pair ─┐
                  of each pair                               ├─> MLP ─> sigmoid
                                         ... of the next one ─┘
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.heads import predict
from recsys.layers.interaction.product import NetProduct
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "pin"]


@factory("one_dim")
def pin(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    net_size: int = 20,
    net_units: int = 1,
    hidden_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
) -> Model:
    """Builds PIN: a small network for each pair of fields, and an MLP on all of them.

    Memory and time grow with the number of pairs.

    Parameters: `sum of V d` over the tables, `P (3 d h + h + h m + m) + 2 h + 2 m` for
    P pairs, inner width h and m outputs, and the MLP from `P m`.

    Args:
        fields: The fields, all of one `dim`. Raw fields go to the MLP.
        task: The task.
        net_size: Inner width of the network of a pair.
        net_units: Its outputs.
        hidden_units: Sizes of the MLP. The default is this library's; the paper has
            others.
        activation: Activation of all networks.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.

    Raises:
        ValueError: If there is one field, or the fields differ in `dim`.
    """
    embed = FieldEmbedder(fields)
    features = embed(fields, history_agg, agg_kwargs)
    nets = NetProduct(net_size, net_units, activation, name="dnn_nets")
    tower = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )
    logit = tower(concat([nets(features.of_one_dim()), *features.raw()]))

    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="pin")
