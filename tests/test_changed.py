"""What `make test-changed` runs."""

from types import SimpleNamespace

import pytest

from tests import zoo
from tests.changed import ROOT, Changed


def _item(path, **params):
    return SimpleNamespace(path=ROOT / path, callspec=SimpleNamespace(params=params))


def test_a_model_is_run_with_its_tests_and_its_part_of_the_contract():
    changed = Changed({"recsys/rank/dcnv3.py"})
    assert changed.models == {"dcnv3"}
    contract = "tests/test_contract.py"
    run = [e.name for e in zoo.ENTRIES if changed.has(_item(contract, entry=e))]
    assert run == ["dcnv3"]
    assert changed.has(_item("tests/rank/test_dcnv3.py"))
    assert changed.has(_item("recsys/rank/dcnv3.py"))
    assert not changed.has(_item("tests/rank/test_dcn_mix.py"))
    assert not changed.has(_item("tests/data/test_reader.py"))


def test_a_layer_is_run_with_the_models_that_import_it():
    changed = Changed({"recsys/layers/interaction/cross.py"})
    assert {"dcn", "dcn_mix"} <= changed.models < {e.name for e in zoo.ENTRIES}
    assert changed.has(_item("tests/layers/test_cross.py"))


@pytest.mark.parametrize(
    "file",
    [
        *("recsys/inputs/embedder.py", "recsys/layers/attention.py"),  # by lazy faces
        *("recsys/testing/contract.py", "tests/zoo.py", "tests/test_contract.py"),
        *("recsys/registry.py", "recsys/layers/removed.py"),
    ],
)
def test_checks_of_every_model_are_run_for_all_where_all_or_they_changed(file):
    changed = Changed({file})
    contract = "tests/test_contract.py"
    assert all(changed.has(_item(contract, entry=entry)) for entry in zoo.ENTRIES)


def test_types_of_others_are_run_with_the_test_of_types():
    changed = Changed({"typings/keras/__init__.pyi"})
    assert changed.has(_item("tests/test_types.py"))
    assert not changed.has(_item("tests/data/test_reader.py"))


def test_a_helper_of_tests_is_run_with_those_that_name_it():
    changed = Changed({"tests/planted.py", "README.md"})
    assert not changed.modules and not changed.models
    assert changed.has(_item("tests/rank/test_dcn.py"))
    assert changed.has(_item("tests/test_readme.py"))
    assert not changed.has(_item("tests/metrics/test_auc.py"))


def test_what_all_depend_on_is_run_with_all():
    changed = Changed({"pyproject.toml"})
    assert changed.has(_item("tests/data/test_reader.py"))
    assert changed.has(_item("tests/test_contract.py", entry=zoo.ENTRIES[0]))
