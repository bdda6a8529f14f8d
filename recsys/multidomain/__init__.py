"""Multi-domain models: one network for several surfaces."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.multidomain.adaptdhm import adaptdhm
    from recsys.multidomain.epnet import epnet
    from recsys.multidomain.hinet import hinet
    from recsys.multidomain.m2m import m2m
    from recsys.multidomain.mmoe_domains import mmoe_domains
    from recsys.multidomain.pepnet import pepnet
    from recsys.multidomain.ple_domains import ple_domains
    from recsys.multidomain.ppnet import ppnet
    from recsys.multidomain.sar_net import sar_net
    from recsys.multidomain.star import star

__all__ = [
    "adaptdhm",
    "epnet",
    "hinet",
    "m2m",
    "mmoe_domains",
    "pepnet",
    "ple_domains",
    "ppnet",
    "sar_net",
    "star",
]

public_face(__name__, {f"{__name__}.{name}": [name] for name in __all__})
