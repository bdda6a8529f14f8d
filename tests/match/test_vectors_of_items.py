"""Every match model reads the vectors of items, or says that it does not."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from recsys.feature import Content
from tests import zoo
from tests.close import close

MODELS = [each for each in zoo.ENTRIES if each.family == "match"]
DEAF = {"lightgcn"}  # its items are the nodes of a graph
ONE, ALIKE, OTHER = 4, 10, 5  # the first two have one category


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)
def test_items_of_one_vector_are_alike_where_it_is_all(entry):
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype("float32")
    vectors[0] = 0
    vectors[ALIKE] = vectors[ONE]
    content = Content(vectors, fuse="content")
    fields = [
        replace(f, content=content) if f.name == "item_id" else f
        for f in entry.fields()
    ]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = entry.factory(fields, **entry.given())
    told = any("does not read the vectors" in str(each.message) for each in said)
    assert told == (entry.name in DEAF)
    if not told:
        zoo.jitter(model)
        found = model.item_matrix()
        close(found[ONE], found[ALIKE], terms=100)
        assert np.abs(found[ONE] - found[OTHER]).max() > 1e-3
