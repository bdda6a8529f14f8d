"""Match models: which items of a catalogue suit a user."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.match.bert4rec import bert4rec
    from recsys.match.comirec import comirec
    from recsys.match.dat import dat
    from recsys.match.gru4rec import gru4rec
    from recsys.match.hstu import hstu
    from recsys.match.lightgcn import lightgcn
    from recsys.match.mind import mind
    from recsys.match.ncf import ncf
    from recsys.match.sasrec import sasrec
    from recsys.match.sdm import sdm
    from recsys.match.simplex import simplex
    from recsys.match.two_tower import two_tower
    from recsys.match.youtube_dnn import youtube_dnn

__all__ = [
    "bert4rec",
    "comirec",
    "dat",
    "gru4rec",
    "hstu",
    "lightgcn",
    "mind",
    "ncf",
    "sasrec",
    "sdm",
    "simplex",
    "two_tower",
    "youtube_dnn",
]

public_face(__name__, {f"{__name__}.{name}": [name] for name in __all__})
