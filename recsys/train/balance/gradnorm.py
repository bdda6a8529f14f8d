"""GradNorm (Chen et al. 2018)."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from recsys.feature._constraints import Maybe, Number, Text, check
from recsys.saving import saved
from recsys.train.balance.base import GradientBalance
from recsys.types import Gradient, Shape, Tensor


@saved
class GradNorm(GradientBalance):
    r"""Lets all tasks pull alike at what they share (Chen et al. 2018).

        G_t = ||\nabla_W w_t L_t||,   r_t = L_t / L_t(0), over its mean
        w moves down the gradient of \sum_t |G_t - mean(G) r_t^\alpha|

    and is then clipped to 0.001 at least and scaled to the sum T. L_t(0) is the loss of
    the first batch that has labels of t. The w are moved by plain gradient descent.

    Args:
        alpha: How much more a task that lags behind may pull.
        learning_rate: Learning rate of the w.
        layer: Name of the layer whose last kernel is W. Default: the last layer of the
            model, in its order, that all tasks train.
    Raises:
        ValueError: If there is no such layer.
    Reference:
        GradNorm: Gradient Normalization for Adaptive Loss Balancing, ICML 2018, eq.
        1-2, algorithm 1.
    """

    _constraints = {
        "alpha": Number(0),
        "learning_rate": Number(0),
        "layer": Maybe(Text()),
    }

    def __init__(
        self, alpha: float = 1.5, learning_rate: float = 0.025, layer: str | None = None
    ) -> None:
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.layer = layer
        check(self)

    def state(self) -> Sequence[tuple[str, Any, Shape, bool]]:
        shape = (len(self.kinds),)
        return [
            ("balance_weights", "ones", shape, False),
            ("balance_first_losses", "zeros", shape, False),
        ]

    def task_weights(self) -> Tensor:
        return ops.convert_to_tensor(self.variables[0])

    def gradients(
        self, tape: Any, model: keras.Model, scale: Callable[[Tensor], Tensor]
    ) -> list[Gradient]:
        losses, _, total = self.kept.take()[-1]
        with tape:
            total, scaled = scale(total), [scale(loss) for loss in losses]
        shared = self._shared_kernel(tape, model, scaled)
        norms = []
        for loss in scaled:
            slope = tape.gradient(loss, shared, unconnected_gradients="zero")
            norms.append(ops.sqrt(ops.sum(ops.square(slope))))
        self._move(ops.stack(losses), ops.stack(norms))
        return list(tape.gradient(total, [v.value for v in model.trainable_weights]))

    def _move(self, losses: Tensor, norms: Tensor) -> None:
        """Updates the w.

        Args:
            losses: L_t, `(num_tasks,)`.
            norms: Gradient norms of the L_t without weights, up to a common factor.
        """
        w, first = self.variables
        first.assign(ops.where(ops.equal(first, 0.0), losses, first))
        start = ops.where(ops.equal(first, 0.0), 1.0, first)
        norms = norms / ops.maximum(ops.mean(norms), 1e-12)
        rate = losses / start
        rate = rate / ops.maximum(ops.mean(rate), 1e-12)
        pull = w * norms
        target = ops.mean(pull) * ops.power(rate, self.alpha)
        moved = w - self.learning_rate * norms * ops.sign(pull - target)
        moved = ops.maximum(moved, 1e-3)
        w.assign(len(self.kinds) * moved / ops.sum(moved))

    def _shared_kernel(
        self, tape: Any, model: keras.Model, losses: Sequence[Tensor]
    ) -> Any:
        layers = model.layers
        if self.layer is not None:
            layers = [model.get_layer(self.layer)]
        for layer in reversed(layers):
            kernels = [w for w in layer.trainable_weights if "kernel" in w.name]
            if kernels:
                kernel = kernels[-1].value
                if all(tape.gradient(loss, kernel) is not None for loss in losses):
                    return kernel
        raise ValueError(
            "GradNorm needs a layer with a kernel that all tasks train. "
            f"Received: layer={self.layer!r}"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "learning_rate": self.learning_rate,
            "layer": self.layer,
        }
