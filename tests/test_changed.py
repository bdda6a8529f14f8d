"""What `make test-changed` runs."""

from types import SimpleNamespace

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
