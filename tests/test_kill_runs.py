"""Runs that are killed go on, or are not there."""

import pytest

from tests.kill_runs import ANY, STAGES, kill


@pytest.mark.all
def test_killed_runs_end_as_one_that_nobody_killed():
    assert [*kill(kills=1, seed=0)] == [*STAGES, ANY]
