"""How tests compare floats."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tests.close import close

TESTS = Path(__file__).parent
ROUNDING = {"assert_allclose", "assert_almost_equal", "assert_array_almost_equal"}


def _loose(source: str) -> list[str]:
    """Comparisons of floats that should be `close`, as `line: why`.

    `approx` is for statistics, whose deviation is no rounding.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        given = {k.arg: k.value for k in node.keywords}
        rtol = getattr(given.get("rtol"), "value", 1.0)
        tolerances = [
            getattr(given[key], "value", 1.0) for key in ("rel", "abs") if key in given
        ]
        if name in ROUNDING:
            found.append(f"{node.lineno}: {name}")
        elif name == "approx" and not (tolerances and min(tolerances) >= 1e-3):
            found.append(f"{node.lineno}: approx for rounding")
        elif rtol < 1e-5 and "atol" not in given:
            found.append(f"{node.lineno}: rtol={rtol} without atol")
    return found


def test_floats_are_compared_in_one_way():
    for path in TESTS.rglob("*.py"):
        if path.name != "close.py":
            assert not _loose(path.read_text()), path


@pytest.mark.parametrize(
    "line",
    [
        "np.testing.assert_allclose(a, b, rtol=1e-6)",
        "assert a == pytest.approx(b)",
        "assert a == pytest.approx(b, rel=1e-6)",
        "assert np.allclose(a, b, rtol=1e-6)",
    ],
)
def test_a_bare_tolerance_is_refused(line):
    assert _loose(line)


def test_a_statistic_may_deviate():
    assert not _loose("assert a == pytest.approx(b, abs=0.01)")
    assert not _loose("np.allclose(a, b, rtol=1e-6, atol=1e-7)")


def test_rounding_is_close_and_more_is_not():
    eps = np.finfo("float32").eps
    close([1.0, 0.0, np.nan], [1 + 9 * eps, 2 * eps, np.nan])
    close({"a": 100.0, "b": 5.0}, {"b": 5.0, "a": 100 * (1 + 9 * eps)})
    close(np.ones((2, 3)), 1)
    for actual, expected in [
        (1.0, 1 + 20 * eps),
        (0.0, 5 * eps),
        (np.ones(2), np.ones((2, 1))),
        (np.ones(2), np.ones(1)),
        ({"a": 1.0}, {"a": 1.0, "b": 1.0}),
        (np.nan, 1.0),
    ]:
        with pytest.raises(AssertionError):
            close(actual, expected)
    with pytest.raises(AssertionError):
        close(1 + 2 * eps, 1.0, dtype="float64", terms=1000)
