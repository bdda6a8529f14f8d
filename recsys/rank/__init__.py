"""Ranking models: how likely a user acts on an item."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.rank.adaf2m2 import adaf2m2
    from recsys.rank.afm import afm
    from recsys.rank.autoint import autoint
    from recsys.rank.bst import bst
    from recsys.rank.can import can
    from recsys.rank.contextnet import contextnet
    from recsys.rank.dcn import dcn
    from recsys.rank.dcn_mix import dcn_mix
    from recsys.rank.dcnv3 import dcnv3
    from recsys.rank.deep_crossing import deep_crossing
    from recsys.rank.deepfefm import deepfefm
    from recsys.rank.deepfm import deepfm
    from recsys.rank.deepfwfm import deepfwfm
    from recsys.rank.dien import dien
    from recsys.rank.din import din
    from recsys.rank.dlrm import dlrm
    from recsys.rank.dsin import dsin
    from recsys.rank.edcn import edcn
    from recsys.rank.eta import eta
    from recsys.rank.eulernet import eulernet
    from recsys.rank.fefm import fefm
    from recsys.rank.ffm import ffm
    from recsys.rank.fibinet import fibinet
    from recsys.rank.fibinet_plus import fibinet_plus
    from recsys.rank.finalmlp import finalmlp
    from recsys.rank.finalnet import finalnet
    from recsys.rank.fm import fm
    from recsys.rank.fmfm import fmfm
    from recsys.rank.fnn import fnn
    from recsys.rank.fwfm import fwfm
    from recsys.rank.gdcn import gdcn
    from recsys.rank.gwpfm import gwpfm
    from recsys.rank.hmoe import hmoe
    from recsys.rank.hstu_rank import hstu_rank
    from recsys.rank.lr import lr
    from recsys.rank.masknet import masknet
    from recsys.rank.nfm import nfm
    from recsys.rank.pin import pin
    from recsys.rank.pnn import pnn
    from recsys.rank.rankmixer import rankmixer
    from recsys.rank.sdim import sdim
    from recsys.rank.sim import sim
    from recsys.rank.tin import tin
    from recsys.rank.wide_deep import wide_deep
    from recsys.rank.wukong import wukong
    from recsys.rank.xdeepfm import xdeepfm

__all__ = [
    "adaf2m2",
    "afm",
    "autoint",
    "bst",
    "can",
    "contextnet",
    "dcn",
    "dcn_mix",
    "dcnv3",
    "deep_crossing",
    "deepfefm",
    "deepfm",
    "deepfwfm",
    "dien",
    "din",
    "dlrm",
    "dsin",
    "edcn",
    "eta",
    "eulernet",
    "fefm",
    "ffm",
    "fibinet",
    "fibinet_plus",
    "finalmlp",
    "finalnet",
    "fm",
    "fmfm",
    "fnn",
    "fwfm",
    "gdcn",
    "gwpfm",
    "hmoe",
    "hstu_rank",
    "lr",
    "masknet",
    "nfm",
    "pin",
    "pnn",
    "rankmixer",
    "sdim",
    "sim",
    "tin",
    "wide_deep",
    "wukong",
    "xdeepfm",
]

public_face(__name__, {f"{__name__}.{name}": [name] for name in __all__})
