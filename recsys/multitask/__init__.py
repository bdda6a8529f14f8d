"""Multi-task models: several questions, one network."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.multitask.adatt import adatt
    from recsys.multitask.aitm import aitm
    from recsys.multitask.ame import ame
    from recsys.multitask.escm2 import escm2
    from recsys.multitask.esmm import esmm
    from recsys.multitask.home import home
    from recsys.multitask.mmoe import mmoe
    from recsys.multitask.ple import ple
    from recsys.multitask.shared_bottom import shared_bottom
    from recsys.multitask.stem import stem

__all__ = [
    "adatt",
    "aitm",
    "ame",
    "escm2",
    "esmm",
    "home",
    "mmoe",
    "ple",
    "shared_bottom",
    "stem",
]

public_face(__name__, {f"{__name__}.{name}": [name] for name in __all__})
