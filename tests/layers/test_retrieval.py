"""The losses of match models in float64 NumPy, with all items as negatives."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.layers.matching import match_loss
from recsys.layers.matching.cosine_contrastive import CosineContrastive
from recsys.layers.matching.in_batch_softmax import InBatchSoftmax
from recsys.layers.matching.sampled import BPRMax, SampledBPR, SampledCrossentropy, Top1
from recsys.layers.matching.sampled_softmax import SampledSoftmax
from recsys.layers.sampling import StreamingFrequency
from recsys.match.two_tower import two_tower
from tests.close import close
from tests.oracle import sigmoid

RNG = np.random.default_rng(0)
V, DIM, BATCH = 9, 4, 6
ITEMS = RNG.normal(size=(V, DIM))
IDS = np.array([3, 5, 3, 0, 8, 1])  # one is no item, one is there twice
USERS = RNG.normal(size=(BATCH, DIM))
VALID = IDS > 0
SEEN = np.array([[1, 2, 0], [0, 0, 0], [4, 4, 8], [1, 0, 0], [8, 7, 0], [2, 3, 4]])
SEEN_ALL = np.arange(1, V)


class _Model:
    """Stands for a match model: item vectors are rows of a table."""

    class item_model:  # noqa: N801
        input = ("item_id",)

        def __new__(cls, columns, training):
            return keras.ops.take(
                keras.ops.convert_to_tensor(ITEMS, "float32"),
                columns["item_id"],
                axis=0,
            )


def _found(layer, x=None, training=False, users=USERS, ids=IDS, valid=None):
    layer.bind(_Model)
    items = ITEMS[ids].astype("float32")
    layer([users.astype("float32"), items, ids], valid=valid)
    return float(layer.loss({}, {}, x or {}, training))


def _mean(rows, valid=VALID):
    return np.sum(np.where(valid, rows, 0)) / valid.sum()


def _log_sum(logits):
    most = logits.max(axis=-1, keepdims=True)
    return np.log(np.exp(logits - most).sum(axis=-1)) + most[..., 0]


def _pairs(x_unseen=None):
    """Scores of the positive and of all items, and which of these count."""
    scores = USERS @ ITEMS.T
    positive = scores[np.arange(BATCH), IDS]
    counts = np.ones((BATCH, V), bool)
    counts[:, 0] = False
    counts[np.arange(BATCH), IDS] = False
    for row, seen in enumerate(x_unseen if x_unseen is not None else []):
        counts[row, seen] = False
    return positive, scores, counts


def test_full_softmax():
    scores = USERS @ ITEMS.T / 0.5
    expected = _log_sum(scores[:, 1:]) - scores[np.arange(BATCH), IDS]
    for num in (None, V - 1, 100):
        layer = SampledSoftmax(V, num, temperature=0.5)
        close(_found(layer), _mean(expected), terms=100)


@pytest.mark.parametrize("unseen", [None, "seen"])
@pytest.mark.parametrize("kind", ["ce", "bpr", "ccl", "top1", "bpr_max"])
def test_losses_of_pairs(kind, unseen):
    s, t, counts = _pairs(SEEN if unseen else None)
    n = counts.sum(axis=1)
    d = t - s[:, None]
    of = np.where(counts, 1.0, 0.0)
    w = np.where(counts, np.exp(t), 0)
    w /= w.sum(axis=1, keepdims=True)
    layer, rows = {
        "ce": (
            SampledCrossentropy(V, None, unseen=unseen),
            -np.log(sigmoid(s)) - (of * np.log(sigmoid(-t))).sum(1),
        ),
        "bpr": (
            SampledBPR(V, None, unseen=unseen),
            -(of * np.log(sigmoid(-d))).sum(1) / n,
        ),
        "ccl": (
            CosineContrastive(V, None, margin=0.2, negative_weight=3.0, unseen=unseen),
            np.maximum(1 - s, 0) + 3 / (V - 1) * (of * np.maximum(t - 0.2, 0)).sum(1),
        ),
        "top1": (
            Top1(V, None, unseen=unseen),
            (of * (sigmoid(d) + sigmoid(t**2))).sum(1) / n,
        ),
        "bpr_max": (
            BPRMax(V, None, unseen=unseen, regularization=0.7),
            -np.log((w * sigmoid(-d)).sum(1)) + 0.7 * (w * t**2).sum(1),
        ),
    }[kind]
    found = _found(layer, {"seen": SEEN})
    close(found, _mean(rows), terms=100)


def test_a_margin_of_one_leaves_the_positive_alone_and_no_weight_is_the_sum():
    s, t, counts = _pairs()
    unit = USERS / np.linalg.norm(USERS, axis=1, keepdims=True) * 0.1
    small = unit @ ITEMS.T
    layer = CosineContrastive(V, None, margin=1.0)
    found = _found(layer, users=unit)
    close(found, _mean(1 - small[np.arange(BATCH), IDS]), terms=100)
    rows = np.maximum(1 - s, 0) + (counts * np.maximum(t - 0.5, 0)).sum(1)
    close(_found(CosineContrastive(V, None)), _mean(rows), terms=100)


def test_own_draws_are_neither_seen_nor_positive(monkeypatch):
    drawn = []

    class Spy(SampledBPR):
        def of_scores(self, positive, negative, counts):
            drawn.append((keras.ops.convert_to_numpy(negative), np.asarray(counts)))
            return super().of_scores(positive, negative, counts)

    layer = Spy(V, 50, unseen="seen")
    _found(layer, {"seen": SEEN})
    scores = (USERS @ ITEMS.T).astype("float32")
    (negative, _), seen_ids = drawn[0], set()
    for row in range(BATCH):
        ids = {int(np.abs(scores[row] - s).argmin()) for s in negative[row]}
        allowed = {*range(1, V)} - {*SEEN[row].tolist(), int(IDS[row])}
        assert ids == allowed, row  # 50 draws find all of seven
        seen_ids |= ids
    with_all = {"seen": np.tile(SEEN_ALL, (BATCH, 1))}
    assert _found(SampledBPR(V, 5, unseen="seen"), with_all) == 0


def test_states_of_a_sequence_each_have_their_loss_and_negatives():
    states = RNG.normal(size=(2, 3, DIM))
    following = np.array([[4, 2, 0], [7, 0, 0]])
    layer = SampledCrossentropy(V, None, unseen="seen")
    layer.bind(_Model)
    ids = np.array([4, 7])
    item = ITEMS[ids].astype("float32")
    user = states[:, 0].astype("float32")
    layer([user, item, ids, states.astype("float32"), following])
    seen = np.array([[2, 1], [5, 0]])
    found = float(layer.loss({}, {}, {"seen": seen}, True))
    rows = []
    for b, t in ((0, 0), (0, 1), (1, 0)):
        s = states[b, t] @ ITEMS.T
        negatives = {*range(1, V)} - {*seen[b].tolist(), int(following[b, t])}
        rows.append(
            -np.log(sigmoid(s[following[b, t]]))
            - sum(np.log(sigmoid(-s[j])) for j in negatives)
        )
    close(found, np.mean(rows), terms=100)
    layer = SampledCrossentropy(V, 40, unseen="seen")
    layer.bind(_Model)
    layer([user, item, ids, states.astype("float32"), following])
    assert np.isfinite(float(layer.loss({}, {}, {"seen": seen}, True)))


def _in_batch(log_q, mask, temperature=1.0, columns=IDS):
    logits = USERS @ ITEMS[columns].T / temperature - log_q
    logits[mask] = -np.inf
    return _mean(_log_sum(logits) - logits[np.arange(BATCH), np.arange(BATCH)])


def _mask(known=None):
    mask = (IDS[:, None] == IDS) | (IDS[None] == 0)
    mask[:, 2] = True  # the item of column 0 again
    for row, seen in enumerate(known if known is not None else []):
        mask[row] |= np.isin(IDS, seen)
    np.fill_diagonal(mask, False)
    return mask


def test_softmax_within_the_batch():
    layer = InBatchSoftmax(V, temperature=0.3, subtract_log_q=False)
    expected = _in_batch(0, _mask(), 0.3)
    close(_found(layer), expected, terms=100)
    layer = InBatchSoftmax(V, subtract_log_q=False, known="seen")
    expected = _in_batch(0, _mask(SEEN))
    close(_found(layer, {"seen": SEEN}), expected, terms=100)


def test_equal_frequencies_change_nothing_and_others_are_subtracted():
    layer = InBatchSoftmax(V)
    plain = _in_batch(0, _mask())
    close(_found(layer), plain, terms=100)
    gap = RNG.uniform(1, 50, V)
    layer.frequency.gap.assign(gap)
    expected = _in_batch(-np.log(gap[IDS]), _mask())
    close(_found(layer), expected, terms=100)
    assert expected != pytest.approx(plain, rel=1e-2)


def test_mixed_negatives_count_as_drawn(monkeypatch):
    layer = InBatchSoftmax(V, num_negatives=3)
    gap = RNG.uniform(1, 50, V)
    layer.build(None)
    layer.frequency.gap.assign(gap)
    more = np.array([2, 5, 7])
    monkeypatch.setattr(layer.draws, "draw", lambda num, seed: more.astype("int32"))
    columns = np.concatenate([IDS, more])
    log_q = np.log(1 / gap[columns] + 3 / (V - 1))
    mask = (IDS[:, None] == columns) | (columns[None] == 0)
    mask[:, 2] = True
    np.fill_diagonal(mask, False)
    expected = _in_batch(log_q, mask, columns=columns)
    close(_found(layer), expected, terms=100)


def test_copies_of_one_item_and_a_batch_of_one_have_no_loss():
    same = np.full(BATCH, 4)
    close(_found(InBatchSoftmax(V), ids=same), 0)
    layer = InBatchSoftmax(V)
    close(_found(layer, users=USERS[:1], ids=IDS[:1]), 0)


def test_frequency_is_one_over_the_steps_between():
    layer = InBatchSoftmax(V, rate=0.2)
    gap, last = np.full(V, 100.0), np.zeros(V)
    for step in range(1, 60):
        ids = np.array([1, 1, 2 if step % 2 else 5, 3 if step % 7 == 0 else 8])
        for y in np.unique(ids):
            gap[y] = 0.8 * gap[y] + 0.2 * (step - last[y])
            last[y] = step
        _found(layer, training=True, users=USERS[:4], ids=ids)
    close(layer.frequency.gap.numpy(), gap, terms=1_000)
    assert abs(gap[1] - 1) < 0.1 and abs(gap[2] - 2) < 0.3
    before = layer.frequency.gap.numpy()
    _found(layer, training=False, users=USERS[:4], ids=ids)
    np.testing.assert_array_equal(layer.frequency.gap.numpy(), before)


def test_counts_give_the_probability_to_be_in_a_batch():
    counts = np.array([0, 4, 0, 30, 1, 7, 2, 2, 54])
    layer = InBatchSoftmax(V, num_negatives=3, counted=True)
    layer.build(None)
    layer.frequency.adapt(counts)
    drawn = np.random.default_rng(2).choice(V, (200_000, BATCH), p=counts / 100)
    present = [(drawn == y).any(axis=1).mean() for y in (3, 5, 8)]
    found = np.exp(layer.frequency.log_probability(np.array([3, 5, 8]), BATCH))
    assert found == pytest.approx(present, abs=0.005)
    share = np.maximum(counts, 1) / 100  # one that training has not is as if once
    exact = 1 - (1 - share) ** BATCH
    close(layer.frequency.log_probability(np.arange(V), BATCH), np.log(exact))

    layer = InBatchSoftmax(V, counted=True)
    layer.build(None)
    layer.frequency.adapt(counts)
    expected = _in_batch(np.log(exact)[IDS], _mask())
    close(_found(layer), expected, terms=BATCH * DIM)
    assert _found(layer, training=True) == _found(layer)  # nothing is estimated
    layer.frequency.adapt([9] + [0] * (V - 1))  # in every row
    assert float(layer.frequency.log_probability(np.array([0]), 1)[0]) == 0
    layer.frequency.adapt([0] * V)
    assert np.isfinite(_found(layer))


@pytest.mark.parametrize("num_negatives", [0, 5])
def test_two_tower_takes_the_counts_of_its_item(num_negatives, tmp_path):
    share = 1 / np.arange(1, 300)
    item = np.random.default_rng(1).choice(299, 6_400, p=share / share.sum()) + 1
    counts = np.bincount(item, minlength=300)
    x = {"user": np.ones(6_400, int), "item": item}
    fields = [
        Field("user", vocabulary_size=3),
        Field("item", vocabulary_size=300, belong="item", counts=counts),
    ]
    model = two_tower(fields, (8,), num_negatives=num_negatives)
    model.compile("adam")
    model.fit(x, batch_size=32, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    rare = np.flatnonzero(counts == 2)
    for each in (model, loaded):
        found = each.get_layer("score").frequency.log_probability(rare, 32)
        close(found, np.log(np.full(len(rare), 1 - (1 - 2 / 6_400) ** 32)), terms=100)
    without = two_tower([fields[0], replace(fields[1], counts=None)], (8,))
    assert isinstance(without.get_layer("score").frequency, StreamingFrequency)


def test_log_q_corrects_a_popularity_bias():
    """Without it an item loses as a negative what it wins as a positive.

    All users are alike, so the score should be the logarithm of the item's frequency.
    """
    share = 1 / np.arange(1, 41)
    share /= share.sum()
    item = np.random.default_rng(1).choice(40, 64_000, p=share) + 1
    x = {"user": np.ones(64_000, int), "item": item}
    fields = [
        Field("user", vocabulary_size=3, dim=4),
        Field("item", vocabulary_size=41, dim=4, belong="item"),
    ]
    slopes = []
    for corrected in (False, True):
        keras.utils.set_random_seed(0)
        model = two_tower(
            fields, (8,), temperature=1.0, normalize=False, subtract_log_q=corrected
        )
        model.compile(keras.optimizers.Adam(0.02))
        model.fit(x, batch_size=32, verbose=0)
        score = model.predict(
            {"user": np.ones(40, int), "item": np.arange(1, 41)}, verbose=0
        )
        slopes.append(np.polyfit(np.log(share), score[:, 0], 1)[0])
    assert slopes[0] < 0.5
    assert slopes[1] == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: SampledSoftmax(5, 0), "there must be negatives"),
        (lambda: SampledBPR(5, 0), "there must be negatives"),
        (lambda: SampledBPR(1), "there must be items"),
        (lambda: InBatchSoftmax(5, temperature=0.0), "temperature above 0"),
        (lambda: SampledSoftmax(5, 2, "zipf"), "sampler must be one of"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_the_nearest_interest_is_scored_and_trained():
    interests = RNG.normal(size=(BATCH, 3, DIM))
    exists = np.array(
        [[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 1, 0], [1, 0, 0]]
    )
    exists = exists.astype(bool)
    scores = np.where(exists, (interests @ ITEMS[IDS][..., None])[..., 0], -np.inf)
    layer = SampledSoftmax(V)
    layer.bind(_Model)
    inputs = [interests.astype("float32"), ITEMS[IDS].astype("float32"), IDS]
    found = layer(inputs, valid=exists)
    close(found[:, 0], scores.max(1), terms=100)
    user = interests[np.arange(BATCH), scores.argmax(1)]
    all_scores = user @ ITEMS.T
    rows = _log_sum(all_scores[:, 1:]) - all_scores[np.arange(BATCH), IDS]
    close(float(layer.loss({}, {}, {}, True)), _mean(rows), terms=100)
    assert match_loss.IMPOSSIBLE < -1e29
