"""Set-up of all tests and doctests."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import hypothesis
import numpy as np
import pytest

hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Tests of one file, and there of one model, run on one worker.

    They share fixtures: a model that is built and traced once. The longest come first.
    """
    items.sort(key=lambda item: "test_other_backends" not in item.name)
    for item in items:
        given = getattr(item, "callspec", None)
        entry = given and given.params.get("entry", given.params.get("model"))
        name = getattr(entry, "name", "")
        item.add_marker(pytest.mark.xdist_group(f"{item.path.name} {name}"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    """A test that gives an oracle the weights of a model, has it read all of them."""
    oracle = sys.modules.get("tests.oracle")
    if oracle is None:
        return (yield)
    oracle.OPEN.clear()
    result = yield
    for weights in oracle.OPEN:
        weights.assert_all_read()
    return result


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace):
    doctest_namespace["np"] = np


@pytest.fixture(autouse=True)
def _seed():
    """The same random numbers in every test, whatever ran before."""
    import keras

    keras.utils.set_random_seed(0)
    yield
    keras.backend.clear_session(free_memory=False)
