"""ESCM2: Entire Space Counterfactual Multi-Task Model for post-click conversion.

Wang et al., SIGIR 2022, https://arxiv.org/abs/2204.05125 (eq. 8-13)

    fields ─> embeddings ──┬─> tower ─> p(click) ─────────────> as ESMM
                           ├─> tower ─> p(conversion | click) ─> as ESMM, and a loss
                           └─> tower ─> imputed error of it      weighed by 1 / p(click)

ESMM's conversion rate is biased, as nothing but the product is trained; here a loss on
the clicked rows, each weighed by how unlikely its click was, is unbiased.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.inputs import FieldEmbedder
from recsys.layers.losses import LossLayer
from recsys.layers.row_means import mean_of_rows
from recsys.multitask.esmm import check_entire_space, entire_space, towers
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Shape, Tensor, Weights

__all__ = ["Field", "Task", "escm2"]


class InversePropensityRisk(LossLayer):
    r"""The loss of a conversion over all impressions, from the clicked ones (IPS).

        loss = 1/B \sum_i o_i e_i min(1 / p_i, clip),   e = cross-entropy(r, \sigma(c))

    No gradient reaches the propensity p = \sigma(a).

    Args:
        tasks: Names of the click o and the conversion r.
        clip: Largest inverse propensity.
        self_normalized: Divide all o_i / p_i by their mean, which is 1 in theory.
        weight: Factor on the loss.
    Call arguments:
        inputs: `[c, a]`, the logits of a conversion after a click and of a click.
    Returns:
        c.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        clip: float = 15.0,
        self_normalized: bool = False,
        weight: float = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(weight, **{"dtype": "float32", **kwargs})
        self.tasks = tuple(tasks)
        self.clip = clip
        self.self_normalized = self_normalized

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        self.kept.put(tuple(inputs))
        return inputs[0]

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor:
        click, conversion = self.tasks
        c, a, *rest = self.kept.take()[-1]
        o, r = (ops.cast(labels[name], c.dtype) for name in (click, conversion))
        inverse = 1 + ops.exp(-ops.stop_gradient(a))
        chosen = o * ops.minimum(inverse, self.clip)
        if self.self_normalized:
            share = mean_of_rows(chosen, weights[conversion])
            chosen = chosen / ops.where(share > 0, share, 1.0)
        error = ops.softplus(c) - r * c
        return mean_of_rows(self.risk(chosen, error, *rest), weights[conversion])

    def divisor(self, rows: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        return valid[self.tasks[1]]

    def risk(self, chosen: Tensor, error: Tensor) -> Tensor:
        """Returns the loss of each row.

        Args:
            chosen: o / p, `(batch, 1)`.
            error: e, `(batch, 1)`.
        """
        return chosen * error

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        return tuple(input_shape[0])


class DoublyRobustRisk(InversePropensityRisk):
    r"""The same loss, right if the propensity or the imputed error is (DR).

        loss = 1/B \sum_i [ê_i + o_i / p_i (e_i - ê_i)]
               + 1/B \sum_i o_i / p_i (e_i - ê_i)^2

    The imputed error ê = softplus(a third logit) is trained by the second sum alone,
    and c by the first alone. (Which gradients stop the paper leaves open.)

    Args:
        stop_gradients: Off, both sums train both, as in PaddleRec.
        tasks, clip, self_normalized, weight: See `InversePropensityRisk`.
    Call arguments:
        inputs: `[c, a, logit of ê]`.
    """

    def __init__(self, *args: Any, stop_gradients: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stop_gradients = stop_gradients

    def risk(self, chosen: Tensor, error: Tensor, logit: Any = None) -> Tensor:
        imputed = ops.softplus(logit)
        stop = ops.stop_gradient if self.stop_gradients else lambda tensor: tensor
        known = stop(imputed)
        estimate = known + chosen * (error - known)
        return estimate + chosen * ops.square(stop(error) - imputed)


@factory()
def escm2(
    fields: Sequence[Field],
    task_list: Sequence[Task] = (Task("ctr"), Task("ctcvr")),
    hidden_units: Sequence[int] = (360, 200, 80),
    activation: Activation = "relu",
    dropout: float = 0.0,
    l2_reg: float = 0.0,
    use_bn: bool = False,
    history_agg: str = "attention",
    agg_kwargs: Mapping[str, Any] | None = None,
    *,
    doubly_robust: bool = True,
    risk_weight: float = 0.1,
    clip: float = 15.0,
    self_normalized: bool = False,
    stop_gradients: bool = True,
    cvr: str = "cvr",
) -> Model:
    """Builds ESCM2: ESMM with an unbiased loss on the conversion rate.

    The loss is that of the click, plus that of the conversion (the paper's global
    risk, its weight in `compile(loss_weights=...)`), plus `risk_weight` times the
    counterfactual risk. Evaluation adds it too, prediction and files do not need it.

    Args:
        fields: All fields; the towers read one embedding.
        task_list: Click, and conversion: 1 only where the click is.
        hidden_units: Sizes of each tower.
        activation: Activation of the towers.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of hidden layers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        doubly_robust: Whether errors of rows without a click are imputed by a third
            tower (`DoublyRobustRisk`), or left out (`InversePropensityRisk`).
        risk_weight, clip, self_normalized, stop_gradients: Arguments of that loss.
        cvr: Name of the output p(conversion | click).

    Raises:
        ValueError: If there are not two binary tasks of distinct names.
    """
    check_entire_space("escm2", task_list, cvr)
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    tower = (hidden_units, activation, l2_reg, dropout, use_bn)
    imputation = ["imputation"] if doubly_robust else []
    a, c, *imputed = towers([task_list[0].name, cvr, *imputation], x, *tower)
    names = [task.name for task in task_list]
    if doubly_robust:
        risk: InversePropensityRisk = DoublyRobustRisk(
            names,
            clip,
            self_normalized,
            risk_weight,
            stop_gradients=stop_gradients,
            name="dnn_risk",
        )
        c = risk([c, a, *imputed])
    else:
        risk = InversePropensityRisk(
            names, clip, self_normalized, risk_weight, name="dnn_risk"
        )
        c = risk([c, a])
    outputs = entire_space(task_list, cvr, a, c)
    return Model(inputs=embed.inputs, outputs=outputs, name="escm2")
