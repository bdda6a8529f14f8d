"""The spinner: on a terminal, and only when work takes long."""

import io
import time

import pytest

from recsys.data.progress import working


class Terminal(io.StringIO):
    """What a terminal is to Python."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "seconds", "shown"),
    [(Terminal(), 1.3, True), (Terminal(), 0.0, False), (io.StringIO(), 1.3, False)],
)
def test_shown_when_it_should_be(
    monkeypatch, stream, seconds: float, shown: bool
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    with working("Counting sheep") as report:
        report("Counting wolves")
        time.sleep(seconds)
    assert ("Counting wolves" in stream.getvalue()) == shown
    assert shown or not stream.getvalue()


def test_stops_on_errors(monkeypatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    with pytest.raises(KeyError), working("Counting sheep"):
        raise KeyError("sheep")
    time.sleep(1.2)
    assert not stream.getvalue()
