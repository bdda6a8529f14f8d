"""What `tests.generate` draws: few of each always, many in the slow tier."""

import pytest

from tests import corrupted, legal

SEED = 7_000_000


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 3), pytest.param(SEED, 40, marks=pytest.mark.all)],
)
def test_a_legal_configuration_works(first, count) -> None:
    found = [legal.failure(first + i) for i in range(count)]
    assert not [wrong for wrong, _ in found if wrong]
    assert sum(how == "works" for _, how in found) >= 0.9 * count


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 60), pytest.param(SEED, 500, marks=pytest.mark.all)],
)
def test_a_corrupted_input_is_one_error_of_ours(first, count) -> None:
    found = [corrupted.failure(corrupted.draw(first + i)) for i in range(count)]
    assert not [wrong for wrong in found if wrong]


def test_what_is_no_corruption_is_a_failure() -> None:
    taken = corrupted.Case("nothing", lambda: None)
    assert corrupted.failure(taken) == "nothing: accepted"

    def from_inside() -> None:
        raise KeyError("a")

    assert "KeyError" in str(corrupted.failure(corrupted.Case("a key", from_inside)))

    def elsewhere() -> None:
        raise ValueError("a must be b. Received: c")

    assert "not raised by" in str(corrupted.failure(corrupted.Case("d", elsewhere)))
