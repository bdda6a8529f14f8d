"""How fast the exact top-k is, and what an approximate index gives up for speed.

    python benchmarks/topk.py [--items 1000000] [--users 10000] [--rounds 3]
                              [--plot topk.svg]

Items and users are float32 vectors around common centres, as those of trained towers
are. Exact: `recsys.retrieval.top_k` beside the exact flat index of faiss and beside
the bare matrix products, all on all cores, taken in turn; the lists are compared. The
memory is what the peak of the process rises by in the first search, results included.

Approximate: `recsys.serving.FaissIndex`, an inverted file, at several numbers of lists
to look at: recall of the exact list against users per second, also as a plot.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from machine import claim

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from recsys.retrieval.search import top_k

ROWS, COLUMNS, CENTRES, SPREAD = 1024, 16384, 1000, 0.7
PROBES = (1, 2, 4, 8, 16, 32, 64, 128)
ROUNDS_OF_INDEX = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="SVG or PNG file; needs matplotlib")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    centres = random.standard_normal((CENTRES, options.dim), np.float32)
    items, users = (
        around(centres, count, random) for count in (options.items, options.users)
    )
    print(
        f"top {options.k} of {len(items):,} items of width {options.dim} for "
        f"{len(users):,} users, {os.cpu_count()} cores"
    )
    ids = exact(items, users, options.k, options.rounds)
    approximate(items, users, ids, options.plot)


def around(centres: Any, count: int, random: np.random.Generator) -> Any:
    vectors = random.standard_normal((count, centres.shape[1]), np.float32)
    vectors *= SPREAD
    for start in range(0, count, ROWS):  # in blocks, for a low peak of memory
        part = vectors[start : start + ROWS]
        part += centres[random.integers(0, len(centres), len(part))]
    return vectors


def exact(items: Any, users: Any, k: int, rounds: int) -> Any:
    """Prints the rates of exact searches; returns the lists."""
    before = peak()
    ids, _ = top_k(users, items, k, reserved=0)
    print(f"memory beyond the matrices: {(peak() - before) / 2**20:.0f} MiB")
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    runs: dict[str, Callable[[], Any]] = {
        "matrix products": lambda: products(items, users),
        "faiss, exact": lambda: flat.search(users, k),
        "top_k": lambda: top_k(users, items, k, reserved=0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            seconds[name].append(timed(run)[0])
    fastest = {name: min(values) for name, values in seconds.items()}
    for name, best in fastest.items():
        print(
            f"{name:16s} {best:7.2f} s, {len(users) / best:8,.0f} users/s, "
            f"{fastest['faiss, exact'] / best:5.2f} of faiss' rate"
        )
    rate = fastest["faiss, exact"] / fastest["top_k"]
    claim("top_k, of the rate of faiss' exact index:", rate, at_least=0.9)
    same = np.mean(flat.search(users[:ROWS], k)[1] == ids[:ROWS])
    print(f"same item at the same place: {same:.5f} (the rest are rounding)")
    return ids


def products(items: Any, users: Any) -> None:
    out = np.empty(ROWS * COLUMNS, np.float32)
    for row in range(0, len(users), ROWS):
        part = users[row : row + ROWS]
        for column in range(0, len(items), COLUMNS):
            block = items[column : column + COLUMNS]
            place = out[: len(part) * len(block)].reshape(len(part), -1)
            np.matmul(part, block.T, place)


def approximate(items: Any, users: Any, ids: Any, plot: Path | None) -> None:
    """Prints, and draws, recall against speed of an inverted file."""
    from recsys.metrics import recall
    from recsys.serving.faiss_index import FaissIndex

    k = ids.shape[1]
    seconds, index = timed(lambda: FaissIndex(items, reserved=0))
    print(f"inverted file built in {seconds:.1f} s")
    wanted = np.arange(0, ids.size + 1, k), ids.reshape(-1)
    points = []
    for probes in PROBES:
        index.set_parameters(f"nprobe={probes}")
        runs = [timed(lambda: index.search(users, k)) for _ in range(ROUNDS_OF_INDEX)]
        rate = len(users) / min(seconds for seconds, _ in runs)
        points.append((recall(wanted, runs[0][1][0], k=k), rate))
        print(
            f"nprobe={probes:<4d} recall@{k} {points[-1][0]:.4f} {rate:8,.0f} users/s"
        )
    if plot is not None:
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.plot(*zip(*points, strict=True), "o-")
        for (x, y), probes in zip(points, PROBES, strict=True):
            axes.annotate(f"nprobe={probes}", (x, y))
        axes.set(xlabel=f"recall@{k}", ylabel="users per second", yscale="log")
        axes.set_title(f"FaissIndex, {len(items):,} items")
        figure.savefig(plot)
        print(f"plotted in {plot}")


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def peak() -> int:
    """Largest memory of this process so far, in bytes (Linux)."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
