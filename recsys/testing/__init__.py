"""Tests for models that are not the library's."""

from typing import TYPE_CHECKING

from recsys._face import public_face

if TYPE_CHECKING:
    from recsys.testing.contract import check_model

__all__ = ["check_model"]

public_face(__name__, {"recsys.testing.contract": ["check_model"]})
