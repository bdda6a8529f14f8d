"""FNN: Deep Learning over Multi-field Categorical Data.

Zhang, Du and Wang, ECIR 2016, https://arxiv.org/abs/1601.02376 (figure 1, eq. 1-6)

    fields ──┬─> w of a factorization machine ──┐
             ├─> v of the same ─────────────────┼─> concat ─> MLP of tanh ─> sigmoid
             └─> w_0 of the same ───────────────┘
"""

from collections.abc import Sequence

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder, concat
from recsys.layers.base import Layer
from recsys.layers.heads import predict
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor

__all__ = ["Field", "Task", "fnn"]


class AppendBias(Layer):
    """Appends one trainable number to every row: w_0 of eq. 3.

    Call arguments:
        inputs: `(batch, width)`.
    Returns:
        `(batch, width + 1)`.
    """

    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, inputs: Tensor) -> Tensor:
        column = ops.zeros_like(inputs[:, :1]) + self.bias
        return ops.concatenate([inputs, column], axis=-1)


@factory()
def fnn(
    fields: Sequence[Field],
    task: Task = Task("ctr"),
    *,
    pretrained_fm: keras.Model | None = None,
    hidden_units: Sequence[int] = (200, 300, 100),
    activation: Activation = "tanh",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
) -> Model:
    """Builds FNN: an MLP on the weights and vectors of a factorization machine.

    The paper trains the machine first and lets the network start from it:

        first = fm(fields); first.compile(...); first.fit(...)
        model = fnn(fields, pretrained_fm=first)

    Parameters: `sum of V (d + 1)` over the tables, one bias, and the MLP.

    Args:
        fields: The fields. Several values and histories are averaged, as in `fm`.
        task: The task.
        pretrained_fm: An `fm` of the same fields whose weights are copied.
        hidden_units: Sizes of the MLP.
        activation: Activation of the MLP.
        dropout: Fraction dropped behind each layer of the MLP, in [0, 1).
        l2_reg: Penalty on the kernels of the MLP.
        use_bn: Whether the MLP normalises.

    Raises:
        ValueError: If `pretrained_fm` lacks a weight of the model, or has
            one of another shape.
    """
    embed = FieldEmbedder(fields)
    weights = [embed.lookup(f, "embedding_linear__", 1, "zeros") for f in fields]
    vectors = embed(fields).tensors()
    z = AppendBias(name="dnn_bias")(concat([*weights, *vectors]))
    logit = Tower(
        hidden_units,
        activation,
        l2_reg,
        dropout,
        use_bn,
        num_logits=task.num_classes,
        name="dnn_mlp",
    )(z)

    model = Model(inputs=embed.inputs, outputs=predict(task, logit), name="fnn")
    if pretrained_fm is not None:
        _copy(pretrained_fm, model)
    return model


def _copy(source: keras.Model, model: keras.Model) -> None:
    """Sets all weights outside the MLP to those of the same path."""
    given = {weight.path: weight for weight in source.weights}
    wanted = [w for w in model.weights if not w.path.startswith("dnn_mlp")]
    for weight in wanted:
        found = given.get(weight.path)
        if found is None or found.shape != weight.shape:
            raise ValueError(
                "pretrained_fm must be an fm of the same fields, with a weight "
                f"{weight.path!r} of shape {tuple(weight.shape)}. Received: "
                f"{'none' if found is None else tuple(found.shape)}"
            )
    for weight in wanted:
        weight.assign(given[weight.path])
