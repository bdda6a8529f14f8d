"""What this machine can do at best, and the lines that say whether a claim holds."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def gemm_rate(n: int = 2048) -> float:
    """Floating-point operations per second of a square product, on all cores."""
    import tensorflow as tf

    a, b = tf.random.normal((n, n)), tf.random.normal((n, n))
    product = tf.function(lambda: tf.matmul(a, b))
    product()
    return 2.0 * n**3 / median_seconds(product, 10)


def copy_rate(n: int = 20_000_000) -> float:
    """Bytes per second that a copy of float32 numbers reads and writes, on one core."""
    a, b = np.ones(n, "float32"), np.empty(n, "float32")
    return 8.0 * n / median_seconds(lambda: np.copyto(b, a), 10)


def median_seconds(work: Callable[[], Any], times: int) -> float:
    """Median time of several runs."""
    return float(np.median([seconds(work) for _ in range(times)]))


def seconds(work: Callable[[], Any]) -> float:
    """Time of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(key: str = "VmRSS") -> float:
    """Resident memory of this process in bytes, or another entry of its status (Linux).

    `VmHWM` is its largest so far. (`resource.getrusage` has that of the parent in it,
    if that was larger.)
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(key))
    return 1024.0 * int(line.split()[1])


def claim(
    text: str,
    value: float,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    unit: str = "",
) -> bool:
    """Prints one line that says whether a measured value is within its limits.

    Args:
        text: What was measured.
        value: The measured value.
        at_least, at_most: Its limits.
        unit: Of the value and its limits.

    Returns:
        Whether the claim holds.
    """
    holds = (at_least is None or value >= at_least) and (
        at_most is None or value <= at_most
    )
    limits = [("at least", at_least), ("at most", at_most)]
    wanted = [f"{word} {limit:.2f}" for word, limit in limits if limit is not None]
    measured = " ".join(filter(None, [f"{value:.2f}", unit]))
    verdict = "holds" if holds else "does not hold"
    print(f"claim: {text} {measured}, {' and '.join(wanted)}: {verdict}", flush=True)
    return holds
