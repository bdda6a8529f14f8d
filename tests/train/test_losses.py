"""All losses against NumPy, on the backend that is set; see the last test."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from recsys.train.losses import (
    AugmentedBinaryCrossentropy,
    CombinedLoss,
    FocalLoss,
    FullSoftmax,
    HingeRankingLoss,
    JRCLoss,
    ListwiseSoftmax,
    PoissonOfLogits,
    RankingLoss,
    WatchTimeLoss,
    WeightedBinaryCrossentropy,
    in_batch_softmax,
    ranking_loss,
    sampled_softmax,
    undo_downsampling,
)
from tests.close import close
from tests.train import loss_oracle as oracle

BACKEND = keras.backend.backend()
IN_MODELS = str(Path(__file__).with_name("test_losses_in_model.py"))

GROUPED = {
    "ranking": (
        RankingLoss,
        {"temperature": 0.5},
        oracle.pairs(lambda d: oracle.softplus(-d / 0.5)),
    ),
    "hinge": (
        HingeRankingLoss,
        {"margin": 2.0},
        oracle.pairs(lambda d: max(0.0, 2.0 - d)),
    ),
    "listwise": (ListwiseSoftmax, {}, oracle.listwise),
    "jrc": (JRCLoss, {"alpha": 0.3}, oracle.jrc(0.3, False)),
    "jrc_exclude": (
        JRCLoss,
        {"alpha": 0.3, "exclude_same_label": True},
        oracle.jrc(0.3, True),
    ),
}
OF_ROWS = {
    "weighted": (
        WeightedBinaryCrossentropy,
        {"pos_weight": 3.0, "label_smoothing": 0.1},
        oracle.rows_of(oracle.weighted),
    ),
    "focal": (FocalLoss, {"alpha": 0.25}, oracle.rows_of(oracle.focal)),
    "watch_time": (WatchTimeLoss, {}, oracle.rows_of(oracle.watch_time)),
    "augmented": (
        AugmentedBinaryCrossentropy,
        {},
        oracle.rows_of(oracle.cross_entropy),
    ),
}
ALL = GROUPED | OF_ROWS
REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]


def batch(name, rows=12, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows).astype("float32")
    if name == "watch_time":
        y *= rng.integers(1, 9, rows)
    if name in ("ranking", "hinge"):
        y *= rng.integers(1, 3, rows)  # graded
    shape = (rows, 2) if name.startswith("jrc") else (rows, 1)
    z = rng.normal(0, 2, shape).astype("float32")
    w = rng.choice([0, 0.5, 1, 2], rows).astype("float32")
    g = rng.integers(-1, 3, rows)
    return y, z, w, g


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", ALL)
def test_value_and_gradient(name, reduction):
    kind, options, terms = ALL[name]
    y, z, w, g = batch(name)
    loss = kind(reduction=reduction, **options)
    groups = [None, g] if name in GROUPED else [None]
    for weight in (None, w):
        for group in groups:
            ones = np.ones(len(y)) if weight is None else weight
            zeros = np.zeros(len(y)) if group is None else group
            rows = None if name in GROUPED else len(y)

            def of(z, ones=ones, zeros=zeros, rows=rows):
                flat = z if z.shape[1] == 2 else z[:, 0]
                return oracle.reduced(terms(y, flat, ones, zeros), reduction, rows)

            more = {} if group is None else {"groups": group}
            value, gradient = oracle.value_and_gradient(
                lambda x, weight=weight, more=more: loss(y[:, None], x, weight, **more),
                z,
            )
            exact = z.astype("float64")
            close(value, of(exact), terms=100)
            close(gradient, oracle.slope(of, exact), terms=1_000)
            assert (gradient[ones == 0] == 0).all()


OTHERS = {
    "combined": (CombinedLoss, {}, None),
    "poisson": (PoissonOfLogits, {}, None),
    "full_softmax": (FullSoftmax, {}, None),
}


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "none"])
@pytest.mark.parametrize("name", [*ALL, *OTHERS])
def test_one_weight_is_that_of_every_row(name, reduction):
    kind, options, _ = (ALL | OTHERS)[name]
    y, z, _, _ = batch(name)
    if name == "full_softmax":
        z = np.concatenate([z, -z, 0 * z], axis=1)
    loss = kind(reduction=reduction, **options)
    wanted = loss(y, z, np.full(len(y), 2.0, "float32"))
    for weight in (2, 2.0, np.float32(2), np.full((len(y), 1), 2.0)):
        close(loss(y, z, sample_weight=weight), wanted, terms=len(y) ** 2)
    if reduction in ("mean", "sum"):
        plain = loss(y, z)
        factor = 4 if isinstance(loss, (RankingLoss, HingeRankingLoss)) else 2
        if name != "combined":
            close(wanted, factor * plain, terms=len(y) ** 2)


@pytest.mark.parametrize(
    "loss", [FocalLoss, PoissonOfLogits, WatchTimeLoss, WeightedBinaryCrossentropy]
)
def test_losses_of_rows_take_one_logit_a_row(loss):
    loss = loss(name="mine")
    for shape in ((3, 2), (3, 1, 1)):
        with pytest.raises(ValueError) as refused:
            loss(np.ones(3), np.zeros(shape))
        assert str(refused.value) == (
            f"Loss 'mine' takes logits of shape (batch, 1). Received: shape {shape}"
        )
    close(loss(np.ones(3), np.zeros((3, 1))), loss(np.ones((3, 1)), np.zeros(3)))


def test_a_weight_of_two_doubles_what_each_row_adds():
    close(JRCLoss()([1, 0], np.zeros((2, 2)), sample_weight=2.0), 2 * np.log(2))
    combined = CombinedLoss()([1, 0], np.zeros((2, 1)), sample_weight=2.0)
    close(combined, (0.7 * 2 + 0.3 * 4) * np.log(2))  # a pair has the product


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("name", ALL)
def test_certain_logits(name, scale):
    kind, options, terms = ALL[name]
    y, z, w, g = batch(name)
    z = np.where(z > 0, scale, -scale).astype("float32")
    loss = kind(**options)
    value, gradient = oracle.value_and_gradient(lambda x: loss(y, x, w), z)
    assert np.isfinite(gradient).all()
    flat = (z if z.shape[1] == 2 else z[:, 0]).astype("float64")
    rows = None if name in GROUPED else len(y)
    wanted = oracle.reduced(terms(y, flat, w, np.zeros(len(y))), "mean", rows)
    close(value, wanted, terms=100)


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0], [1], [0]])
@pytest.mark.parametrize("name", ALL)
def test_one_class_and_one_row(name, labels):
    """No pair and no list is no loss; the gradient is zero, not missing."""
    kind, options, _ = ALL[name]
    y = np.array(labels, "float32")
    z = np.linspace(-1, 1, 3, dtype="float32")[: len(y), None]
    if name.startswith("jrc"):
        z = np.concatenate([z, -z], axis=1)
    value, gradient = oracle.value_and_gradient(lambda x: kind(**options)(y, x), z)
    assert np.isfinite(value) and np.isfinite(gradient).all()
    if name in ("ranking", "hinge") or (name == "listwise" and not y.any()):
        assert value == 0 and not gradient.any()


@pytest.mark.parametrize("name", [*ALL, "combined"])
def test_nothing_counts(name):
    kind, options, _ = (ALL | {"combined": (CombinedLoss, {}, None)})[name]
    y, z, w, _ = batch(name)
    value, gradient = oracle.value_and_gradient(
        lambda x: kind(**options)(y, x, 0 * w), z
    )
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("name", ALL)
def test_compiled_equals_eager_and_config_round_trip(name):
    kind, options, _ = ALL[name]
    y, z, w, _ = batch(name)
    loss = kind(**options)
    config = keras.saving.serialize_keras_object(loss)
    assert config["registered_name"] == f"recsys>{kind.__name__}"
    copy = keras.saving.deserialize_keras_object(config)
    assert copy.get_config() == loss.get_config()
    wanted = float(loss(y, z, w))
    assert float(copy(y, z, w)) == wanted
    if BACKEND == "tensorflow":
        import tensorflow as tf

        for jit in (False, True):
            compiled = tf.function(copy, jit_compile=jit)
            close(float(compiled(y, z, w)), wanted)
    if BACKEND == "jax":
        import jax

        close(float(jax.jit(copy)(y, z, w)), wanted)


@pytest.mark.parametrize("name", GROUPED)
def test_without_reduction_rows_add_up_to_the_sum(name):
    kind, options, _ = GROUPED[name]
    y, z, w, g = batch(name)
    rows = kind(reduction="none", **options)(y, z, w, groups=g)
    total = kind(reduction="sum", **options)(y, z, w, groups=g)
    assert tuple(rows.shape) == (len(y),)
    close(float(ops.sum(rows)), float(total), terms=100)


def test_what_ranking_knows_and_what_not():
    y, z, _, g = batch("ranking")
    loss = RankingLoss()
    value, gradient = oracle.value_and_gradient(lambda x: loss(y, x), z)
    close(gradient.sum(), 0)
    close(float(loss(y, z + 5)), value, terms=100)
    close(float(loss(y, 0 * z)), np.log(2))
    shifted = z + 3 * g[:, None].astype("float32")
    close(float(loss(y, shifted, groups=g)), float(loss(y, z, groups=g)), terms=100)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64", "float32", "float64"])
def test_ranking_loss_takes_labels_of_any_dtype(dtype):
    y, z = np.array([1, 0, 0], dtype), np.float32([1.0, 0.0, 3.0])
    wanted = (np.logaddexp(0, -1) + np.logaddexp(0, 2)) / 2
    close(float(ranking_loss(y, z)), wanted)


def test_weights_are_those_of_pairs():
    """In version 1 weights [1, 0] gave the full loss."""
    y, z = np.array([1, 0]), np.float32([0.0, 0.0])
    loss = RankingLoss()
    assert float(loss(y, z, np.array([1.0, 0.0]))) == 0
    assert float(loss(y, z, np.array([0.0, 1.0]))) == 0
    close(float(loss(y, z, np.array([0.5, 2.0]))), np.log(2))
    y, z, w = (
        np.array([1, 0, 0]),
        np.float32([0.0, 0.0, 0.0]),
        np.array([1.0, 1.0, 0.0]),
    )
    for reduction in ("mean", "mean_with_sample_weight", "sum_over_batch_size"):
        loss = RankingLoss(reduction=reduction)  # of one pair, not of two
        close(float(loss(y, z, w)), np.log(2))


def test_combined():
    y, z, w, g = batch("combined")
    flat, ones = z[:, 0].astype("float64"), np.ones(len(y))
    ce = oracle.rows_of(oracle.cross_entropy)
    rank = oracle.pairs(lambda d: oracle.softplus(-d))
    for weight in (ones, w):
        parts = [
            oracle.reduced(ce(y, flat, weight, g), "mean", None),
            oracle.reduced(rank(y, flat, weight, g), "mean", None),
        ]
        for alpha in (0.7, 1.0):
            loss = CombinedLoss(alpha)
            value = float(loss(y, z, weight, groups=g))
            close(value, np.dot([alpha, 1 - alpha], parts), terms=100)
    config = keras.saving.serialize_keras_object(CombinedLoss(0.2, "user", 3.0))
    copy = keras.saving.deserialize_keras_object(config)
    assert (copy.alpha, copy.group, copy.temperature) == (0.2, "user", 3.0)


def test_focal_without_focus_is_cross_entropy():
    y, z, w, _ = batch("focal")
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    wanted = float(bce(y[:, None], z, w))
    close(float(FocalLoss(gamma=0)(y, z, w)), wanted)


def test_jrc_is_pinned_by_its_calibration():
    y, z, _, g = batch("jrc")
    moved = z + np.float32([0, 1]) * g[:, None].astype("float32")  # a constant in f_1
    ranking, both = JRCLoss(alpha=0), JRCLoss(alpha=1)
    given = {"groups": g}
    close(float(ranking(y, moved, **given)), float(ranking(y, z, **given)), terms=100)
    assert abs(float(both(y, moved)) - float(both(y, z))) > 1e-3
    alone = {"groups": np.arange(len(y))}
    assert float(ranking(y, z, **alone)) == 0
    close(
        float(both(y, z)),
        np.mean(oracle.cross_entropy(y, z[:, 1] - z[:, 0])),
        terms=100,
    )


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_copies_meet_the_label_of_their_own_row(reduction):
    rng = np.random.default_rng(0)
    y, z = np.float32([1, 0, 1]), rng.normal(size=(3, 4)).astype("float32")
    loss = AugmentedBinaryCrossentropy(reduction)
    value = float(loss(y, z.reshape(-1, 1)))
    losses = oracle.cross_entropy(y[:, None], z.astype("float64"))
    wanted = (losses.mean(1) if reduction == "mean" else losses.sum(1)).mean()
    close(value, wanted)
    permuted = z[:, [2, 0, 3, 1]].reshape(-1, 1)
    close(float(loss(y, permuted)), value)


def test_undo_downsampling():
    """Of 10 % positives a model that kept a tenth of the negatives sees over a half."""
    z = np.log(0.1 / (0.9 * 0.1))
    close(1 / (1 + np.exp(-undo_downsampling(z, 0.1))), 0.1)


@pytest.mark.parametrize("weight", [2.0, np.full((5, 1), 2.0)])
def test_one_weight_of_the_softmax_functions(weight):
    scores, ids = np.float32(np.eye(5)), np.arange(5)
    plain = in_batch_softmax(scores, ids)
    close(in_batch_softmax(scores, ids, sample_weight=weight), 2 * plain)
    given = {"ids": ids, "drawn": ids}
    plain = sampled_softmax(ids * 0.1, scores, **given)
    close(sampled_softmax(ids * 0.1, scores, sample_weight=weight, **given), 2 * plain)


class TestSoftmax:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(5, 5)).astype("float32")
    ids = np.array([3, 4, 3, 7, 9])

    def oracle(self, scores, masked, log_q=0.0):
        logits = np.where(masked, -np.inf, scores.astype("float64") - log_q)
        return np.logaddexp.reduce(logits, axis=1) - np.diag(logits)

    def masked(self):
        return (self.ids[:, None] == self.ids) & ~np.eye(5, dtype=bool)

    def test_in_batch(self):
        log_q = np.log(np.float32([0.1, 0.2, 0.1, 0.3, 0.01]))
        known = np.zeros((5, 5), bool)
        known[0, 0] = known[0, 4] = True  # the diagonal stays
        weight = np.float32([1, 0, 2, 1, 1])
        value = in_batch_softmax(
            self.scores,
            self.ids,
            log_q=log_q,
            known=known,
            temperature=0.5,
            sample_weight=weight,
        )
        masked = self.masked()
        masked[0, 4] = True
        rows = self.oracle(self.scores / 0.5, masked, log_q)
        close(float(value), np.mean(weight * rows), terms=100)

    def test_symmetric_and_hard(self):
        value = in_batch_softmax(self.scores, self.ids, symmetric=True)
        masked = self.masked()
        rows = self.oracle(self.scores, masked) + self.oracle(self.scores.T, masked)
        close(float(value), rows.mean() / 2, terms=100)
        hard = in_batch_softmax(self.scores, self.ids, hard_negatives=2)
        wanted = []
        for i in range(5):
            others = [self.scores[i, j] for j in range(5) if self.ids[j] != self.ids[i]]
            logits = [self.scores[i, i], *sorted(others)[-2:]]
            wanted.append(np.logaddexp.reduce(logits) - logits[0])
        close(float(hard), np.mean(wanted), terms=100)

    def test_equal_items_are_no_negatives(self):
        _, gradient = oracle.value_and_gradient(
            lambda x: in_batch_softmax(x, self.ids), self.scores
        )
        assert gradient[0, 2] == gradient[2, 0] == 0 and gradient[0, 1] != 0

    def test_all_items_drawn_once_are_the_full_softmax(self):
        logits = self.rng.normal(size=(3, 6)).astype("float32")
        ids, drawn = np.array([1, 4, 5]), np.arange(1, 6)
        value = sampled_softmax(
            logits[np.arange(3), ids], logits[:, 1:], ids=ids, drawn=drawn
        )
        full = FullSoftmax()(ids[:, None], logits)
        close(float(value), float(full))
        q = np.log(np.float32([0.1, 0.2, 0.3, 0.2, 0.2]))
        corrected = sampled_softmax(
            logits[np.arange(3), ids],
            logits[:, 1:],
            ids=ids,
            drawn=drawn,
            log_q=q[ids - 1],
            log_q_drawn=q,
            sample_weight=np.float32([1, 0, 1]),
        )
        shifted = logits[:, 1:] - q
        rows = [
            np.logaddexp.reduce(row) - row[i - 1]
            for row, i in zip(shifted, ids, strict=True)
        ]
        close(float(corrected), (rows[0] + rows[2]) / 3, terms=100)

    def test_full_with_smoothing(self):
        logits = self.rng.normal(size=(3, 6)).astype("float32")
        ids = np.array([2, 5, 0])  # the last is padding
        value, gradient = oracle.value_and_gradient(
            lambda x: FullSoftmax(label_smoothing=0.2)(ids[:, None], x), logits
        )
        log_p = logits[:, 1:] - np.logaddexp.reduce(
            logits[:, 1:].astype("float64"), axis=1, keepdims=True
        )
        rows = [-0.8 * log_p[i, ids[i] - 1] - 0.2 * log_p[i].mean() for i in range(2)]
        close(value, sum(rows) / 3, terms=100)
        assert not gradient[:, 0].any() and not gradient[2].any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RankingLoss(temperature=0), "'ranking_loss': temperature must be"),
        (lambda: HingeRankingLoss(margin=-1), "margin must be a finite number above 0"),
        (
            lambda: JRCLoss(alpha=2),
            "alpha must be a finite number of at least 0 and at",
        ),
        (lambda: CombinedLoss(alpha=-1), "alpha must be a finite number of at least 0"),
        (lambda: FocalLoss(gamma=-1), "gamma must be a finite number of at least 0"),
        (
            lambda: WeightedBinaryCrossentropy(0),
            "pos_weight must be a finite number ab",
        ),
        (
            lambda: AugmentedBinaryCrossentropy("max"),
            r"must be one of \('mean', 'sum'\)",
        ),
        (lambda: undo_downsampling(0.0, 0), r"keep_rate must be in \(0, 1\]"),
        (lambda: RankingLoss()(np.eye(2), np.eye(2)), r"\(batch, 1\).*\(2, 2\)"),
        (lambda: JRCLoss()(np.ones(2), np.ones(2)), r"\(batch, 2\).*\(2, 1\)"),
        (
            lambda: RankingLoss(group="user")(np.ones(2), np.ones(2)),
            r"needs the group of each row, groups=x\['user'\]",
        ),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.all
@pytest.mark.skipif(BACKEND != "tensorflow", reason="run from there")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_losses_on(backend):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", __file__, IN_MODELS],
        env={**os.environ, "KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def test_poisson_of_logits_is_exact_and_never_overflows():
    z = np.array([-200.0, -3.0, 0.0, 2.5, 30.0, 31.0, 200.0, 1000.0], "float32")[
        :, None
    ]
    y = np.arange(8.0, dtype="float32")[:, None]
    wide = z.astype("float64")
    tangent = np.exp(30.0) * (1 + np.maximum(wide - 30, 0))
    expected = np.where(wide > 30, tangent, np.exp(np.minimum(wide, 30))) - y * wide
    loss = PoissonOfLogits(reduction=None)
    found = np.asarray(ops.convert_to_numpy(loss(y, z)))
    close(found, expected[:, 0], terms=100)
    best = np.log(y[1:5])  # of a row, where the mean is its count
    least, *others = (
        np.asarray(ops.convert_to_numpy(loss(y[1:5], best + d))) for d in (0, -0.1, 0.1)
    )
    assert (np.array(others) > least).all()
