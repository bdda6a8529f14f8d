"""Two towers against the papers' figures; the loss is in tests/layers."""

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.match.two_tower import two_tower
from tests import oracle, zoo
from tests.close import close

UNITS = (10, 6)
USER = ["user_id", "age", "tags", "hour", "scores", "seen", "seen_category"]


def _model(**kwargs):
    model = two_tower(zoo.fields(), UNITS, catalogue=zoo.CATALOGUE, **kwargs)
    zoo.jitter(model)
    return model


def _tower(x, w, name):
    return oracle.tower(x, w, name, UNITS[:-1], logits=UNITS[-1])


def _vectors(model, x):
    w = oracle.weights(model)
    w.beside("catalogue", "score/frequency")  # is that of the zoo; of the loss alone
    user = _tower(oracle.columns(USER, x, w), w, "dnn_user")
    items = np.concatenate(
        [
            w["embedding_item_id/embeddings"],
            w["embedding_category/embeddings"][zoo.CATALOGUE["category"]],
        ],
        axis=1,
    )
    return user, _tower(items, w, "dnn_item")


@pytest.mark.oracle
def test_it_computes_the_paper():
    x = zoo.rows(9)
    for normalize in (True, False):
        model = _model(normalize=normalize)
        user, items = _vectors(model, x)
        if normalize:
            user /= np.linalg.norm(user, axis=1, keepdims=True)
            items /= np.linalg.norm(items, axis=1, keepdims=True)
        found = model.user_model.predict(x, verbose=0)
        close(found, user, terms=1_000)
        close(model.item_matrix(), items, terms=1_000)
        score = (user * items[x["item_id"]]).sum(1, keepdims=True)
        close(model.predict(x, verbose=0), score, terms=1_000)


def test_the_logistic_loss_draws_what_is_not_known():
    model = _model(loss="logistic", known="seen", num_negatives=3, temperature=0.5)
    layer = model.get_layer("score")
    assert (layer.num_negatives, layer.unseen, layer.temperature) == (3, "seen", 0.5)
    model.compile("sgd")
    assert np.isfinite(model.fit(zoo.rows(40), verbose=0).history["loss"]).all()


def test_items_are_known_by_their_id_alone():
    """Of two items without history of their own, the category tells which is liked."""
    rng = np.random.default_rng(0)
    category = rng.integers(1, 5, 200)
    user = rng.integers(1, 5, 6000)
    item = np.array([rng.choice(np.flatnonzero(category[:150] == u)) for u in user])
    fields = [
        Field("user", vocabulary_size=5, dim=8),
        Field("item", vocabulary_size=200, dim=8, belong="item"),
        Field("category", vocabulary_size=5, dim=8, belong="item"),
    ]
    model = two_tower(fields, (16,), catalogue={"category": category})
    model.compile(keras.optimizers.Adam(0.01))
    model.fit({"user": user, "item": item}, batch_size=128, epochs=3, verbose=0)
    scores = model.user_model.predict({"user": np.arange(1, 5)}, verbose=0)
    scores = scores @ model.item_matrix()[150:].T  # items that training has not seen
    best = category[150:][scores.argmax(axis=1)]
    np.testing.assert_array_equal(best, np.arange(1, 5))


def test_a_catalogue_can_come_later_and_must_come():
    model = two_tower(zoo.fields(), (10, 6))
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"two_tower reads \['category'\].*catalogue"):
        model.fit(zoo.rows(8), verbose=0)
    with pytest.raises(ValueError, match=r"shape \(30,\);.* Received: shape \(29,\)"):
        model.set_catalogue({"category": zoo.CATALOGUE["category"][1:]})
    with pytest.raises(ValueError, match="'category': the catalogue has no such"):
        model.set_catalogue({"brand": zoo.CATALOGUE["category"]})
    model.set_catalogue(zoo.CATALOGUE)
    model.fit(zoo.rows(8), verbose=0)
    plain = two_tower([f for f in zoo.fields() if f.name != "category"][:-1], (6,))
    with pytest.raises(ValueError, match="takes no catalogue"):
        plain.set_catalogue(zoo.CATALOGUE)


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (7, "Column 'category' must hold ids from 0 to 6. Received: 7.0 in row 3"),
        (-1, "Column 'category' must hold ids from 0 to 6. Received: -1.0 in row 3"),
        (1.5, "Column 'category' must hold whole ids. Received: 1.5 in row 3"),
        (np.nan, "Column 'category' must hold finite numbers. Received: nan in row 3"),
        ("x", "Column 'category' must hold numbers .* Received: dtype object"),
    ],
)
def test_a_value_of_the_catalogue_that_no_table_has_is_refused(value, error, later):
    entry = next(entry for entry in zoo.ENTRIES if entry.name == "two_tower")
    wrong = zoo.CATALOGUE["category"].astype(object)
    wrong[3] = value
    if value != "x":
        wrong = wrong.astype(float)
    with pytest.raises(ValueError, match=error):
        if later:
            entry.build().set_catalogue({"category": wrong})
        else:
            entry.build(catalogue={"category": wrong})


def test_a_catalogue_with_new_items_or_columns_is_not_taken_in_silence():
    model, category = two_tower(zoo.fields(), (10, 6)), zoo.CATALOGUE["category"]
    more = np.concatenate([category, [1, 2]])
    with pytest.raises(
        ValueError,
        match=r"new items need a model of more ids. Receiv"
        r"ed: shape \(32,\)",
    ):
        model.set_catalogue({"category": more})
    both = {**zoo.CATALOGUE, "brand": category, "age": category}
    with pytest.warns(
        UserWarning,
        match=r"columns \['age', 'brand'\] that the model "
        "does not read",
    ):
        model.set_catalogue(both)
    layer = model.get_layer("catalogue")
    np.testing.assert_array_equal(layer.values["category"], category)
    alone = [field for field in zoo.fields() if field.name in ("user_id", "item_id")]
    with pytest.warns(UserWarning, match="two_tower has no item fields besides.*'cat"):
        two_tower(alone, (6,), catalogue=zoo.CATALOGUE)
    two_tower(alone, (6,), catalogue={})


def test_parameters():
    user = 4 + 3 + 5 + 2 + 2 + 8 + 4
    mlps = user * 10 + 10 + 10 * 6 + 6 + 12 * 10 + 10 + 10 * 6 + 6
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    model = _model()
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert trained == mlps + tables


def test_errors():
    with pytest.raises(ValueError, match="loss must be 'in_batch' or 'logistic'"):
        _model(loss="hinge")
    with pytest.raises(ValueError, match="two_tower needs a field of ids"):
        two_tower([Field("user", vocabulary_size=9)])
