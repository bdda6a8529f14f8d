"""From fields to tensors: tables, targets, and the errors of a schema."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from recsys import Field, Task
from recsys.feature.utils import build_feature_embeddings, concatenate
from recsys.inputs.embedder import FieldEmbedder
from recsys.rank.fm import fm
from tests import oracle, zoo
from tests.close import close


def _run(embed, tensor, x):
    model = keras.Model(embed.inputs, tensor)
    zoo.jitter(model)
    found = model.predict({name: x[name] for name in embed.inputs}, verbose=0)
    return found, oracle.weights(model)


def test_fields_side_by_side_in_their_order():
    fields, x = zoo.fields(), zoo.rows(9)
    embed = FieldEmbedder(fields)
    found, w = _run(embed, embed(fields).concat(), x)
    names = ["user_id", "age", "tags", "item_id", "category", "hour", "scores"]
    expected = oracle.columns([*names, "seen", "seen_category"], x, w)
    close(found, expected, terms=100)


def test_a_part_of_them_by_whom_they_belong_to():
    fields = zoo.fields()
    embed = FieldEmbedder(fields)
    part = embed(fields).of("item", "context")
    assert [p.fields[0].name for p in part.parts] == [
        "item_id",
        "category",
        "hour",
        "scores",
    ]


def test_a_stack_has_one_row_for_each_field_with_an_embedding():
    fields, x = zoo.fields(dim=4), zoo.rows(9)
    embed = FieldEmbedder(fields)
    found, w = _run(embed, embed(fields, "attention").stack(), x)
    assert found.shape == (9, 8, 4)  # all but the raw field, in their order
    expected = np.stack(oracle.attended_embeddings(x, w, 4), axis=1)
    close(found, expected, terms=1_000)


def test_the_first_order():
    fields, x = zoo.fields(), zoo.rows(9)
    embed = FieldEmbedder(fields)
    found, w = _run(embed, embed.linear(fields), x)
    expected = w["dnn_bias/bias"] + sum(
        oracle.column(field.name, x, w, "embedding_linear__") for field in fields
    )
    close(found, expected, terms=100)
    embed = FieldEmbedder(fields)
    logit = embed.linear(fields)
    fresh = keras.Model(embed.inputs, logit)
    assert not np.concatenate([v.numpy().ravel() for v in fresh.weights]).any()


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_several_values_are_pooled_as_the_field_says(pooling):
    field = Field("tags", vocabulary_size=9, length=3, pooling=pooling)
    ids = np.array([[1, 2, 0], [5, 0, 0], [0, 0, 0]])
    embed = FieldEmbedder([field])
    found, w = _run(embed, embed([field]).concat(), {"tags": ids})
    table = w["embedding_tags/embeddings"]
    pool = getattr(np, pooling)
    expected = [pool(table[[1, 2]], axis=0), table[5], np.zeros(4)]
    close(found, expected, terms=100)


def test_numbers_of_all_kinds():
    fields = [
        Field("price", dim=2),
        Field("vector", length=3, dim=2, dtype="float32"),
        Field("raw", vocabulary_size=0, length=3, dtype="float32"),
        Field("one", vocabulary_size=0, dtype="float32"),
        Field("item", vocabulary_size=5, dim=2, belong="item"),
        Field("seen", emb="item", length=3, belong="history"),
        Field("dwell", length=3, dim=2, dtype="float32", belong="history"),
    ]
    rng = np.random.default_rng(0)
    x = {
        "price": rng.normal(size=6),
        "vector": rng.normal(size=(6, 3)),
        "raw": rng.normal(size=(6, 3)),
        "one": rng.normal(size=6),
        "item": rng.integers(1, 5, 6),
        "seen": np.array([[1, 2, 0]] * 6),
        "dwell": rng.normal(size=(6, 3)),
    }
    embed = FieldEmbedder(fields)
    found, w = _run(embed, embed(fields).concat(), x)
    table = {name: w[f"embedding_{name}/embeddings"] for name in ("price", "vector")}
    dwell = x["dwell"][..., None] * w["embedding_dwell/embeddings"]
    expected = [
        x["price"][:, None] * table["price"],
        x["vector"] @ table["vector"],
        x["raw"],
        x["one"][:, None],
        w["embedding_item/embeddings"][x["item"]],
        w["embedding_item/embeddings"][[1, 2]].mean(0)[None].repeat(6, 0),
        dwell[:, :2].mean(1),  # what stands where no item was seen does not count
    ]
    close(found, np.concatenate(expected, -1), terms=100)
    first = FieldEmbedder(fields)
    assert keras.Model(first.inputs, first.linear(fields)).predict(x, verbose=0).shape


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
@pytest.mark.parametrize("values", [1, 2])
def test_the_first_order_of_a_history_is_averaged_as_the_second(pooling, values):
    """`linear` and `lookup` pool a history as `embed` does, with weights beside it."""
    seen = Field("seen", "i", length=3, belong="history", pooling=pooling)
    fields = [ID, replace(seen, values=values, weight="w")]
    if values > 1:  # then another attribute tells behaviour from padding
        fields.insert(1, Field("when", vocabulary_size=5, length=3, belong="history"))
    embed = FieldEmbedder(fields)
    history = fields[-1]
    first = embed.lookup(history, "embedding_other__", ID.dim)
    second = embed(fields).tensors()[-1]
    model = keras.Model(embed.inputs, [first, second])
    rng = np.random.default_rng(0)
    table = rng.normal(size=(9, ID.dim))
    for name in ("embedding_i", "embedding_other__i"):
        model.get_layer(name).embeddings.assign(table)
    x = {"seen": [[3, 4, 0], [0, 0, 0]], "when": [[1, 2, 0], [0, 0, 0]], "i": [1, 2]}
    if values > 1:
        x["seen"] = [[[3, 5], [4, 0], [0, 0]], [[0, 0]] * 3]
    x = {name: np.array(x[name]) for name in embed.inputs}
    found, expected = model.predict(x, verbose=0)
    close(found, expected)
    one = getattr(np, pooling)(table[[3, 5]], axis=0) if values > 1 else table[3]
    close(found, [(one + table[4]) / 2, np.zeros(ID.dim)])


def test_fm_is_one_quantity_in_both_orders():
    item = Field("item", vocabulary_size=9, belong="item")
    seen = Field("seen", "item", length=3, belong="history", pooling="sum")
    model = fm([item, seen], Task("t", "regression"))
    zoo.jitter(model)
    w = oracle.weights(model)
    linear = w["embedding_linear__item/embeddings"]
    table = w["embedding_item/embeddings"]
    x = {"item": np.array([1]), "seen": np.array([[3, 4, 0]])}
    history = [t[[3, 4]].mean(axis=0) for t in (linear, table)]
    logit = w["dnn_bias/bias"] + linear[1] + history[0] + table[1] @ history[1]
    close(model.predict(x, verbose=0), logit[None])


def test_a_column_asked_for_twice_is_read_once():
    fields = zoo.fields()
    embed = FieldEmbedder(fields, fields[:2])
    one, other = embed(fields), embed(fields[:2])
    assert one.parts[0].tensor is other.parts[0].tensor
    assert one.parts[-1].tensor is embed(fields).parts[-1].tensor


def test_the_target_shares_the_tables_of_the_history_in_its_order():
    fields = zoo.fields()
    turned = [*fields[:7], fields[8], fields[7]]
    for columns, expected in ((fields, 12), (turned, 12)):
        (history,) = FieldEmbedder(columns).histories(columns)
        assert [f.name for f in history.fields] == [f.name for f in columns[7:]]
        assert history.target.shape[-1] == history.sequence.shape[-1] == expected
    alone = [fields[3], fields[4], replace(fields[7], emb="other", vocabulary_size=9)]
    (history,) = FieldEmbedder(alone).histories(alone)
    assert history.target.shape[-1] == 12  # all item fields
    users = [fields[0], replace(fields[7], emb="other", vocabulary_size=9)]
    (history,) = FieldEmbedder(users).histories(users)
    assert history.target.shape[-1] == 4


def test_tables_start_apart_though_their_initializer_is_one_object():
    for initializer in (
        keras.initializers.RandomNormal(),
        keras.initializers.RandomNormal(seed=3),
        "normal",
    ):
        fields = [Field(n, vocabulary_size=9, initializer=initializer) for n in "ab"]
        weights = []
        for _ in range(2):
            keras.utils.set_random_seed(1)
            embed = FieldEmbedder(fields)
            weights.append(
                keras.Model(embed.inputs, embed(fields).concat()).get_weights()
            )
        (a, b), (a2, _) = weights
        assert (a != b).all()
        np.testing.assert_array_equal(a, a2)


ID = Field("i", vocabulary_size=9)
WRONG = [
    ([ID, ID], "distinct names.*'i', 'i'"),
    ([], "at least one"),
    (
        [ID, Field("j", "i", vocabulary_size=8)],
        "'i' and 'j' share.*size. Received: 9 and 8",
    ),
    ([ID, Field("j", "i", 8, 9)], "'i' and 'j' share.*agree on dim. Received: 4 and 8"),
    ([ID, Field("j", "i", dtype="float32")], "'i' and 'j' cannot share the table 'i'"),
    ([Field("a", "t"), Field("b", "t", 8)], "'a' and 'b' share.*dim"),
    (
        [
            ID,
            Field("h", "i", length=3, belong="history"),
            Field("g", "i", length=4, belong="history"),
        ],
        "group 'default': .*one length.*'h': 3, 'g': 4",
    ),
    (
        [Field("h", length=3, belong="history", dtype="float32")],
        "ids whose 0 is padding",
    ),
]


@pytest.mark.parametrize(("fields", "error"), WRONG, ids=[error for _, error in WRONG])
def test_wrong_schemas(fields, error):
    with pytest.raises(ValueError, match=error):
        FieldEmbedder(fields)(fields)


def test_two_lists_that_disagree_about_a_column():
    with pytest.raises(ValueError, match="'i' is declared twice, and not alike"):
        FieldEmbedder([ID], [replace(ID, dim=8)])


def test_a_field_changed_after_construction_is_checked_again():
    field = Field("i", vocabulary_size=9)
    field.dim = 8
    assert FieldEmbedder([field])([field]).concat().shape == (None, 8)
    field.belong = "usr"
    with pytest.raises(ValueError, match="belong must be one of.*'usr'"):
        FieldEmbedder([field])


def test_an_attention_needs_a_target():
    fields = [Field("h", vocabulary_size=9, length=3, belong="history")]
    with pytest.raises(ValueError, match="'attention' needs a target"):
        FieldEmbedder(fields)(fields, "attention")
    with pytest.raises(ValueError, match="history_agg must be one of.*'mean'"):
        FieldEmbedder(fields)(fields, "mean")


def test_a_history_pooled_to_another_width_cannot_interact():
    fields = zoo.fields(dim=4)
    x = FieldEmbedder(fields)(fields, "transformer", {"d_model": 6})
    assert x.concat().shape[-1] == 6 * 4 + 2 + 6
    with pytest.raises(ValueError, match="'seen', 'seen_category'.*must be 8 wide"):
        x.stack()


def test_the_form_of_version_1():
    fields = zoo.fields()
    inputs, embeddings = build_feature_embeddings(fields)
    assert set(inputs) == {*(f.name for f in fields), "tag_weights"}
    assert embeddings["history"].shape == (None, zoo.LENGTH, 12)
    assert concatenate(embeddings, ["user", "item"]).shape == (None, 4 + 3 + 5 + 8 + 4)
    lists = build_feature_embeddings(fields, {}, return_list=True)
    assert [t.shape[-1] for t in lists["item"]["default"]] == [8, 4]
    tables, inputs = {}, {}
    build_feature_embeddings(fields, {}, global_emb_table_dict=tables)
    shared = build_feature_embeddings(fields, inputs, global_emb_table_dict=tables)
    assert {"user_id", "item_id", "category"} <= set(tables)
    assert tables["user_id"] in keras.Model(inputs, shared["user"]).layers
    with pytest.raises(ValueError, match=r"takes no \['context'\] fields"):
        build_feature_embeddings(fields, disable="context")


SEEN = {"length": 4, "belong": "history"}
TARGET = Field("item", vocabulary_size=9, dim=3, belong="item")
HISTORY = Field("seen", emb="item", **SEEN)


def _embedder(*more):
    fields = [TARGET, HISTORY, *more]
    return FieldEmbedder(fields), fields


def test_an_attribute_without_counterpart_is_zero_in_the_target():
    dwell = Field("dwell", vocabulary_size=5, dim=2, **SEEN)
    embed, fields = _embedder(dwell)
    (history,) = embed.histories(fields)
    model = keras.Model(embed.inputs, [history.target, history.sequence])
    x = {"item": [3], "seen": [[1, 2, 0, 0]], "dwell": [[4, 1, 0, 0]]}
    target, sequence = model({k: keras.ops.array(v) for k, v in x.items()})
    assert sequence.shape == (1, 4, 5)
    table = model.get_layer("embedding_item").embeddings
    np.testing.assert_array_equal(target[0, :3], table[3])
    np.testing.assert_array_equal(target[0, 3:], [0, 0])


def test_times_and_sessions_stay_apart_if_asked_for():
    time = Field("ago", vocabulary_size=7, role="time", **SEEN)
    part = Field("part", vocabulary_size=5, role="session", **SEEN)
    embed, fields = _embedder(time, part)
    (history,) = embed.histories(fields)
    assert history.sequence.shape == (None, 4, 3 + 4 + 4)
    assert (history.times, history.sessions) == (None, None)
    (history,) = embed.histories(fields, apart=["time", "session"])
    assert history.sequence.shape == (None, 4, 3)
    assert history.times is embed.inputs["ago"]
    assert history.num_times == 7
    assert history.sessions is embed.inputs["part"]


def test_without_a_time_column_it_is_the_place_from_the_end():
    embed, fields = _embedder()
    (history,) = embed.histories(fields, apart=["time"])
    ages = keras.Model(embed.inputs["seen"], history.times)
    found = ages(np.array([[5, 6, 0, 0], [0, 7, 8, 9], [0, 0, 0, 0]]))
    np.testing.assert_array_equal(found, [[2, 1, 0, 0], [0, 3, 2, 1], [0, 0, 0, 0]])
    assert history.num_times == 5


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_several_values_of_one_behaviour_are_pooled(pooling):
    genres = Field(
        "genres", vocabulary_size=6, length=3, belong="item", pooling=pooling
    )
    seen = Field("seen_genres", emb="genres", values=2, pooling=pooling, **SEEN)
    embed, fields = _embedder(genres, seen)
    assert embed.column("seen_genres").shape == (None, 4, 2)
    (history,) = embed.histories(fields)
    model = keras.Model(embed.inputs, history.sequence)
    x = {
        "item": np.array([1]),
        "seen": np.array([[1, 2, 3, 0]]),
        "genres": np.array([[1, 2, 0]]),
        "seen_genres": np.array([[[1, 3], [2, 0], [0, 0], [0, 0]]]),
    }
    found = np.asarray(model({k: x[k] for k in embed.inputs}))[0, :, 3:]
    table = model.get_layer("embedding_genres").embeddings.numpy()
    both = getattr(np, pooling)(table[[1, 3]], axis=0)
    expected = [both, table[2], 0 * both, 0 * both]
    close(found, expected)


def test_behaviours_are_selected_with_all_their_columns():
    genres = Field("genres", vocabulary_size=6, length=3, belong="item")
    seen = Field("seen_genres", emb="genres", values=2, **SEEN)
    price = Field("price", dim=2, dtype="float32", **SEEN)
    embed, fields = _embedder(genres, seen, price)
    (history,) = embed.histories(fields, apart=["time"])
    index, found = keras.Input((2,), dtype="int32"), keras.Input((2,), dtype="bool")
    some = embed.select(history, index, found)
    model = keras.Model(
        [embed.inputs, index, found], [history.sequence, some.sequence, some.times]
    )
    rng = np.random.default_rng(0)
    x = {
        "item": np.array([1]),
        "seen": np.array([[1, 2, 3, 4]]),
        "genres": np.array([[1, 2, 0]]),
        "seen_genres": rng.integers(1, 6, (1, 4, 2)),
        "price": rng.normal(size=(1, 4)).astype("float32"),
    }
    chosen = np.array([[3, 1]])
    everything, part, times = model(
        [{k: x[k] for k in embed.inputs}, chosen, np.array([[True, True]])]
    )
    np.testing.assert_array_equal(part[0], np.asarray(everything)[0, [3, 1]])
    np.testing.assert_array_equal(times, [[1, 3]])


@pytest.mark.parametrize("kwargs", [{"role": "time"}, {"values": 2}])
def test_times_and_nested_values_do_not_tell_padding(kwargs):
    fields = [TARGET, Field("seen", vocabulary_size=9, **SEEN, **kwargs)]
    with pytest.raises(ValueError, match="ids whose 0 is padding"):
        FieldEmbedder(fields).histories(fields)


L2, OTHER_L2 = keras.regularizers.L2(0.1), keras.regularizers.L2(0.2)
TABLE = Field("i", vocabulary_size=9)
SHARED = {
    "dim": (8, 16),
    "l2_reg": (0.1, 0.2),
    "regularizer": (L2, OTHER_L2),
    "initializer": ("zeros", keras.initializers.RandomNormal(stddev=0.1)),
    "counts": ([1] * 9, [2] * 9),
}


@pytest.mark.parametrize(
    ("key", "sized"),
    [
        (key, sized)
        for key in SHARED
        for sized in (True, False)
        if sized or key != "counts"
    ],
)
def test_fields_of_one_table_that_say_different_things_of_it_are_refused(key, sized):
    one, other = SHARED[key]
    first = replace(TABLE, **{key: one})
    size = {"vocabulary_size": 9} if sized else {}
    text = f"Fields 'i' and 'j' share the table 'i' and must agree on {key}. Received: "
    for order in (1, -1):
        second = Field("j", "i", **size, **{key: other})
        names = "'i' and 'j'" if order == 1 or not sized else "'j' and 'i'"
        with pytest.raises(ValueError, match=text.replace("'i' and 'j'", names)):
            FieldEmbedder([first, second][::order])


@pytest.mark.parametrize("key", ["dim", "l2_reg", "regularizer", "initializer"])
def test_a_field_that_declares_the_same_table_otherwise_by_default_is_refused(key):
    second = Field("j", "i", vocabulary_size=9)
    with pytest.raises(ValueError, match=f"must agree on {key}"):
        FieldEmbedder([replace(TABLE, **{key: SHARED[key][0]}), second])


@pytest.mark.parametrize("key", ["l2_reg", "regularizer", "initializer"])
def test_numbers_of_one_table_that_say_different_things_of_it_are_refused(key):
    fields = [
        Field(name, "t", dtype="float32", **{key: value})
        for name, value in zip("ij", SHARED[key], strict=True)
    ]
    with pytest.raises(ValueError, match=f"'i' and 'j' .* must agree on {key}"):
        FieldEmbedder(fields)


def test_a_field_that_only_names_a_table_leaves_all_to_it():
    fresh = keras.regularizers.L2(0.1)  # another object that says the same
    said = {"dim": 8, "regularizer": L2, "initializer": "zeros", "counts": [1] * 9}
    fields = [
        Field("past", "i", length=2, belong="history"),
        replace(TABLE, **said),
        Field("again", "i", length=2, regularizer=fresh),
    ]
    for order in (1, -1):
        for field in FieldEmbedder(fields[::order]).resolve(fields):
            assert {key: getattr(field, key) for key in said} == said


def test_the_weights_of_a_field_are_no_other_kind_of_column():
    tags = Field("tags", vocabulary_size=9, length=3, weight="w")
    for other in (
        Field("w", vocabulary_size=9),
        Field("w", vocabulary_size=9, length=3),
        Field("w", dtype="float32"),
        Field("other", vocabulary_size=9, length=4, weight="w"),
    ):
        text = "Field '(tags|other)': weight must name a column of [34] numbers"
        for fields in ([tags, other], [other, tags]):
            with pytest.raises(ValueError, match=text):
                FieldEmbedder(fields)
    FieldEmbedder([tags, Field("w", vocabulary_size=0, length=3, dtype="float32")])


@pytest.mark.parametrize(
    "wrong",
    [None, ID, "user", 3, {"i": ID}, [ID, "j"], [ID, None], (f for f in [ID])],
    ids=["none", "one", "text", "number", "dict", "names", "gap", "generator"],
)
def test_an_embedder_takes_lists_of_fields(wrong):
    text = r"^fields must be a list of Field\. Received: fields="
    for given in ([wrong], [[ID], wrong]):
        with pytest.raises(ValueError, match=text):
            FieldEmbedder(*given)
    if wrong is not None:  # there: as the embedder has them
        with pytest.raises(ValueError, match=text):
            FieldEmbedder([ID]).another("b", fields=wrong)
    with pytest.raises(ValueError, match=text):
        build_feature_embeddings(wrong)
