"""Blocks, heads and embeddings by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recsys import Field, Task
from recsys.layers.elementary import AppendOne, Bias, Split
from recsys.layers.heads import PredictLayer, predict
from recsys.layers.interaction import FM
from recsys.layers.masking import masked_softmax
from recsys.layers.mlp import FeedForwardLayer, Tower
from recsys.layers.normalization import BatchNorm, Dropout, for_xla
from recsys.layers.positions import PositionalEmbedding
from recsys.layers.table import DenseEmbedding, Embedding
from recsys.rank.deepfm import deepfm
from tests import oracle
from tests.close import close


def test_a_block_is_dense_norm_activation_dropout():
    layer = FeedForwardLayer((5, 3), "tanh", use_bn=True, name="mlp")
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    layer(x)
    for weight in layer.weights:
        weight.assign(weight + np.random.default_rng(1).random(weight.shape))
    h, w = x, oracle.weights(layer)
    for i, units in enumerate((5, 3)):
        h = oracle.dense(h, w, f"mlp/dense_{i}", units)
        h = (h - w[f"mlp/bn_{i}/moving_mean"]) / np.sqrt(
            w[f"mlp/bn_{i}/moving_variance"] + 1e-5
        )
        h = np.tanh(h * w[f"mlp/bn_{i}/gamma"] + w[f"mlp/bn_{i}/beta"])
    close(layer(x), h, terms=1_000)


def test_a_block_takes_a_number_and_drops_in_training_only():
    layer = FeedForwardLayer(50, dropout=0.5)
    x = np.ones((4, 3), "float32")
    assert layer(x).shape == (4, 50)
    positive = layer(x).numpy() > 0
    dropped = (layer(x, training=True).numpy() == 0)[positive]
    assert 0.2 < dropped.mean() < 0.8
    with pytest.raises(ValueError, match="sizes of at least 1"):
        FeedForwardLayer((4, 0))


@pytest.mark.parametrize("shape", [(4096, 50), (999, 3, 7), (1, 1)])
def test_dropout_drops_its_share_and_keeps_the_mean(shape):
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = Dropout(0.3, seed=1)
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    kept = first != 0
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / x.size) + 1 / 65536
    close(first[kept], x[kept] / 0.7, terms=1_000)
    both = (kept & (second != 0)).mean()  # draws do not depend on each other
    assert abs(both - 0.49) < 5 * np.sqrt(0.49 * 0.51 / x.size) + 2 / 65536
    pairs = (kept.reshape(-1)[1:] & kept.reshape(-1)[:-1]) if x.size > 1 else 0.49
    assert abs(np.mean(pairs) - 0.49) < 10 * np.sqrt(0.49 * 0.51 / x.size)
    np.testing.assert_array_equal(layer(x), x)
    again = Dropout(0.3, seed=1)
    np.testing.assert_array_equal(again(x, training=True), first)


def test_dropout_in_half_precision_and_of_almost_all():
    x = np.ones((64, 64), "float16")
    out = Dropout(0.5, seed=0, dtype="float16")(x, training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    assert {*np.unique(out)} == {0.0, 2.0}
    assert np.isfinite(Dropout(0.999999, seed=0)(np.ones(10**5), training=True)).all()


def test_dropout_compiled_by_xla():
    layer = Dropout(0.3, seed=1)
    out = tf.function(lambda x: layer(x, training=True), jit_compile=True)
    kept = out(np.ones((64, 33), "float32")).numpy() != 0
    assert 0.6 < kept.mean() < 0.8


@pytest.mark.parametrize("shape", [(64, 5), (1, 5), (8, 3, 5)])
def test_batch_norm_is_that_of_keras(shape):
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.normal(size=shape)).astype("float32")
    up = rng.normal(size=shape).astype("float32")
    found = []
    for kind in (BatchNorm, keras.layers.BatchNormalization):
        layer, start = kind(momentum=0.8), np.random.default_rng(1)
        layer.build(shape)
        layer.set_weights([w + start.random(w.shape) for w in layer.get_weights()])
        at = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(at)
            out = layer(at, training=True)
        gradients = tape.gradient(out, [at, layer.gamma, layer.beta], up)
        found.append([out, *gradients, *layer.get_weights(), layer(x)])
    for a, b in zip(*found, strict=True):
        close(a, b, terms=2_000)


def test_the_penalty_on_kernels():
    layer = FeedForwardLayer((2,), l2_reg=0.5)
    layer.build((None, 3))
    (loss,) = layer.losses
    close(float(loss), 0.5 * (layer.dense[0].kernel.numpy() ** 2).sum())


def test_a_tower_ends_in_logits_of_both_signs():
    layer = Tower((6,), "relu", dropout=0.5, num_logits=2, name="t")
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    logits = layer(x).numpy()
    assert logits.shape == (40, 2) and logits.min() < 0 < logits.max()
    expected = oracle.tower(x, oracle.weights(layer), "t", (6,), logits=2)
    close(logits, expected, terms=1_000)
    assert len(Tower((), use_bias=False)(x).shape) == 2


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_logits_and_predictions_are_float32(policy):
    keras.config.set_dtype_policy(policy)
    try:
        logits = Tower((6,))(np.ones((3, 4)))
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        out = PredictLayer("binary", name="p")(logits)
        assert keras.backend.standardize_dtype(out.dtype) == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_head_is_the_activation_of_the_sum_of_its_logits_and_no_more():
    a, b = np.array([[1.0], [-2.0]], "float32"), np.array([[0.5], [9.0]], "float32")
    head = PredictLayer("binary", name="p")
    close(head([a, b]), oracle.sigmoid(a + b))
    assert not head.weights
    (kept,) = head.kept.take()
    np.testing.assert_array_equal(kept, a + b)
    np.testing.assert_array_equal(PredictLayer("regression", name="r")(a), a)
    classes = PredictLayer("multiclass", 3, name="m")(np.array([[1.0, 2.0, 3.0]]))
    close(np.sum(classes), 1)


def test_a_head_makes_a_logit_of_a_wider_input_as_in_version_1():
    head = PredictLayer("binary", name="p")
    assert head(np.ones((2, 5), "float32")).shape == (2, 1)
    assert [w.path for w in head.weights] == ["p/logit/kernel", "p/logit/bias"]


@pytest.mark.parametrize(
    "logits",
    [keras.Input((1,)), [keras.Input((1,))], None, "ab", np.ones((2, 1)), {1: 2, 3: 4}],
)
def test_several_tasks_have_a_logit_each(logits):
    wanted = r"^predict: logits must be a list, one for .*Received: tasks \['a', 'b'\]"
    with pytest.raises(ValueError, match=wanted):
        predict([Task("a"), Task("b")], logits)


def test_outputs_of_one_and_of_several_tasks():
    logit = keras.Input((1,))
    assert predict(Task("ctr"), logit).shape == (None, 1)
    both = predict(Task("ctr", return_logit=True), keras.Input((1,)))
    assert list(both) == ["ctr", "logit"]
    several = predict([Task("b"), Task("a")], [logit, logit])
    assert list(several) == ["b", "a"]
    for logits in (dict(b=logit, a=logit).values(), map(keras.ops.abs, [logit] * 2)):
        assert list(predict([Task("b"), Task("a")], logits)) == ["b", "a"]
    with pytest.raises(ValueError, match="num_classes must be 2 or more"):
        PredictLayer("multiclass", 1)
    with pytest.raises(ValueError, match="belong must be one of"):
        PredictLayer("ranking")


def test_small_layers():
    x = np.arange(6.0).reshape(2, 3)
    first, second = Split((1, 2))(x)
    np.testing.assert_array_equal(first, x[:, :1])
    np.testing.assert_array_equal(second, x[:, 1:])
    np.testing.assert_array_equal(AppendOne()(x)[:, -1], [1, 1])
    bias = Bias()
    np.testing.assert_array_equal(bias([x[:, :1], x[:, 1:2]]), [[1], [7]])
    bias.bias.assign([2.0])
    np.testing.assert_array_equal(bias([x[:, :1]]), [[2], [5]])


def test_fm():
    e = np.random.default_rng(0).normal(size=(4, 3, 5)).astype("float32")
    pairs = [(e[:, i] * e[:, j]).sum(-1) for i in range(3) for j in range(i)]
    close(FM()(e)[:, 0], sum(pairs), terms=1_000)
    close(FM()(list(e.transpose(1, 0, 2))), FM()(e), terms=100)
    close(FM()(3 * e), 9 * FM()(e), terms=100)
    np.testing.assert_array_equal(FM()(e[:, :1]), np.zeros((4, 1)))
    with pytest.raises(ValueError, match=r"one dim. Received: dims \[5, 4\]"):
        FM()([e[:, 0], e[:, 1, :4]])


def test_a_softmax_without_valid_positions_is_zero():
    scores = np.array([[1.5, -3.0], [1.5, -3.0]], "float32")
    weights = masked_softmax(scores, np.array([[True, True], [False, False]]))
    close(weights[0], np.exp([1.5, -3]) / np.exp([1.5, -3]).sum(), terms=1)
    np.testing.assert_array_equal(weights[1], [0, 0])


def test_a_table_and_its_penalty_once_for_each_id():
    layer = Embedding(5, 2, l2_reg=0.1)
    ids = np.array([[1, 1, 3], [0, 3, 0]])
    layer(ids, valid=ids != 0, training=True)
    layer(np.array([3, 4]), training=True)
    table = layer.embeddings.numpy()
    expected = 0.05 * (table[[1, 3, 4]] ** 2).sum()
    close(float(layer.l2_penalty()), expected, terms=100)
    assert layer.l2_penalty() == 0.0  # it forgot them
    layer(ids)
    assert layer.l2_penalty() == 0.0  # prediction keeps nothing
    with for_xla(True):  # no count of ids that differ
        layer(np.array([1, 1, 4]), training=True)
        expected = 0.05 * (table[[1, 4]] ** 2).sum()
        close(float(layer.l2_penalty()), expected, terms=100)
    with pytest.raises(ValueError, match="at least 1"):
        Embedding(0, 2)


def test_a_penalty_on_the_whole_table():
    fields = [
        Field("id", vocabulary_size=6, dim=2, regularizer=keras.regularizers.L2(0.5)),
        Field("x", dim=2, dtype="float32", regularizer="l2"),
    ]
    model = deepfm(fields, hidden_units=())
    model.compile({"embedding": "sgd", "default": "sgd"}, "binary_crossentropy")
    weights = {w.path: w.numpy() for w in model.trainable_weights}
    close(
        float(sum(model.losses)),
        sum(
            (0.5 if "_id/" in path else 0.01) * (w**2).sum()
            for path, w in weights.items()
            if "embedding" in path
        ),
    )
    model.fit({"id": np.array([2]), "x": np.zeros(1)}, np.ones(1), verbose=0)
    (table,) = [w for w in model.weights if "embedding_id/" in w.path]
    before = weights[table.path]
    after = table.numpy()
    rest = [0, 1, 3, 4, 5]  # are not in the batch, and shrink all the same
    close(after[rest], before[rest] * (1 - 0.01), terms=100)
    for name in ("embedding_id", "embedding_x"):
        layer = model.get_layer(name)
        again = layer.from_config(layer.get_config()).embeddings_regularizer
        assert again.l2 == layer.embeddings_regularizer.l2
    with pytest.raises(ValueError, match="l2_reg must be 0 where a regularizer"):
        Field("id", vocabulary_size=6, l2_reg=0.1, regularizer="l2")


def test_numbers():
    x = np.array([1.0, -2.0], "float32")
    layer = DenseEmbedding(3)
    close(layer(x), x[:, None] * layer.embeddings.numpy())
    assert DenseEmbedding(3)(np.ones((2, 4))).shape == (2, 4, 3)
    assert DenseEmbedding(3, length=4)(np.ones((2, 4))).shape == (2, 3)
    np.testing.assert_array_equal(DenseEmbedding(3, vocabulary_size=0)(x), x[:, None])
    with pytest.raises(ValueError, match="vocabulary_size must be 0 or 1"):
        DenseEmbedding(3, vocabulary_size=2)


def test_positions_count_back_from_the_most_recent():
    layer = PositionalEmbedding(max_length=3)
    x = np.zeros((2, 4, 2), "float32")
    valid = np.array([[1, 1, 1, 1], [1, 1, 0, 0]]) > 0
    p = layer(x, valid=valid).numpy()
    table = layer.positions.numpy()
    np.testing.assert_array_equal(p[0], table[[2, 2, 1, 0]])  # the last is shared
    np.testing.assert_array_equal(p[1, :2], table[[1, 0]])
    with pytest.raises(ValueError, match="merge must be"):
        PositionalEmbedding("add")
    with pytest.raises(ValueError, match="width of the elements, 2.*dim=3"):
        PositionalEmbedding(dim=3)(x)
