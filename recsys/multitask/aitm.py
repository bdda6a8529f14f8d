"""AITM: Modeling the Sequential Dependence among Audience Multi-step Conversions.

Xi et al., KDD 2021, https://arxiv.org/abs/2105.08489 (figure 3, eq. 2-10)

    embeddings ──┬─> MLP ─────────────────┬──────────────────> logit of step 1
                 │                        └─> transfer ─┐
                 ├─> MLP ─────────────────────────────> AIT ─┬─> logit of step 2
                 │                                           └─> transfer ─┐
                 └─> MLP ────────────────────────────────────────────────> AIT ─> ...
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import check_tasks, predict
from recsys.layers.losses import LossLayer
from recsys.layers.mlp import FeedForwardLayer, Tower
from recsys.layers.row_means import mean_of_rows
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "aitm"]


class AdaptiveTransfer(Layer):
    r"""Attention over what the step before hands on and what a step sees itself (AIT).

        w_u = softmax_u(<h_2(u), h_3(u)> / \sqrt{k}),   z = \sum_u w_u h_1(u)

    Call arguments:
        inputs: `[p, q]`, each `(batch, k)`.
    Returns:
        `(batch, k)`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        shape = tuple(input_shape[0])
        self.value, self.key, self.query = (
            keras.layers.Dense(
                shape[-1], use_bias=False, name=name, dtype=self.dtype_policy
            )
            for name in ("value", "key", "query")
        )
        for layer in (self.value, self.key, self.query):
            layer.build(shape)

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        u = ops.stack(inputs, axis=1)  # (batch, 2, k)
        products = ops.cast(self.key(u) * self.query(u), "float32")
        scores = ops.sum(products, axis=-1) / u.shape[-1] ** 0.5
        return ops.einsum(
            "bu,buk->bk", ops.cast(ops.softmax(scores), u.dtype), self.value(u)
        )

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class BehavioralExpectation(LossLayer):
    r"""A step is never likelier than the one before (calibrator of AITM, eq. 9).

        loss = \sum_{t \ge 2} mean of max(p_t - p_{t-1}, 0)

    The mean is over the rows that have a label of step t. Gradients reach both.

    Args:
        tasks: Names of the steps, in order.
        weight: Factor on the loss.
    Call arguments:
        inputs: The logits of the steps, a list of `(batch, 1)`.
    Returns:
        `inputs`.
    """

    def __init__(
        self, tasks: Sequence[str], weight: float = 0.6, **kwargs: Any
    ) -> None:
        super().__init__(weight, **{"dtype": "float32", **kwargs})
        self.tasks = tuple(tasks)

    def call(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        self.kept.put(list(inputs))
        return list(inputs)

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor | float:
        p = [ops.sigmoid(z) for z in self.kept.take()[-1]]
        excess = [ops.relu(p[t] - p[t - 1]) for t in range(1, len(p))]
        return sum(
            mean_of_rows(each, weights.get(name))
            for each, name in zip(excess, self.tasks[1:], strict=True)
        )

    def divisor(self, rows: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        return valid[self.tasks[-1]]

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Sequence[Shape]:
        return input_shape


@factory()
def aitm(
    fields: Sequence[Field],
    task_list: Sequence[Task],
    hidden_units: Sequence[int] = (128, 64, 32),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    calibration: float = 0.6,
    shared_transfer: bool = False,
) -> Model:
    """Builds AITM: steps that follow each other, each told by the one before.

    The authors drop (0.1, 0.3, 0.3) behind the three layers of an MLP; here one
    `dropout` is for all layers.

    Args:
        fields: All fields; the MLPs read one embedding.
        task_list: The steps in their order, e.g. click, apply, approve: each happens
            only if the one before did.
        hidden_units: Sizes of the MLP of each step; the last is k.
        activation: Activation of the MLPs. What is handed on has ReLU.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of hidden layers.
        use_bn: Whether the MLPs normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        calibration: Weight of `BehavioralExpectation`, which is part of the loss in
            training and evaluation.
        shared_transfer: Whether all steps share one attention, `dnn_ait`.

    Raises:
        ValueError: If a task is not binary, there are no `hidden_units`, or tasks
            share a name, see `check_tasks`.
    """
    check_tasks(task_list)
    if not hidden_units or any(task.belong != "binary" for task in task_list):
        raise ValueError(
            "aitm needs binary tasks, steps that follow each other, and hidden_units. "
            f"Received: {list(task_list)}, hidden_units={hidden_units}"
        )
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    logits: list[Any] = []
    z: Any = None
    shared = AdaptiveTransfer(name="dnn_ait") if shared_transfer else None
    for task in task_list:
        q = FeedForwardLayer(
            hidden_units,
            activation,
            l2_reg,
            dropout,
            use_bn,
            name=layer_name(f"dnn_bottom_{task.name}"),
        )(x)
        if z is not None:
            handed_on = FeedForwardLayer(
                hidden_units[-1],
                "relu",
                l2_reg,
                dropout,
                name=layer_name(f"dnn_transfer_{task.name}"),
            )(z)
            attend = shared or AdaptiveTransfer(name=layer_name(f"dnn_ait_{task.name}"))
            q = attend([handed_on, q])
        z = q
        logits.append(Tower((), name=layer_name(f"dnn_tower_{task.name}"))(z))
    if len(task_list) > 1:
        names = [task.name for task in task_list]
        calibrate = BehavioralExpectation(names, calibration, name="dnn_calibrator")
        logits = calibrate(logits)
    return Model(inputs=embed.inputs, outputs=predict(task_list, logits), name="aitm")
