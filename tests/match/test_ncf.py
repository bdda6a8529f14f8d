"""NCF against equations 7-12 of the paper."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.ncf import ncf
from tests import oracle, zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

UNITS = (6, 5)


def _model(kind="neumf", **kwargs):
    kwargs = {"num_negatives": None, "hidden_units": UNITS, "num_factors": 3, **kwargs}
    model = ncf(zoo.fields(), kind, **kwargs)
    zoo.jitter(model)
    return model


def _scores(model, kind, users):
    """Of each user and all items: eq. 7-12, where h . [., .] has no bias."""
    w = oracle.weights(model)
    scores = np.zeros((len(users), 30))
    if kind != "mlp":
        p = w["embedding_gmf__user_id/embeddings"][users] * w["dnn_h/h"]
        scores += p @ w["embedding_gmf__item_id/embeddings"].T
    if kind != "gmf":
        p, q = (w[f"embedding_{name}_id/embeddings"] for name in ("user", "item"))
        for row, user in enumerate(users):
            pairs = np.concatenate([np.tile(p[user], (30, 1)), q], axis=1)
            logit = oracle.tower(pairs, w, "dnn_score/mlp", UNITS, bias=False)
            scores[row] += logit[:, 0]
    return scores


@pytest.mark.parametrize("kind", ["neumf", "mlp", "gmf"])
@pytest.mark.oracle
def test_it_computes_the_paper(kind):
    model, x = _model(kind), zoo.rows(12)
    scores = _scores(model, kind, x["user_id"])
    own = np.arange(12), x["item_id"]
    found = model.predict(x, verbose=0)[:, 0]
    close(found, scores[own], terms=1_000)
    losses = np.logaddexp(0, scores)
    losses[own] = np.logaddexp(0, -scores[own])
    model.compile("sgd")
    loss = model.evaluate(x, batch_size=12, verbose=0)
    close(loss, losses[:, 1:].sum(axis=1).mean(), terms=100)


@pytest.mark.parametrize("num_negatives", [2, None])
def test_negatives_are_none_of_the_users_own(num_negatives):
    """Of 29 items all but number 9 are known: it is every negative."""
    model = _model(num_negatives=num_negatives, unseen="known")
    model.compile("sgd")
    known = np.setdiff1d(np.arange(1, 30), 9)
    x = {"user_id": np.array([4]), "item_id": np.array([3]), "known": known[None]}
    scores = _scores(model, "neumf", [4])[0]
    times = num_negatives or 1
    expected = np.logaddexp(0, -scores[3]) + times * np.logaddexp(0, scores[9])
    close(model.evaluate(x, verbose=0), expected, terms=100)


def test_gmf_is_served_by_vectors_and_the_others_refuse():
    gmf, x = _model("gmf"), zoo.rows(12)
    vectors = gmf.user_model.predict(x, verbose=0)
    scores = _scores(gmf, "gmf", x["user_id"])
    close(vectors @ gmf.item_matrix().T, scores, terms=1_000)
    ids, _ = gmf.recommend(x, k=1)
    np.testing.assert_array_equal(ids[:, 0], 1 + scores[:, 1:].argmax(axis=1))
    plain = ncf(zoo.fields(), "gmf").get_layer("dnn_h").h
    np.testing.assert_array_equal(plain, np.ones(8))  # a matrix factorization
    for kind in ("mlp", "neumf"):
        with pytest.raises(ValueError, match="ncf computes its score from both"):
            _model(kind).recommend(x)


def test_dropout_is_of_training_alone():
    model, x = _model(dropout=0.5), zoo.rows(12)
    np.testing.assert_array_equal(*(model.predict(x, verbose=0) for _ in range(2)))
    model.compile(keras.optimizers.SGD(0.0))
    losses = [model.fit(x, verbose=0).history["loss"][0] for _ in range(2)]
    assert losses[0] != losses[1]
    assert model.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)


@pytest.mark.all
def test_an_mlp_learns_what_no_two_factors_can():
    """Users like the items a fixed step away on a circle of 30: full rank."""
    user = np.repeat(np.arange(1, 31), 5)
    item = (user + np.tile(np.arange(5), 30)) % 30 + 1
    fields = [
        Field("user", vocabulary_size=31, dim=8),
        Field("item", vocabulary_size=31, dim=8, belong="item"),
    ]
    keras.utils.set_random_seed(0)
    model = ncf(fields, "neumf", (32, 16), num_negatives=10, num_factors=2)
    model.compile(keras.optimizers.Adam(0.02))
    x = {"user": user, "item": item}
    model.fit(x, batch_size=50, epochs=60, verbose=0)
    others = {"user": user, "item": (item + 12) % 30 + 1}
    own, other = (model.predict(v, batch_size=150, verbose=0) for v in (x, others))
    assert np.median(own) > np.median(other) + 2


def test_parameters():
    tables = (40 + 30) * 3 + 40 * 4 + 30 * 8
    mlp = 12 * 6 + 6 + 6 * 5 + 5 + 5
    assert _model().count_params() == tables + mlp + 3


def test_errors():
    with pytest.raises(ValueError, match="kind must be one of"):
        ncf(zoo.fields(), "dot")
    with pytest.raises(ValueError, match="ncf needs a user field of one id"):
        ncf(zoo.fields()[3:5])
