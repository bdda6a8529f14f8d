"""Threads that transform, predict and search while one trains and saves."""

import pytest

from benchmarks.soak import THREADS, soak


@pytest.mark.all
def test_threads_ask_while_one_trains_and_saves():
    counts, _, _ = soak(20)
    assert counts["asked"] > THREADS and counts["trained"]
