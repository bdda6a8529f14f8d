"""Import path of version 1; see `recsys.train.model`."""

from recsys.train.model import Model

__all__ = ["Model"]
