"""Feature interactions, one idea a file; the names of version 1 that have landed."""

from recsys.layers.domain import EPNet, GateNU, PPNet
from recsys.layers.interaction.cross import CrossNet
from recsys.layers.interaction.fm import FM
from recsys.layers.interaction.gwpfm import GwPFM

__all__ = ["CrossNet", "EPNet", "FM", "GateNU", "GwPFM", "PPNet"]
