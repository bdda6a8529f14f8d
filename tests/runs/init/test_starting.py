"""What a first run is made of."""

import numpy as np
import pytest

from recsys.runs.init.answers import answers_of
from recsys.runs.init.kinds import columns_of
from recsys.runs.init.roles import Roles
from recsys.runs.init.seen import look
from recsys.runs.init.starting import start_of
from recsys.runs.init.who import who_of
from tests.runs.init.log import NUM, click_log, opened, write


def start(path, columns, roles=None):
    with opened(write(path / "log.parquet", columns)) as rows:
        seen = look(rows)
        who = who_of(rows, seen, {})
        answers = answers_of(rows, seen, who)
        roles = roles or Roles({})
        return start_of(roles, who, answers, columns_of(seen, who, answers))


def of(*names):
    return {name: click_log()[name] for name in names}


WHO = ("user_id", "video_id", "event_time")


def test_two_labels(tmp_path):
    found = start(tmp_path, click_log())
    assert [answer.name for answer in found.labels] == ["is_click", "buy"]
    assert found.model[0] == "mmoe" and found.samples[0] == {}
    assert found.history[0] == {
        "kind": "history",
        "name": "seen",
        "of": ["video_id", "brand"],
        "length": 20,
        "user": "user_id",
        "time": "event_time",
        "where": {"is_click": 1},
    }
    assert found.groups == {"user": "user_id"} and "gauc" in found.metrics
    assert found.split[0] == {"by": "time", "valid": 0.1, "test": 0.1}


def test_one_label_with_and_without_a_history(tmp_path):
    found = start(tmp_path, of(*WHO, "is_click"))
    assert found.model[0] == "din" and found.history[0]["of"] == ["video_id"]
    found = start(tmp_path, of("user_id", "video_id", "is_click"))
    assert found.model[0] == "deepfm" and found.history is None
    assert found.split[0]["by"] == "ratio"
    found = start(tmp_path, of("brand", "is_click"))
    assert found.groups == {} and found.metrics == ["auc", "log_loss"]


def test_no_label_is_drawn_or_missing(tmp_path):
    found = start(tmp_path, of(*WHO, "brand") | {"chosen": of("city")["city"]})
    assert found.samples[0] == {"negatives": {"label": "chosen_item", "per_event": 4}}
    assert found.model[0] == "din" and "where" not in found.history[0]
    found = start(tmp_path, of("user_id", "brand"))
    assert found.samples[0] == {} and found.labels == [] and found.model[0] == "deepfm"


def test_ratings(tmp_path):
    rating = np.random.default_rng(7).integers(1, 6, NUM)
    found = start(tmp_path, of(*WHO) | {"rating": rating})
    assert found.samples[0] == {"labels": {"liked": "rating >= 4"}}
    assert found.history[0]["where"] == {"rating": [4, 5]}


def test_without_a_main_label_the_history_is_of_all(tmp_path):
    follow, share = np.random.default_rng(7).integers(0, 2, (2, NUM))
    found = start(tmp_path, of(*WHO) | {"follow": follow, "share": share})
    assert "where" not in found.history[0] and "{follow: 1}" in found.history[1]


def test_rare_labels_are_left_to_the_user(tmp_path):
    rare = (np.arange(NUM) < 9).astype(int)
    found = start(tmp_path, of(*WHO, "is_click") | {"share": rare})
    assert [answer.name for answer in found.rare] == ["share"]
    assert found.model[0] == "din"
    found = start(tmp_path, of(*WHO) | {"share": rare})  # the only one
    assert [answer.name for answer in found.labels] == ["share"]


@pytest.mark.parametrize(("days", "wanted"), [(2, "ratio"), (40, "time")])
def test_a_cut_in_time_takes_times(tmp_path, days, wanted):
    day = np.random.default_rng(0).integers(0, days, NUM) * 86400 + 1_600_000_000
    found = start(tmp_path, of("is_click", "hour") | {"ts": day})
    assert found.split[0]["by"] == wanted


def test_files_are_a_split(tmp_path):
    roles = Roles({}, valid=["valid.csv"], test=["test.csv"])
    assert start(tmp_path, of(*WHO, "is_click"), roles).split[0] == {"by": "files"}


def test_names_that_are_taken(tmp_path):
    log = of(*WHO, "is_click", "hour", "city")
    log["seen_video_id"] = log.pop("hour")
    log["USER"] = log.pop("city")
    found = start(tmp_path, log)
    assert found.history[0]["name"] == "seen_before"
    assert found.groups == {"user_key": "user_id"}
