"""How the losses of several tasks become one: `Model.compile(balance=...)`.

    model.compile("adam", loss, balance="uncertainty")
    model.compile("adam", loss, balance=GradNorm(alpha=1.5))

`Uncertainty`, `DWA` and `Decay` weigh losses, on every backend; `GradNorm` and `PCGrad`
need the gradients of each task and TensorFlow. All of them start from `loss_weights`,
concern training alone (evaluation reports the plain sum), and leave the losses of loss
layers and penalties as they are. Their state is a part of the model: files, checkpoints
and `get_weights` have it.
"""

from typing import Any

import keras

from recsys._face import public_face
from recsys.train.balance.base import Balance, GradientBalance
from recsys.train.balance.decay import Decay
from recsys.train.balance.dwa import DWA
from recsys.train.balance.gradnorm import GradNorm
from recsys.train.balance.pcgrad import PCGrad
from recsys.train.balance.uncertainty import Uncertainty

__all__ = [
    "DWA",
    "Balance",
    "Decay",
    "GradNorm",
    "GradientBalance",
    "PCGrad",
    "Uncertainty",
]
_BY_NAME = {
    "uncertainty": Uncertainty,
    "dwa": DWA,
    "gradnorm": GradNorm,
    "pcgrad": PCGrad,
}


def get(balance: Any) -> Balance | None:
    """Returns a new object for a name, or like the one given.

    Raises:
        ValueError: If there is no such way to balance.
    """
    if balance is None:
        return None
    if isinstance(balance, str) and balance in _BY_NAME:
        return _BY_NAME[balance]()  # type: ignore[no-any-return]
    if isinstance(balance, Balance):
        return balance.from_config(balance.get_config())
    raise ValueError(
        f"balance must be one of {list(_BY_NAME)} or an object of "
        f"recsys.train.balance. Received: balance={balance!r}"
    )


class AfterEpoch(keras.callbacks.Callback):
    """Tells the balance of a model what an epoch's losses were."""

    model: Any  # that of `recsys.train`

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Passes the logs on."""
        self.model.balance.after_epoch(logs or {})


public_face(__name__)
