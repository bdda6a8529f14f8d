"""Losses inside a model, and weights that follow from others."""

from collections.abc import Mapping
from typing import Any

import keras

from recsys.layers.base import Layer
from recsys.layers.kept import Kept
from recsys.types import Loss, Tensor, Weights


class Derived(Layer):
    """A layer with weights that follow from others and are read in prediction.

    `recsys.train.Model` has them computed when it is trained, and before it predicts,
    evaluates, is saved or exported.
    """

    def refresh(self) -> None:
        """Computes them."""
        raise NotImplementedError


class LossLayer(Layer):
    """A loss on tensors inside the model, for what the outputs do not show.

    `call` keeps the tensors in `self.kept` and returns what the rest of the model
    goes on with; `loss` is asked once after the forward pass of a training or test
    step. Prediction and export carry none of it. (Keras' `add_loss` loses losses on
    JAX.)

    Args:
        weight: Factor on the loss; `compile(loss_weights=...)` may replace it.
        sample_weight: Column of `x` that weighs the rows of a model without labels.
    """

    def __init__(
        self, weight: float = 1.0, sample_weight: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.weight = weight
        self.sample_weight = sample_weight
        self.loss_fn: Loss | None = None  # set by `compile(loss=[...])`
        self.kept = Kept()
        self.num = Kept()

    @property
    def reads(self) -> dict[str, tuple[int, ...] | None]:
        """Columns of `x` that the loss reads, and their shapes without the batch axis.

        The model need not have them as inputs. `None` is any shape.
        """
        return {} if self.sample_weight is None else {self.sample_weight: ()}

    def bind(self, model: keras.Model) -> None:
        """Is called with the model the layer is a part of, also after loading.

        A loss may need other layers of it. Keep a function, not the model: Keras
        would take it for a layer of this one.
        """

    def loss(
        self,
        labels: Mapping[str, Tensor],
        weights: Weights,
        x: Mapping[str, Tensor],
        training: bool,
    ) -> Tensor | float:
        """Returns the loss of the batch, a scalar, before `weight`.

        Args:
            labels: Labels by task, each `(batch, 1)`, of the type they came in and
                without missing values; empty if the model is trained without.
            weights: Weights by task, each `(batch,)`, or `None` for ones: with them
                the mean over the batch is that over the rows that have a label.
            x: The columns of the batch.
            training: Whether this is a training step.
        """
        raise NotImplementedError

    def divisor(self, rows: Tensor, valid: Mapping[str, Tensor]) -> Tensor:
        """Returns the number of rows, steps or items the last `loss` was a mean over.

        It is what `loss` put into `self.num`, or else the number of rows with a label
        of the first task, or of all.

        Args:
            rows: Rows of the batch, a scalar.
            valid: Rows with a label by task, scalars.
        """
        return [*self.num.take(), next(iter(valid.values()), rows)][0]
