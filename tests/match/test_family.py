"""What every match model exports: vectors whose dot product is the score."""

import keras
import numpy as np
import pytest

from recsys import load_model
from recsys.testing.subject import without_graphs
from tests import zoo
from tests.close import close

ENTRIES = [entry for entry in zoo.ENTRIES if entry.family == "match"]
ENTRIES = [entry for entry in ENTRIES if entry.name != "ncf"]  # no dot product


@pytest.fixture(scope="module", params=ENTRIES, ids=lambda entry: entry.name)
def model(request):
    keras.utils.set_random_seed(2)
    model = request.param.compiled()
    zoo.jitter(model)
    with without_graphs(model):
        model.fit(zoo.rows(64), batch_size=32, verbose=0)
    return model


def _vectors(model, x):
    """User vectors `(rows, interests, dim)` and which of them there are."""
    found = model.user_model.predict(x, verbose=0)
    if isinstance(found, dict):
        return found["user_vector"], found["user_interests"]
    interests = found if found.ndim == 3 else found[:, None]
    return interests, np.ones(interests.shape[:2], bool)


def _scores(model, x):
    """The scores of all items, `(rows, items)`, from the exported vectors."""
    interests, exist = _vectors(model, x)
    scores = interests.astype("float64") @ model.item_matrix().astype("float64").T
    return np.where(exist[..., None], scores, -np.inf).max(axis=1)


@pytest.mark.oracle
def test_the_score_is_the_dot_product_of_the_vectors(model):
    x = zoo.rows(20, seed=5)
    own = _scores(model, x)[np.arange(20), x["item_id"]]
    found = model.predict(x, verbose=0)[:, 0]
    close(found, own, terms=100)
    by_id = model.item_model.predict({"item_id": x["item_id"]}, verbose=0)
    close(by_id, model.item_matrix()[x["item_id"]])


def test_vectors_are_the_same_in_every_call_and_batch(model):
    x = zoo.rows(20, seed=5)
    together, _ = _vectors(model, x)
    np.testing.assert_array_equal(_vectors(model, x)[0], together)
    alone, _ = _vectors(model, zoo.take(x, slice(3, 4)))
    close(alone, together[3:4], terms=100)


def test_a_user_without_history_has_a_vector(model):
    x = zoo.rows(4)
    x["seen"], x["seen_category"] = x["seen"] * 0, x["seen_category"] * 0
    interests, exist = _vectors(model, x)
    assert np.isfinite(interests).all() and exist[:, 0].all()
    ids, _ = model.recommend(x, k=3)
    assert (ids > 0).all()


def test_a_file_gives_the_same_vectors(model, tmp_path):
    x = zoo.rows(20, seed=5)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(_vectors(loaded, x)[0], _vectors(model, x)[0])
    np.testing.assert_array_equal(loaded.item_matrix(), model.item_matrix())


def test_recommendations_are_the_best_that_are_allowed(model):
    x = zoo.rows(20, seed=5)
    seen = [np.unique(row[row > 0]) for row in x["seen"]]
    ids, found = model.recommend(x, k=8, exclude=seen)
    scores = _scores(model, x)
    for row, gone in enumerate(seen):
        allowed = np.setdiff1d(np.arange(1, 30), gone)
        best = np.sort(scores[row, allowed])[::-1][:8]
        close(found[row], best, terms=100)
        assert not set(ids[row]) & {0, *gone.tolist()}


def test_rows_without_an_item_teach_nothing(model):
    x = zoo.rows(12)
    x["item_id"][:] = 0
    x["seen"][:] = 0
    loss = model.evaluate(x, verbose=0)
    close(loss, 0)
