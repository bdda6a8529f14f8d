"""From logits to weights: the model class, optimizers, losses and callbacks."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.train import balance, callbacks, evaluation, losses, optimizers
    from recsys.train.match_model import MatchModel
    from recsys.train.model import Model

__all__ = [
    "MatchModel",
    "Model",
    "balance",
    "callbacks",
    "evaluation",
    "losses",
    "optimizers",
]

public_face(
    __name__,
    {"recsys.train.match_model": ["MatchModel"], "recsys.train.model": ["Model"]},
    modules=["balance", "callbacks", "evaluation", "losses", "optimizers"],
)
