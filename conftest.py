"""Set-up of all tests and doctests."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace["np"] = np


@pytest.fixture(autouse=True)
def _seed(request):
    """The same random numbers in every test, whatever ran before."""
    if request.node.get_closest_marker("no_seed") is None:
        import keras

        keras.utils.set_random_seed(0)
        yield
        keras.backend.clear_session(free_memory=False)
    else:
        yield
