"""What factories declare: enough to build, and nothing that can be done without."""

import warnings
from dataclasses import replace

import pytest

from recsys.feature.needs import NEEDS
from tests import zoo

LACKING = {
    "domain": lambda f: f.belong != "domain",
    "domain_id": lambda f: f.belong != "domain" or not f.is_table,
    "history": lambda f: f.belong != "history",
    "item": lambda f: f.belong != "item" or f.length > 1,
    "item_history": lambda f: f.emb not in ("item_id", "category") or f.name == f.emb,
    "user": lambda f: f.name != "user_id",
}
"""Which fields remain where there is not what is needed."""


def _build(entry, fields):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* does not read the columns")
        return entry.factory(fields, **entry.given())


@pytest.mark.parametrize("entry", zoo.ENTRIES, ids=lambda entry: entry.name)
def test_what_is_declared_is_needed_and_all_that_is(entry):
    assert {*entry.needs} <= NEEDS.keys()
    fields = zoo.fields(domain=True)
    if "one_dim" in entry.needs:
        with pytest.raises(ValueError, match=r"\bdims?\b|as wide as"):
            _build(entry, fields)
        fields = [replace(field, dim=4) for field in fields]
    for need in entry.needs:
        if need in LACKING:
            left = [field for field in fields if LACKING[need](field)]
            with pytest.raises(ValueError, match="^" + entry.name + " needs ") as error:
                _build(entry, left)
            assert NEEDS[need].wanted in str(error.value)
    kept = {"domain" if need == "domain_id" else need for need in entry.needs}
    kept |= {"history"} if "item_history" in kept else set()
    for belong in ("history", "domain"):
        if belong not in kept:
            fields = [field for field in fields if field.belong != belong]
    if "item" not in kept and "history" not in kept:
        fields = [field for field in fields if field.belong != "item"]
    if "user" not in kept and "item" in kept:
        fields = [field for field in fields if field.name != "user_id"]
    _build(entry, fields)
