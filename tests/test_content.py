"""Vectors of items by id: the equations of `Content`, and what they promise."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field
from recsys.feature import Content
from recsys.inputs.embedder import FieldEmbedder
from recsys.layers.content import OwnRows
from recsys.match.lightgcn import lightgcn
from recsys.match.two_tower import two_tower
from recsys.metrics.auc import auc
from recsys.rank.din import din
from tests import oracle, zoo
from tests.close import close

ITEMS, WIDTH, DIM, LACKING = 30, 6, 4, 7


def _vectors(seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(ITEMS, WIDTH))
    vectors[[0, LACKING]] = 0
    return vectors.astype("float32")


def _fields(content: Content | None, dim: int = DIM) -> list[Field]:
    item = Field("item", vocabulary_size=ITEMS, dim=dim, belong="item", content=content)
    user = Field("user", vocabulary_size=9, dim=dim)
    return [user, item, Field("seen", emb="item", belong="history", length=5)]


def _rows(n: int = 12) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    seen = rng.integers(1, ITEMS, (n, 5))
    seen[:, 3:] = 0
    seen[0] = 0
    item = rng.integers(1, ITEMS, n)
    item[:3] = seen[1, 0], LACKING, ITEMS - 1
    return {"user": rng.integers(0, 9, n), "item": item, "seen": seen}


def _embedded(content: Content, rows: dict[str, np.ndarray]):
    """The target, the history's steps, and the weights, none of which is 0."""
    embed = FieldEmbedder(_fields(content))
    fields = embed.resolve(_fields(content)[1:])
    (history,) = embed.histories(fields)
    model = keras.Model(embed.inputs, [embed.vector(fields[0]), history.sequence])
    zoo.jitter(model)
    rows = {name: rows[name] for name in embed.inputs}
    return model.predict(rows, verbose=0), oracle.weights(model)


def _u(ids: np.ndarray, w: oracle.Weights) -> np.ndarray:
    c = w["content_vectors_item/vectors"][ids]
    u = c @ w["dnn_content_item/kernel"] + w["dnn_content_item/bias"]
    return np.where((c != 0).any(-1, keepdims=True), u, w["dnn_content_item/missing"])


@pytest.mark.oracle
@pytest.mark.parametrize("fuse", ["sum", "concat", "content"])
def test_it_computes_the_equations(fuse):
    rows = _rows()
    content = Content(_vectors(), fuse=fuse, id_dropout=0.5, num_rows=ITEMS - 5)
    (target, history), w = _embedded(content, rows)

    def e(ids):
        u = _u(ids, w)
        if fuse == "content":
            return u
        own = w["embedding_item/embeddings"][ids] * (ids < ITEMS - 5)[..., None]
        return own + u if fuse == "sum" else np.concatenate([own, u], -1)

    assert target.shape == (12, DIM)
    close(target, e(rows["item"]), terms=100)
    seen = rows["seen"]
    close(history[seen > 0], e(seen)[seen > 0], terms=100)


@pytest.mark.oracle
def test_padding_is_nothing_though_what_stands_for_no_vector_is_something():
    rows = _rows()
    (_, history), w = _embedded(Content(_vectors(), fuse="content"), rows)
    assert np.abs(_u(np.array([LACKING]), w)).min() > 0
    assert not history[rows["seen"] == 0].any()


def test_the_target_and_the_history_have_one_vector_of_one_id():
    rows = _rows()
    content = Content(_vectors(), fuse="content")
    embed = FieldEmbedder(_fields(content))
    _, item, seen = embed.resolve(_fields(content))
    model = keras.Model(embed.inputs, [embed.vector(item), embed.values(seen)])
    rows = {n: rows[n] for n in embed.inputs}
    target, history = model.predict(rows, verbose=0)
    assert rows["item"][0] == rows["seen"][1, 0]
    assert np.array_equal(target[0], history[1, 0])


def _din(content: Content | None, **kwargs) -> keras.Model:
    keras.utils.set_random_seed(3)
    fields = _fields(content, **kwargs)
    return din(fields, attention_hidden_units=(8,), dnn_hidden_units=(8,))


def test_training_leaves_the_vectors_as_they_are():
    half = _vectors().astype("float16")
    content = Content(half, id_dropout=0.3)
    model = _din(content)
    fields = _fields(content)
    assert fields[1].content is content  # the caller's
    (frozen,) = (v for v in model.weights if v.path.endswith("/vectors"))
    assert frozen.dtype == "float16" and not frozen.trainable
    model.compile("adam", "binary_crossentropy")
    rows = _rows()
    before = model.get_layer("dnn_content_item").get_weights()
    model.fit(rows, rows["user"] % 2, epochs=2, verbose=0)
    assert np.array_equal(frozen.numpy(), half)
    after = model.get_layer("dnn_content_item").get_weights()
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, after, strict=True))
    slots = [tuple(v.shape) for v in model.optimizer.variables]
    assert (ITEMS, WIDTH) not in slots and (ITEMS, DIM) in slots


def test_a_rotation_of_the_vectors_is_one_of_the_projection():
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(WIDTH, WIDTH)))
    model, rows = _din(Content(_vectors())), _rows()
    zoo.jitter(model)
    before = model.predict(rows, verbose=0)
    projection = model.get_layer("dnn_content_item")
    frozen = model.get_layer("content_vectors_item").vectors
    frozen.assign(frozen.numpy() @ turn)
    assert np.abs(model.predict(rows, verbose=0) - before).max() > 1e-4
    projection.kernel.assign(turn.T @ projection.kernel.numpy())
    close(model.predict(rows, verbose=0), before, terms=10_000)


def test_without_a_projection_the_sum_is_the_model_of_ids():
    model, plain, rows = _din(Content(_vectors())), _din(None), _rows()
    model.get_layer("dnn_content_item").set_weights(
        [np.zeros((WIDTH, DIM)), np.zeros(DIM), np.zeros(DIM)]
    )
    by_path = {v.path: v for v in model.weights}
    for variable in plain.weights:
        by_path[variable.path].assign(variable)
    found = model.predict(rows, verbose=0)
    assert np.array_equal(found, plain.predict(rows, verbose=0))


def test_by_vectors_alone_items_of_one_vector_have_one_score():
    vectors = _vectors()
    vectors[5] = vectors[4]
    rows = _rows()
    scores = []
    for fuse in ("content", "sum"):
        model = _din(Content(vectors, fuse=fuse))
        ids = [v.path for v in model.weights if v.path.startswith("embedding_item/")]
        assert bool(ids) == (fuse == "sum")
        of_both = [
            model.predict({**rows, "item": np.full(12, item)}, verbose=0)
            for item in (4, 5)
        ]
        scores.append(np.array_equal(*of_both))
    assert scores == [True, False]


def test_the_projection_begins_as_large_as_the_rows_it_is_added_to():
    content = Content(100 * _vectors())
    model = _din(content)
    e = model.get_layer("embedding_item").embeddings.numpy()
    u = content.vectors @ model.get_layer("dnn_content_item").kernel.numpy()
    u = u[u.any(axis=1)]
    assert 0.99 < u.std() / e.std() < 1.01


def test_the_first_order_reads_vectors_too_and_begins_at_zero():
    fields = _fields(Content(_vectors(), fuse="concat"))
    embed = FieldEmbedder(fields)
    model = keras.Model(embed.inputs, embed.linear(fields))
    rows = _rows()
    assert not model.predict(rows, verbose=0).any()
    zoo.jitter(model)
    before = model.predict(rows, verbose=0)
    frozen = model.get_layer("content_vectors_item").vectors
    frozen.assign(2 * frozen)
    assert np.abs(model.predict(rows, verbose=0) - before).max() > 0


def test_a_step_drops_an_id_wherever_it_is():
    layer = OwnRows(rate=0.4)
    ids = np.arange(5000)
    ones = np.ones((5000, 1), "float32")

    def left():
        return layer([ids, ones], training=True).numpy()[:, 0]

    first = left()
    assert np.array_equal(first, left())
    others = layer([ids[::-1].copy(), ones], training=True).numpy()[::-1, 0]
    assert np.array_equal(first, others)
    assert abs(first.mean() - 0.6) < 0.03
    layer.salt.take()
    second = left()
    assert abs(second.mean() - 0.6) < 0.03
    both = (first * second).mean()  # drawn anew, apart from the first
    assert abs(both - 0.36) < 0.03
    assert layer([ids, ones]).numpy().all()


def test_each_step_of_a_model_draws_its_own():
    model = _din(Content(_vectors(), id_dropout=0.5))
    dropping = model.get_layer("content_own_rows_item")
    rows, salts = _rows(), []
    for _ in range(2):
        model(rows, training=True)
        (salt,) = dropping.salt.take()
        salts.append(tuple(np.asarray(salt)))
        dropping.salt.put(salt)
    assert salts[0] != salts[1]


def test_files_hold_the_vectors(tmp_path):
    model, rows = _din(Content(_vectors(), fuse="concat", num_rows=20)), _rows()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found = again.predict(rows, verbose=0)
    assert np.array_equal(found, model.predict(rows, verbose=0))


def test_errors_name_the_field():
    vectors = _vectors()
    with pytest.raises(ValueError, match="'item': content must have a vector for each"):
        _fields(Content(vectors[1:]))
    reserved = Field("item", vocabulary_size=ITEMS, belong="item", reserved=2)
    with pytest.raises(ValueError, match="'item': content must be 0 for ids below"):
        replace(reserved, content=Content(vectors))
    with pytest.raises(ValueError, match="'item': dim must be even .* Received: dim=5"):
        _din(Content(vectors, fuse="concat"), dim=5)
    with pytest.raises(ValueError, match="share the table 'item' and must agree on"):
        item, other = _fields(Content(vectors))[1], Content(2 * vectors)
        FieldEmbedder([item, replace(item, name="next", content=other)])
    for wrong in ({"fuse": "add"}, {"id_dropout": 1.0}, {"num_rows": -1}):
        (key,) = wrong
        with pytest.raises(ValueError, match=f"Content: {key} must be"):
            Content(vectors, **wrong)
    vectors[4, 2] = np.nan
    with pytest.raises(ValueError, match="others in the row of id 4"):
        Content(vectors)


def test_a_model_that_does_not_read_vectors_says_so():
    fields = _fields(Content(_vectors()))[:2]
    pairs = np.array([1, 2]), np.array([3, 4])
    with pytest.warns(UserWarning, match=r"lightgcn does not read the vectors of"):
        lightgcn(fields, interactions=pairs)


NUM, USERS = 400, 600


def _planted():
    """Users like one half of the space of vectors: one side of a plane, or the other.

    Half of the items occur in training, the others in the test alone. Histories are of
    items that occur in training.
    """
    rng = np.random.default_rng(0)
    vectors = np.zeros((NUM + 2, 8), "float32")
    vectors[2:] = rng.normal(size=(NUM, 8))
    vectors[2:] /= np.linalg.norm(vectors[2:], axis=1, keepdims=True)
    side = vectors @ rng.normal(size=8) > 0
    old = rng.permutation(np.arange(2, NUM + 2))[: NUM // 2]
    # Ids of what occurs come first, as those of a pipeline do.
    order = np.concatenate([[0, 1], old, np.setdiff1d(np.arange(2, NUM + 2), old)])
    vectors, side = vectors[order], side[order]
    first_new = 2 + NUM // 2
    likes = rng.random(USERS) < 0.5
    ids = np.arange(2, first_new)
    pools = {like: ids[side[ids] == like] for like in (False, True)}
    seen = np.stack([rng.choice(pools[bool(like)], 5) for like in likes])
    return rng, vectors, side, first_new, likes, seen


def _of(content: Content | None, name: str, size: int, dim: int = 8) -> list[Field]:
    item = Field(
        "item",
        vocabulary_size=size,
        dim=dim,
        belong="item",
        reserved=2,
        content=content,
    )
    return [item, Field(name, emb="item", belong="history", length=5)]


def _auc_of_new_items(content: Content | None) -> float:
    rng, vectors, side, first_new, likes, seen = _planted()
    keras.utils.set_random_seed(0)
    fields = _of(content, "seen", len(vectors))
    model = din(fields, attention_hidden_units=(8,), dnn_hidden_units=(16,))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    user = rng.integers(0, USERS, 6000)
    item = rng.integers(2, first_new, 6000)
    y = side[item] == likes[user]
    rows = {"item": item, "seen": seen[user]}
    model.fit(rows, y.astype("float32"), batch_size=200, epochs=6, verbose=0)
    user = rng.integers(0, USERS, 2000)
    item = rng.integers(first_new, len(vectors), 2000)
    scores = model.predict({"item": item, "seen": seen[user]}, 2000, verbose=0)
    return auc((side[item] == likes[user]).astype("float32"), scores[:, 0])


def test_din_ranks_items_that_nobody_has_chosen_by_their_vectors():
    _, vectors, _, first_new, *_ = _planted()
    by_ids = _auc_of_new_items(None)
    alone = _auc_of_new_items(Content(vectors, fuse="content"))
    both = _auc_of_new_items(Content(vectors, id_dropout=0.5, num_rows=first_new))
    print(by_ids, alone, both)
    assert abs(by_ids - 0.5) < 0.06
    assert alone > 0.9
    assert both > alone - 0.03


def test_two_tower_recommends_items_that_nobody_has_chosen_by_their_vectors():
    _, vectors, side, first_new, likes, seen = _planted()
    rng = np.random.default_rng(5)
    keras.utils.set_random_seed(0)
    content = Content(vectors, id_dropout=0.5, num_rows=first_new)
    model = two_tower(_of(content, "seen", len(vectors)), (16, 8))
    model.compile(keras.optimizers.Adam(0.01))
    user = rng.integers(0, USERS, 6000)
    ids = np.arange(2, first_new)
    pools = {like: ids[side[ids] == like] for like in (False, True)}
    item = np.array([rng.choice(pools[bool(like)]) for like in likes[user]])
    model.fit({"item": item, "seen": seen[user]}, batch_size=200, epochs=4, verbose=0)
    found, _ = model.recommend({"seen": seen}, 20)
    new = found >= first_new
    right = side[found] == likes[:, None]
    print(new.mean(), right[new].mean())
    assert new.mean() > 0.2
    assert right[new].mean() > 0.9
