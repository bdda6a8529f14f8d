"""What docstrings say to a reader with the paper beside them."""

import importlib
import inspect
import re

import pytest

from recsys.about import about
from recsys.feature.needs import NEEDS
from recsys.registry import list_models
from tests.readme_table import README, with_table

FAMILIES = ("rank", "multitask", "multidomain", "match")
MODELS = [(family, name) for family in FAMILIES for name in list_models(family)]


@pytest.mark.parametrize(("family", "name"), MODELS)
def test_a_default_size_that_is_no_papers_is_said_to_be_none(family, name):
    factory = getattr(importlib.import_module(f"recsys.{family}.{name}"), name)
    doc = re.sub(r"\s+", " ", inspect.getdoc(factory))
    defaults = [p.default for p in inspect.signature(factory).parameters.values()]
    if (100, 64) in defaults:
        assert re.search(r"library's; the paper has|those of version 1", doc)


@pytest.mark.parametrize(("family", "name"), MODELS)
def test_a_model_says_name_title_paper_and_figure(family, name):
    found = about(name)
    assert found.label and found.title and "\n" not in found.title
    assert found.papers, "wanted: Authors, VENUE 2017, https://arxiv.org/abs/..."
    module = importlib.import_module(f"recsys.{family}.{name}")
    doc = inspect.getdoc(module)
    assert doc.split("\n    ")[0].count("http") == len(found.papers)
    assert re.search(r"\n    .*─", doc), "wanted: a figure, indented by four"
    text = found.text()
    assert doc in text and inspect.getdoc(found.factory) in text
    assert all(NEEDS[need].wanted in text for need in found.needs)


def test_the_readme_has_the_models_of_the_docstrings():
    """`python -m tests.readme_table` writes it."""
    text = README.read_text()
    assert with_table(text) == text
