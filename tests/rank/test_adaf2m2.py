"""AdaF2M2: masked copies in training, weights by state, and what inference is."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.rank.adaf2m2 import InteractionExpert, adaf2m2
from recsys.train.losses import AugmentedBinaryCrossentropy
from tests import oracle, planted, zoo
from tests.close import close

COLUMNS = ["user_id", "age", "tags", "item_id", "category", "hour"]
LOGIT = Task("ctr", return_logit=True)
STATE = [Field("hour", vocabulary_size=24, dim=2, belong="context")]
D = 4
UNITS = (8, 6)
MASK = "dnn_multi_forward/dnn_mask"  # the auxiliary loss alone reads it


def _model(**kwargs):
    model = adaf2m2(
        zoo.fields(),
        STATE,
        task=LOGIT,
        interaction_params={"num_layers": 1},
        history_agg="mean_pooling",  # attention has statistics of its own in training
        **{"hidden_units": UNITS, **kwargs},
    )
    zoo.jitter(model)
    return model


def _embeddings(w, x):
    names = [*COLUMNS, "seen", "seen_category"]
    return [oracle.column(name, x, w, "embedding_") for name in names]


def _forward(w, e, raw):
    """The interaction, one layer of DCN-V2 (its eq. 1), and the MLP."""
    flat = np.concatenate(e, -1)
    name = "dnn_multi_forward"
    product = oracle.dense(flat, w, f"{name}/dnn_interaction/cross_0", flat.shape[-1])
    features = np.concatenate([flat * product + flat, raw], -1)
    return oracle.tower(features, w, f"{name}/dnn_mlp", UNITS)


def _weights_of_state(w, e):
    """The adapter of section 3: one weight for each feature."""
    ids = [e[0], e[3]]  # user_id and item_id
    norms = []
    for v in ids:
        n = np.sqrt((v * v).sum(-1, keepdims=True))
        norms += [n, np.log(n), np.sqrt(n), n * n]
    state = np.concatenate([e[5], *ids, *norms], -1)
    return oracle.sigmoid(oracle.dense(state, w, "dnn_adapter/dense", len(e)))


def _logit(w, x):
    e = _embeddings(w, x)
    a = _weights_of_state(w, e)
    weighted = [a[:, f : f + 1] * v for f, v in enumerate(e)]
    return _forward(w, weighted, x["scores"])


@pytest.mark.oracle
def test_it_computes_the_paper():
    model, x = _model(), zoo.rows(9)
    out = oracle.logit(model, x)
    w = oracle.weights(model).beside(MASK)
    close(out, _logit(w, x), terms=1_000)


def _bce(y, z):
    return np.logaddexp(0, z) - y[:, None] * z


def _training_loss(model, x, y):
    model.compile("sgd", "binary_crossentropy")
    x = {name: tf.constant(x[name]) for name in model.input}
    return float(model.compute_loss(x, y, model(x, training=True), training=True))


@pytest.mark.parametrize("p", [0, 1])
def test_the_auxiliary_loss_is_that_of_the_masked_copies(p):
    """With p = 0 every copy is the row itself, with p = 1 all copies are alike."""
    model, x, y = _model(min_probability=p, max_probability=p), zoo.rows(9), None
    y = np.random.default_rng(0).integers(0, 2, 9).astype("float32")
    w = oracle.weights(model)
    e = _embeddings(w, x)
    if p:
        cuts = np.cumsum([v.shape[1] for v in e])[:-1]
        mask = np.split(w[f"{MASK}/embeddings"], cuts)
        e = [np.tile(m, (9, 1)) for m in mask]
    else:
        w.beside(MASK)  # nothing is masked
    auxiliary = _bce(y, _forward(w, e, x["scores"])).mean()
    main = _bce(y, _logit(w, x)).mean()
    found = _training_loss(model, x, y)
    close(found, main + 0.2 * auxiliary, terms=1_000)
    evaluated = model.evaluate(x, y, verbose=0)
    close(evaluated, main, terms=1_000)


def test_copies_are_held_against_the_label_of_their_own_row():
    loss = AugmentedBinaryCrossentropy(reduction="none")
    y = np.array([[1.0], [0.0]], "float32")
    logits = np.array([[5.0], [4.0], [-3.0], [-2.0]], "float32")
    z = logits.reshape(2, 2)
    expected = (np.logaddexp(0, z) - y * z).mean(1)
    close(loss(y, logits), expected, terms=100)


def test_missing_labels_and_weights_count_in_the_auxiliary_loss():
    model, x = _model(min_probability=0, max_probability=0), zoo.rows(9)
    y = np.random.default_rng(0).integers(0, 2, 9).astype("float32")
    weight = np.random.default_rng(1).random(9).astype("float32")
    missing = y.copy()
    missing[:3] = np.nan
    w = oracle.weights(model).beside(MASK)
    rows = _bce(y, _logit(w, x)) + 0.2 * _bce(
        y, _forward(w, _embeddings(w, x), x["scores"])
    )
    model.compile("sgd", "binary_crossentropy")
    columns = {name: tf.constant(x[name]) for name in model.input}
    found = model.compute_loss(
        columns, missing, model(columns, training=True), weight, training=True
    )
    expected = (weight[3:, None] * rows[3:]).sum() / 6
    close(float(found), expected, terms=1_000)


def test_the_call_of_version_1_trains():
    model = _model()
    model.compile(
        "adam",
        loss=[keras.losses.BinaryCrossentropy(), AugmentedBinaryCrossentropy()],
        loss_weights=[1.0, 0.2],
        metrics={"ctr": keras.metrics.AUC()},
    )
    logs = model.fit(zoo.rows(64), zoo.labels("rank", 64), verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert model.output.keys() == {"ctr", "logit"}


def test_histories_may_stay_unmasked():
    masks = [
        _model(mask_history=m).get_layer("dnn_multi_forward").mask
        for m in (True, False)
    ]
    widths = [mask.embeddings.shape[0] for mask in masks]
    assert widths[0] - widths[1] == 8 + 4


def test_parameters():
    tables = 40 * 4 + 3 + 12 * 5 + 30 * 8 + 7 * 4 + 24 * 2
    width = 4 + 3 + 5 + 8 + 4 + 2 + 12
    adapter = (2 + 4 + 8 + 2 * 4 + 1) * 8
    base = width * width + width + (width + 2) * 8 + 8 + 8 * 6 + 6 + 6 + 1
    trainable = sum(int(np.prod(v.shape)) for v in _model().trainable_weights)
    assert trainable == tables + width + adapter + base


@pytest.mark.parametrize("interaction", list(InteractionExpert), ids=str)
def test_any_interaction_will_do(interaction):
    model = adaf2m2(zoo.fields(dim=D), interaction=interaction)
    model.compile("adam", "binary_crossentropy")
    logs = model.fit(zoo.rows(64), zoo.labels("rank", 64), verbose=0).history
    assert np.isfinite(logs["loss"]).all()


def test_the_adapter_may_leave_the_tables_alone():
    before = {}
    for stop in (False, True):
        model = _model(stop_gradient=stop)
        layer = model.get_layer("dnn_adapter")
        w = tf.random.stateless_normal((9, 4), (0, 1))
        with tf.GradientTape() as tape:
            tape.watch(w)
            rest = [tf.ones((9, d)) for d in (4, 3, 5, 8, 4, 2, 8, 4)]
            out = layer((rest, [w, tf.ones((9, 8))], [tf.ones((9, 2))]))
            total = tf.add_n([tf.reduce_sum(v) for v in out])
        before[stop] = tape.gradient(total, w)
    assert before[False] is not None and before[True] is None


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="binary or regression.*'multiclass'"):
        adaf2m2(zoo.fields(), task=Task("t", belong="multiclass", num_classes=3))
    with pytest.raises(ValueError, match="needs state_id_fields"):
        adaf2m2([Field("n", dtype="float32")])


@pytest.mark.all
def test_it_learns_a_cross():
    planted.assert_learns(adaf2m2, planted.cross, learning_rate=0.01)


USER = Field("uid", vocabulary_size=9)
ITEM = Field("item", vocabulary_size=7, belong="item")
SEEN = Field("seen", "item", length=3, belong="history")
X = {
    "uid": np.arange(1, 9),
    "item": np.arange(8) % 6 + 1,
    "seen": np.arange(24).reshape(8, 3) % 7,
}


@pytest.mark.parametrize(
    ("fields", "mask_history"), [([ITEM, SEEN], False), ([ITEM], True), ([USER], True)]
)
def test_it_trains_with_one_feature_to_mask(fields, mask_history):
    model = adaf2m2(fields, mask_history=mask_history)
    model.compile("adam", "binary_crossentropy")
    x = {name: X[name] for name in model.input}
    before = oracle.values(model)
    losses = model.fit(x, np.arange(8) % 2, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    after = oracle.values(model)
    moved = {n for n in before if MASK in n and np.any(before[n] != after[n])}
    assert moved == {f"{MASK}/embeddings"}


def test_a_history_alone_cannot_be_masked_if_histories_may_not():
    seen = replace(SEEN, vocabulary_size=7)
    with pytest.raises(ValueError, match="adaf2m2 needs a field to mask.*mask_hist"):
        adaf2m2([seen], [], [USER], mask_history=False, history_agg="mean_pooling")


def test_a_state_id_without_a_table_is_the_field_of_its_name():
    """Version 1 declared there how the norm of the id's embedding enters."""
    fields = [USER, ITEM, SEEN]
    for size in (0, 1):
        states = [replace(field, vocabulary_size=size) for field in (USER, ITEM)]
        keras.utils.set_random_seed(1)
        twice = adaf2m2(fields, state_id_fields=states)
        keras.utils.set_random_seed(1)
        once = adaf2m2(fields, state_id_fields=[USER, ITEM])
        found, expected = (model.predict(X, verbose=0) for model in (twice, once))
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="'uid' is declared twice, and not alike"):
        adaf2m2(fields, state_id_fields=[replace(USER, vocabulary_size=5)])
