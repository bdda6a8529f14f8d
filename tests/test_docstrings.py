"""What docstrings say to a reader with the paper beside them."""

import importlib
import inspect
import re

import pytest

from recsys.registry import list_models

FAMILIES = ("rank", "multitask", "multidomain", "match")
MODELS = [(family, name) for family in FAMILIES for name in list_models(family)]


@pytest.mark.parametrize(("family", "name"), MODELS)
def test_a_default_size_that_is_no_papers_is_said_to_be_none(family, name):
    factory = getattr(importlib.import_module(f"recsys.{family}.{name}"), name)
    doc = re.sub(r"\s+", " ", inspect.getdoc(factory))
    defaults = [p.default for p in inspect.signature(factory).parameters.values()]
    if (100, 64) in defaults:
        assert re.search(r"library's; the paper has|those of version 1", doc)
