"""ESMM: Entire Space Multi-Task Model for estimating post-click conversion rate.

Ma et al., SIGIR 2018, https://arxiv.org/abs/1804.07931 (figure 2, eq. 2-3)

    fields ─> embeddings ──┬─> tower ─> p(click) ──────────────┬─────> click
                           │                                  (x)────> conversion
                           └─> tower ─> p(conversion | click) ─┴─────> cvr
"""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.feature import Field, Task
from recsys.feature._names import layer_name
from recsys.inputs import FieldEmbedder
from recsys.layers.base import Layer
from recsys.layers.heads import PredictLayer, check_tasks
from recsys.layers.mlp import Tower
from recsys.train.factory import factory
from recsys.train.model import Model
from recsys.types import Activation, Tensor

__all__ = ["Field", "Task", "esmm"]


class ProductLogit(Layer):
    r"""The logit of the product of two probabilities, from their logits.

        \sigma(z) = \sigma(a) \sigma(c),   z = -log(e^{-a} + e^{-c} + e^{-a-c})

    No probability is computed on the way: a cross-entropy of z is exact and finite for
    logits of any size.

    Call arguments:
        inputs: `[a, c]`, each `(batch, 1)`.
    Returns:
        `(batch, 1)`, float32.
    Example:
    >>> z = ProductLogit()([np.array([[0.0]]), np.array([[0.0]])])
    >>> ops.sigmoid(z).numpy()
    array([[0.25]], dtype=float32)
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        a, c = inputs
        terms = ops.concatenate([-a, -c, -a - c], axis=-1)
        return -ops.logsumexp(terms, axis=-1, keepdims=True)


def towers(names: Sequence[str], x: Tensor, *tower: Any) -> list[Tensor]:
    """Returns a logit for each name, `(batch, 1)`.

    Args:
        names: The towers are named `dnn_tower_<name>`.
        x: What all of them read, `(batch, width)`.
        *tower: Arguments of each `Tower`.
    """
    return [Tower(*tower, name=layer_name(f"dnn_tower_{name}"))(x) for name in names]


def entire_space(
    task_list: Sequence[Task], cvr: str, a: Tensor, c: Tensor
) -> dict[str, Tensor]:
    """Ends ESMM: predictions of click, of conversion, and of one given the other.

    Args:
        task_list: Click and conversion.
        cvr: Name of the third output.
        a: Logit of a click, `(batch, 1)`.
        c: Logit of a conversion after a click, `(batch, 1)`.
    """
    click, conversion = (task.name for task in task_list)
    both = ProductLogit(name="dnn_product")([a, c])
    return {
        click: PredictLayer("binary", name=layer_name(click))(a),
        conversion: PredictLayer("binary", requires=click, name=layer_name(conversion))(
            both
        ),
        cvr: PredictLayer("binary", is_task=False, name=layer_name(cvr))(c),
    }


def check_entire_space(model: str, task_list: Sequence[Task], cvr: str) -> None:
    """Raises `ValueError` unless the tasks are a click and a conversion."""
    check_tasks([*task_list, Task(cvr)])
    if len(task_list) != 2 or any(task.belong != "binary" for task in task_list):
        raise ValueError(
            f"{model} needs two binary tasks, a click and a conversion. "
            f"Received: {list(task_list)}"
        )


@factory()
def esmm(
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
    cvr: str = "cvr",
) -> Model:
    """Builds ESMM: a conversion rate learned from all impressions, not from clicks.

    What is observed of every impression are click and conversion, the two tasks; the
    second is predicted as p(click) p(conversion | click). The factor is the output
    `cvr`, which has no loss of its own: it gets its gradient, also of impressions
    without a click, through the product. Give labels named `cvr` to measure it, NaN
    where there was no click.

    Args:
        fields: All fields; both towers read one embedding.
        task_list: Click, and conversion: 1 only where the click is. Without a click it
            is 0, not missing.
        hidden_units: Sizes of each tower.
        activation: Activation of the towers.
        dropout: Fraction dropped behind each hidden layer, in [0, 1).
        l2_reg: Penalty on the kernels of hidden layers.
        use_bn: Whether hidden layers normalise.
        history_agg: How histories are pooled, see `get_agg_layer`.
        agg_kwargs: Arguments of that layer.
        cvr: Name of the output p(conversion | click).

    Raises:
        ValueError: If there are not two binary tasks of distinct names.
    """
    check_entire_space("esmm", task_list, cvr)
    embed = FieldEmbedder(fields)
    x = embed(fields, history_agg, agg_kwargs).concat()
    tower = (hidden_units, activation, l2_reg, dropout, use_bn)
    a, c = towers([task_list[0].name, cvr], x, *tower)
    outputs = entire_space(task_list, cvr, a, c)
    return Model(inputs=embed.inputs, outputs=outputs, name="esmm")
