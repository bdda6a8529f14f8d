"""The one comparison of floats that all tests use, see `recsys.testing.close`."""

from recsys.testing.close import close

__all__ = ["close"]
