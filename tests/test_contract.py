"""What every model of the registry must do, see `recsys.testing`."""

import pytest

from recsys import load_model
from recsys.testing.contract import CHECKS
from tests import zoo


@pytest.fixture(scope="module", params=zoo.ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


@pytest.fixture(scope="module")
def subject(entry):
    """A factory, with a model that the checks share."""
    return entry.subject()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_model_keeps_the_contract(subject, check):
    check(subject)


def test_layers_are_named_for_the_optimizer_dict(subject):
    """Of version 1: it routes by `embedding` and `dnn`, the starts of paths."""
    by_key = subject.model.special_layer_variables
    assert not [variable.path for variable in by_key["default"]]
    assert all(v.path.startswith("embedding") for v in by_key["embedding"])


def test_there_is_what_the_contract_looks_at():
    """Rows with padding at the right, and a history that is empty."""
    rows = zoo.rows(24, seed=3)
    for name in ("seen", "seen_category"):
        padded = rows[name] == 0
        assert padded[:, -1].any() and not padded[:, -1].all() and padded.all(1).any()


@pytest.mark.parametrize("name", zoo.MECHANISMS)
def test_training_goes_on_in_a_graph_from_a_file(name, tmp_path):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == name)
    model = entry.subject().compiled()
    # One size of batch: another is another graph, which rounds otherwise.
    x, y = zoo.rows(64), entry.labels(64)
    model.fit(x, y, batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    histories = [
        m.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False).history
        for m in (model, load_model(tmp_path / "model.keras"))
    ]
    assert histories[0] == histories[1]
