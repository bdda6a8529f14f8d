"""Oracles see what is broken: one model of each family, every mutation."""

import pytest

from tests import mutations

ONE_OF_EACH = [
    "tests/rank/test_din.py",
    "tests/multitask/test_mmoe.py",
    "tests/multidomain/test_pepnet.py",
    "tests/match/test_sasrec.py",
]
REACHED_BY_NONE = {"no layer norm"}  # of these four


@pytest.mark.all
@pytest.mark.parametrize("name", mutations.MUTATIONS)
def test_a_mutation_is_seen(name):
    found = mutations.run(name, ONE_OF_EACH, workers=0)
    assert {*found} == {*ONE_OF_EACH}
    came = {file for file, (reached, _) in found.items() if reached}
    assert came == {file for file, (_, failed) in found.items() if failed}
    assert came or name in REACHED_BY_NONE
