"""What is killed at random moments goes on, and leaves only what is whole."""

import pytest

from tests.kill import kill


@pytest.mark.all
def test_killed_children_end_as_one_that_nobody_killed():
    assert kill(kills=5, seed=0) >= 1
