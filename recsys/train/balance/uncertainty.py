"""Weights by uncertainty (Kendall et al. 2018)."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from recsys.saving import saved
from recsys.train.balance.base import Balance
from recsys.types import Shape, Tensor, Weights


@saved
class Uncertainty(Balance):
    r"""Weighs by the uncertainty of each task, which is trained (Kendall et al. 2018).

        L = \sum_t c_t e^{-s_t} L_t + s_t / 2,   s_t = \log \sigma_t^2, 0 at the start

    c is 1/2 for regression and 1 for classification. At a given L_t the best s_t is
    log(2 c_t L_t). The s_t know no weight decay; a task without labels in a batch adds
    neither term.

    Reference:
        Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, eq. 7-10.
    """

    def state(self) -> Sequence[tuple[str, Any, Shape, bool]]:
        return [("balance_log_variance", "zeros", (len(self.kinds),), True)]

    def task_weights(self) -> Tensor:
        half = [0.5 if kind == "regression" else 1.0 for kind in self.kinds.values()]
        return ops.convert_to_tensor(half) * ops.exp(-self.variables[0])

    def total(
        self, losses: Mapping[str, Tensor], present: Weights, rest: Any
    ) -> Tensor:
        total = super().total(losses, present, rest)
        spread = ops.unstack(ops.convert_to_tensor(self.variables[0]), len(self.kinds))
        for s, name in zip(spread, losses, strict=True):
            here = present[name]
            total += 0.5 * s * (1.0 if here is None else ops.max(here))
        return total
