"""STAR: Star Topology Adaptive Recommender for Multi-Domain CTR Prediction.

Sheng et al., CIKM 2021, https://arxiv.org/abs/2101.11427 (figure 3, eq. 2-9)

    all but domain ─> embeddings ──┬─> PN by domain ─> star layers ──────────────┐
                                   └─> PN by domain ─┐                           v
    domain ───────────> embeddings ──────────────────┴─> auxiliary MLP ─> sum ─> sigmoid
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange, concat
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.layers.star import PartitionedNormalization, StarDense, StarTopologyFCN
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation

__all__ = ["Field", "Task", "star"]


@factory("domain_id")
def star(
    fields: Sequence[Field],
    num_domain: int | None = None,
    task: Task = Task("ctr"),
    fcn_units: Sequence[int] = (100, 64),
    aux_units: Sequence[int] = (100, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    aux_norm: bool = True,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds STAR: one network for all domains times one for each.

    The last layer is a star layer too, whose bias is the only one of the logit; that
    of the auxiliary network, which tells the domains apart, has none. Its domain
    features are not normalised: what is constant in a domain is zero behind a norm by
    domain.

    The paper's (256, 128, 64) and a small auxiliary network (32, 16) need to be asked
    for; the sizes here are those of version 1.

    Args:
        fields: Exactly one domain field of ids; other domain fields (what is counted
            in it) go to the auxiliary network.
        num_domain: Number of domains; default: `vocabulary_size` of that field.
        task: The task.
        fcn_units: Sizes of the star layers before the last.
        aux_units: Sizes of the auxiliary network.
        activation: Activation of both.
        dropout: Fraction dropped behind each of their layers, in [0, 1).
        l2_reg: Penalty on kernels; on W_p of a domain it is that of W_p - 1.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        aux_norm: Whether the auxiliary network has a norm by domain before it.
        oov_domain: See `FieldEmbedder`; an unknown domain has the shared network.

    Raises:
        ValueError: If there is not one domain field of ids, or `num_domain` is not
            its `vocabulary_size`.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    domain = embed.domain("star", num_domain)
    x = embed(fields, history_agg, agg_kwargs)
    features = x.of("user", "item", "context", "history", "task").concat()

    norm = PartitionedNormalization(domain.number, name="dnn_norm")
    hidden = StarTopologyFCN(
        domain.number, fcn_units, activation, dropout, l2_reg, name="dnn_star"
    )([norm([features, domain.ids]), domain.ids])
    main = StarDense(
        task.num_classes, domain.number, name="dnn_star_logit", dtype="float32"
    )([hidden, domain.ids])

    if aux_norm:
        norm = PartitionedNormalization(domain.number, name="dnn_aux_norm")
        features = norm([features, domain.ids])
    auxiliary = Tower(
        aux_units,
        activation,
        l2_reg,
        dropout,
        num_logits=task.num_classes,
        use_bias=False,
        name="dnn_aux",
    )(concat([x.of("domain").concat(), features]))

    outputs = predict(task, [main, auxiliary])
    return Model(inputs=embed.inputs, outputs=outputs, name="star")
