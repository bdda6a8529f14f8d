"""`recsys init`: what it prints."""

import pytest

from recsys.cli import init
from tests.runs.init.log import NUM, click_log, write


def test_what_was_guessed_left_out_and_what_is_next(tmp_path, capsys):
    log = write(tmp_path / "log.parquet", click_log())
    init.run([log], tmp_path / "run.yaml")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NUM:,} rows, {len(click_log())} columns. Guesses:"
    assert lines[1:7] == [
        "  user: user_id",
        "  item: video_id",
        "  time: event_time",
        "  labels: is_click, buy",
        "  split: time",
        "  model: mmoe, a first model for 2 labels",
    ]
    assert lines[7] == "Left out:" and lines[8].startswith("  play_ms: LEAK: alone")
    assert any(line == "  row: it numbers the rows" for line in lines)
    assert lines[-1].endswith(f"recsys train {tmp_path / 'run.yaml'}")


def test_an_existing_file_is_an_error(tmp_path):
    (tmp_path / "run.yaml").touch()
    with pytest.raises(OSError, match="must be new"):
        init.run([tmp_path / "log.csv"], tmp_path / "run.yaml")
