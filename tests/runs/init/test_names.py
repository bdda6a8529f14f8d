"""Words in the names of columns."""

import pytest

from recsys.runs.init.names import (
    ANSWER,
    CATEGORY,
    ITEM,
    RATING,
    USER,
    ends_with,
    free,
    has,
    id_score,
    is_id,
    plain_name,
    tokens,
)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("user_id", ["user", "id"]),
        ("userId", ["user", "id"]),
        ("UserID", ["user", "id"]),
        ("USER ID", ["user", "id"]),
        ("movieid", ["movie", "id"]),
        ("isclick", ["is", "click"]),
        ("island", ["island"]),
        ("time_ms", ["time", "ms"]),
        ("cat1", ["cat", "1"]),
    ],
)
def test_tokens(name, wanted):
    assert tokens(name) == wanted


def test_ids_are_told_from_what_is_of_them():
    best = ["user_id", "user", "uid", "my_user_id", "user_age"]
    scores = [id_score(name, USER) for name in best]
    assert scores == sorted(scores, reverse=True) and scores[-2] > scores[-1] == 0
    assert id_score("item_id", ITEM) > id_score("shop_id", ITEM) > 0
    assert not id_score("item_category", ITEM) and not id_score("weekday", ITEM)
    assert is_id("session_id") and is_id("authorId") and is_id("sku")
    assert not is_id("user") and not is_id("paid") and not is_id("width")


def test_words_in_any_form():
    assert has("clicked", ANSWER) and has("likes", ANSWER) and has("long_view", ANSWER)
    assert not has("review_count", ANSWER) and has("Rating", RATING)
    assert ends_with("i_category", CATEGORY) and ends_with("cat1", CATEGORY)
    assert not ends_with("city_population", CATEGORY)


def test_a_free_name_is_nobodys_in_capitals_either():
    assert free("user", ["User", "user_key"], "_key") == "user_key_key"
    assert free("User", ["user"], "_key") == "User_key"
    assert free("user", ["users"], "_key") == "user"
    assert plain_name("a/b.c\0d") == "a_b_c_d"
