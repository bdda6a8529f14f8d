"""SGD, with momentum lazy on tables."""

from collections.abc import Callable, Mapping, Sequence

import keras

from recsys.saving import saved
from recsys.train.optimizers.row_optimizer import RowOptimizer
from recsys.types import Tensor


@saved
class SGD(RowOptimizer, keras.optimizers.SGD):
    """Stochastic gradient descent; with momentum, lazy on tables.

    Args:
        *args, **kwargs: Those of `keras.optimizers.SGD`; the learning rate is 0.01
            by default.
    """

    def slots(self) -> Mapping[str, str | keras.initializers.Initializer]:
        return {"momentum": "zeros"} if self.momentum else {}

    def moves_at_zero(self) -> bool:
        return bool(self.momentum or self.weight_decay)

    def step(
        self,
        gradient: Tensor,
        slots: Sequence[Tensor],
        learning_rate: Tensor,
        value: Callable[[], Tensor],
    ) -> tuple[Tensor, Sequence[Tensor]]:
        step = learning_rate * gradient
        if not slots:
            return step, []
        momentum = slots[0] * self.momentum - step
        return (step - momentum * self.momentum if self.nesterov else -momentum), [
            momentum
        ]
