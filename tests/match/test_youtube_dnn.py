"""YouTubeDNN against section 3 of the paper, and the contract of match models."""

import keras
import numpy as np
import pytest

from recsys import Field, load_model
from recsys.match.youtube_dnn import youtube_dnn
from tests import oracle, zoo
from tests.close import close

# All get all columns of the zoo.
pytestmark = pytest.mark.filterwarnings("ignore:.* does not read the columns")

UNITS = (10, 6)
USER = ["user_id", "age", "tags", "hour", "scores", "seen", "seen_category"]


def _model(**kwargs):
    model = youtube_dnn(zoo.fields(), UNITS, **kwargs)
    zoo.jitter(model)
    return model


def _vectors(model, x):
    w = oracle.weights(model)
    user = oracle.mlp(oracle.columns(USER, x, w), w, "dnn_mlp", UNITS)
    return user, w["embedding_softmax__item_id/embeddings"]


def _loss(user, items, positive, weight=None):
    """Softmax over the items 1..29 in float64."""
    scores = user @ items.T
    scores[:, 0] = -np.inf
    log_z = np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1))
    rows = log_z + scores.max(1) - scores[np.arange(len(user)), positive]
    return np.mean(rows * (1 if weight is None else weight))


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    user, items = _vectors(model, x)
    score = (user * items[x["item_id"]]).sum(1, keepdims=True)
    close(model.user_model.predict(x, verbose=0), user, terms=1_000)
    close(model.item_matrix(), items, terms=1_000)
    close(model.predict(x, verbose=0), score, terms=1_000)
    assert (user >= 0).all()  # the last layer is a ReLU


def test_all_negatives_make_the_full_softmax():
    model, x = _model(num_negatives=100), zoo.rows(40)
    model.compile("sgd")
    expected = _loss(*_vectors(model, x), x["item_id"])
    found = model.evaluate(x, batch_size=40, verbose=0)
    close(found, expected, terms=100)


@pytest.mark.parametrize("sampler", ["uniform", "log_uniform"])
def test_a_sample_estimates_the_full_softmax(sampler):
    """exp(loss - full loss) is 1 on average: log Q corrects what was drawn."""
    model, x = _model(num_negatives=20, sampler=sampler), zoo.rows(1, seed=4)
    model.compile("sgd")
    user, items = _vectors(model, x)
    full = _loss(user, items, x["item_id"])
    positive = float(np.exp(-full))
    partition = np.exp(zoo.losses_of_draws(model, x, 200))
    # l_pos is shifted by log Q_pos alike in all draws; undo it.
    layer = model.get_layer("score")
    log_q = float(layer.draws.log_probability(x["item_id"].astype("int32"))[0])
    shift = np.exp(-(log_q + np.log(20)))
    others = (partition - 1) * shift
    assert np.mean(others) == pytest.approx((1 - positive) / positive, rel=0.1)


def test_padding_is_never_drawn():
    for sampler in ("uniform", "log_uniform"):
        layer = _model(num_negatives=20, sampler=sampler).get_layer("score")
        drawn = np.concatenate(
            [layer.draws.draw(500, layer.seed_generator) for _ in range(20)]
        )
        assert drawn.min() == 1 and drawn.max() == 29


def test_rows_without_an_item_do_not_count():
    model, x = _model(num_negatives=100), zoo.rows(40)
    model.compile("sgd")
    x["item_id"][::2] = 0
    some = model.evaluate(zoo.take(x, slice(1, None, 2)), batch_size=40, verbose=0)
    close(model.evaluate(x, batch_size=40, verbose=0), some, terms=100)


def test_a_column_weighs_the_rows():
    model, x = _model(num_negatives=100, sample_weight="w"), zoo.rows(40)
    model.compile("sgd")
    weight = np.random.default_rng(0).random(40)
    expected = _loss(*_vectors(model, x), x["item_id"], weight)
    found = model.evaluate({**x, "w": weight}, batch_size=40, verbose=0)
    close(found, expected, terms=100)
    assert model.predict(x, verbose=0).shape == (40, 1)  # serving has no weights
    with pytest.raises(ValueError, match="'w' is missing"):
        model.fit(x, verbose=0)


def test_the_order_of_watches_does_not_matter():
    model, x = _model(), zoo.rows(9)
    turned = {
        **x,
        "seen": x["seen"][:, ::-1],
        "seen_category": x["seen_category"][:, ::-1],
    }
    one, other = (model.user_model.predict(v, verbose=0) for v in (x, turned))
    close(one, other, terms=100)


@pytest.mark.parametrize(
    "options",
    [
        {"use_bias": True},
        {"normalize": True, "temperature": 0.1},
        {"tie_item_embedding": True, "hidden_units": (10, 8)},
    ],
    ids=str,
)
def test_serving_is_a_dot_product_before_and_after_a_file(options, tmp_path):
    kwargs = {"hidden_units": (10, 6), "num_negatives": 5, **options}
    model = youtube_dnn(zoo.fields(), **kwargs)
    zoo.jitter(model)
    x = zoo.rows(9)
    user, items = model.user_model.predict(x, verbose=0), model.item_matrix()
    score = (user * items[x["item_id"]]).sum(1, keepdims=True)
    close(model.predict(x, verbose=0), score, terms=100)
    model.save(tmp_path / "m.keras")
    loaded = load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.item_matrix(), items)
    np.testing.assert_array_equal(loaded.user_model.predict(x, verbose=0), user)


def test_a_bias_is_one_more_element():
    model = _model(use_bias=True)
    w = oracle.values(model)
    close(
        model.item_matrix()[:, -1],
        w["embedding_bias__item_id/embeddings"][:, 0],
        terms=1,
    )
    assert (model.user_model.predict(zoo.rows(3), verbose=0)[:, -1] == 1).all()


def test_recommendations_leave_out_padding_and_what_was_seen():
    model, x = _model(), zoo.rows(9)
    seen = [np.unique(row[row > 0]) for row in x["seen"]]
    ids, scores = model.recommend(x, k=10, exclude=seen)
    assert ids.shape == scores.shape == (9, 10)
    user, items = model.user_model.predict(x, verbose=0), model.item_matrix()
    for row in range(9):
        allowed = np.setdiff1d(np.arange(1, 30), seen[row])
        best = allowed[np.argsort(-(items[allowed] @ user[row]), kind="stable")][:10]
        assert sorted(ids[row]) == sorted(best)
        assert (np.diff(scores[row]) <= 0).all()


def test_the_parts_take_only_their_columns():
    model = _model()
    assert list(model.item_model.input) == ["item_id"]
    assert set(model.user_model.input) == {*USER, "tag_weights"}


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = 4 + 3 + 5 + 2 + 2 + 8 + 4
    mlp = width * 10 + 10 + 10 * 6 + 6
    assert _model().count_params() == tables + mlp + 30 * 6


def test_errors():
    with pytest.raises(ValueError, match="belong='item'"):
        youtube_dnn([Field("u", vocabulary_size=9)])
    with pytest.raises(ValueError, match="as wide as the last hidden layer, 6"):
        youtube_dnn(zoo.fields(), (10, 6), tie_item_embedding=True)
    with pytest.raises(ValueError, match="sampler must be one of"):
        youtube_dnn(zoo.fields(), sampler="zipf")


def test_it_learns_which_item_follows():
    rng = np.random.default_rng(0)
    last = rng.integers(1, 50, 4000)
    x = {"next": last % 49 + 1, "seen": np.stack([last, last * 0], axis=1)}
    fields = [
        Field("next", vocabulary_size=50, dim=16, belong="item"),
        Field("seen", emb="next", length=2, belong="history"),
    ]
    model = youtube_dnn(fields, (64, 32), num_negatives=20)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=8, batch_size=200, verbose=0)
    ids, _ = model.recommend({"seen": x["seen"][:200]}, k=1)
    assert (ids[:, 0] == x["next"][:200]).mean() > 0.9


def test_negatives_by_count_take_the_counts_of_the_field():
    user = Field("user", vocabulary_size=9)
    kwargs = {"vocabulary_size": 5, "belong": "item"}
    item = Field("item", counts=[0, 16, 1, 0, 1], **kwargs)
    model = youtube_dnn([user, item], (4,), sampler="unigram", num_negatives=2)
    share = np.exp(model.get_layer("score").draws.log_share.numpy())
    close(share, np.array([8, 1, 1, 1]) / 11)
    with pytest.raises(ValueError, match="'item': sampler='unigram' needs counts"):
        youtube_dnn([user, Field("item", **kwargs)], (4,), sampler="unigram")
