"""Labels, and rules for them."""

import numpy as np
import pytest

from recsys.runs.init.answers import answers_of, main_of
from recsys.runs.init.seen import look
from recsys.runs.init.who import who_of
from tests.close import close
from tests.runs.init.log import opened, write

NUM = 3000
RNG = np.random.default_rng(0)
USER = RNG.integers(0, 60, NUM)
FLAG = (RNG.random(NUM) < 0.3).astype(int)


def answers(path, columns):
    with opened(write(path / "log.parquet", {"user_id": USER, **columns})) as rows:
        seen = look(rows)
        return answers_of(rows, seen, who_of(rows, seen, {}))


@pytest.mark.parametrize(
    "name", ["label", "clicked", "is_click", "long_view", "isBuy", "has_opened", "y"]
)
def test_flags_that_look_like_answers(tmp_path, name):
    for values in (FLAG, FLAG.astype(bool), [None, *FLAG[1:].astype(float)]):
        (found,) = answers(tmp_path, {name: values})
        known = [value for value in values if value is not None]
        assert (found.name, found.source, found.rule) == (name, name, "")
        assert (found.positives, found.known) == (sum(known), len(known))


def test_flags_that_do_not(tmp_path):
    columns = {
        "is_weekend": FLAG,
        "weekend": FLAG,
        "is_new_user": USER % 2,
        "is_x": USER % 2,  # an attribute of the user
        "clicks": FLAG * 2,
        "label": np.zeros(NUM, int),  # of one class
    }
    assert answers(tmp_path, columns) == []


@pytest.mark.parametrize(
    ("scale", "good"),
    [
        (range(1, 6), [4, 5]),
        (range(11), [8, 9, 10]),
        ([k / 2 for k in range(1, 11)], [4, 4.5, 5]),
    ],
)
def test_ratings_make_a_label(tmp_path, scale, good):
    values = RNG.choice(list(scale), NUM)
    columns = {"rating": values, "liked": RNG.random(NUM), "genre": USER}
    (found,) = answers(tmp_path, columns)
    assert (found.name, found.source) == ("liked_rating", "rating")
    assert found.rule == f"rating >= {good[0]}" and [*found.good] == good
    assert found.positives == (values >= good[0]).sum() and found.known == NUM


def test_no_rating(tmp_path):
    columns = {"rating": USER, "score": RNG.random(NUM), "stars": ["5"] * NUM}
    assert answers(tmp_path, columns) == []


def test_the_main_one_and_rare_ones(tmp_path):
    rare = (np.arange(NUM) < 20).astype(int)
    found = answers(tmp_path, {"is_like": FLAG, "share": rare, "click": 1 - FLAG})
    assert [answer.source for answer in found] == ["is_like", "share", "click"]
    assert [answer.is_rare for answer in found] == [False, True, False]
    assert main_of(found).source == "click" and main_of(found[:2]).source == "is_like"
    assert main_of(found[1:2]).source == "share"
    unclear = answers(tmp_path, {"follow": FLAG, "share": FLAG})
    assert len(unclear) == 2 and main_of(unclear) is None


def test_of_many_rows_the_rate_is_that_of_the_sample(tmp_path):
    path = write(tmp_path / "log.parquet", {"click": FLAG})
    with opened(path, most=1000) as rows:
        (found,) = answers_of(rows, seen := look(rows), who_of(rows, seen, {}))
        drawn = rows.run(rows.sample)["click"].to_numpy()
    assert len(drawn) < NUM
    close(found.rate, drawn.mean(), terms=len(drawn))
    assert found.positives == round(NUM * drawn.mean())
