"""AdaptDHM: Adaptive Distribution Hierarchical Model for Multi-Domain CTR Prediction.

Li et al., 2022, https://arxiv.org/abs/2211.12105 (figure 2, section 3)

    fields ─> embeddings ──┬────────────────> star layers ─> sigmoid
                           └─> nearest centre ───^ of the cluster, not of the domain
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, OutOfRange
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.star import StarDense, StarTopologyFCN
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "adaptdhm"]


class DistributionRouter(Layer):
    r"""Routes each row to the nearest of some centres, which follow the rows (3.2).

        r_i = softmax_k(e_i c_k),   \hat c_k = \sum_i r_{ik} e_i / \sum_i r_{ik}
        c_k <- normalize(\beta c_k + (1 - \beta) \hat c_k)

    as often as there are rounds, in training only; then row i goes to argmax_k r_ik,
    the lowest of equals. No gradient passes; the centres, of length 1, are state.

    Args:
        num_clusters: K.
        rounds: Moves of the centres in a training step.
        momentum: \beta, in [0, 1).
        normalise: Whether e is x divided by its length; embeddings are short at the
            start and would be shared alike.
        seed: Seed of the first centres.
    Call arguments:
        inputs: x, `(batch, width)`.
        training: Whether the centres move.
    Returns:
        `(batch,)`, int32, in `[0, num_clusters)`.
    Raises:
        ValueError: If there is no cluster.
    """

    def __init__(
        self,
        num_clusters: int,
        rounds: int = 3,
        momentum: float = 0.9,
        normalise: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if num_clusters < 1:
            raise ValueError(
                f"Layer {self.name!r}: num_clusters must be at least 1. "
                f"Received: num_clusters={num_clusters}"
            )
        self.num_clusters = num_clusters
        self.rounds = rounds
        self.momentum = momentum
        self.normalise = normalise
        self.seed = seed

    def build(self, input_shape: Shape) -> None:
        self.centres = self.add_weight(
            shape=(self.num_clusters, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(seed=self.seed),
            trainable=False,
            name="centres",
        )
        self.centres.assign(_unit(self.centres))

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        e = ops.stop_gradient(ops.cast(inputs, "float32"))
        if self.normalise:
            e = _unit(e)
        centres = ops.convert_to_tensor(self.centres)
        if training:
            for _ in range(self.rounds):
                near = ops.softmax(self._scores(e, centres))
                total = ops.expand_dims(ops.sum(near, axis=0), 1)
                means = ops.matmul(ops.transpose(near), e) / ops.maximum(total, 1e-12)
                moved = self.momentum * centres + (1 - self.momentum) * means
                centres = _unit(moved)
            self.centres.assign(centres)
        scores = self._scores(e, centres)
        best = ops.equal(scores, ops.max(scores, axis=-1, keepdims=True))
        # Not argmax, of which Keras makes something that ONNX and LiteRT have not.
        index = ops.arange(self.num_clusters, dtype="int32")
        return ops.min(ops.where(best, index, self.num_clusters), axis=-1)

    def _scores(self, e: Tensor, centres: Tensor) -> Tensor:
        return ops.matmul(e, ops.transpose(centres))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0],)

    def compute_output_spec(self, inputs: Tensor, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor((inputs.shape[0],), "int32")


def _unit(x: Tensor) -> Tensor:
    """Returns rows of length 1; those of zeros stay zero."""
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-24))


@factory()
def adaptdhm(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    num_clusters: int = 3,
    hidden_units: Sequence[int] = (256, 128, 64),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    rounds: int = 3,
    momentum: float = 0.9,
    normalise: bool = True,
    oov_domain: OutOfRange = "error",
) -> Model:
    """Builds AdaptDHM: a star network of clusters of rows in place of domains.

    Args:
        fields: All fields. Domain fields are features like others, and may be absent.
        task: The task.
        num_clusters: Number of clusters.
        hidden_units: Sizes of the star layers before the last.
        activation: Activation of them.
        dropout: Fraction dropped behind each, in [0, 1).
        l2_reg: See `StarDense`.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        rounds, momentum, normalise: See `DistributionRouter`.
        oov_domain: See `FieldEmbedder`; unknown domains have one embedding together.

    Raises:
        ValueError: If there is no cluster.
    """
    embed = FieldEmbedder(fields, oov_domain=oov_domain)
    x = embed(fields, history_agg, agg_kwargs).concat()
    cluster = DistributionRouter(
        num_clusters, rounds, momentum, normalise, name="dnn_router"
    )(x)
    hidden = StarTopologyFCN(
        num_clusters, hidden_units, activation, dropout, l2_reg, name="dnn_star"
    )([x, cluster])
    logit = StarDense(
        task.num_classes, num_clusters, name="dnn_star_logit", dtype="float32"
    )([hidden, cluster])
    return Model(inputs=embed.inputs, outputs=predict(task, logit), name="adaptdhm")
