"""Memory of `recsys train` on generated events, from files to the report.

    python benchmarks/run_memory.py [--events 20000000] [--entities 1000000]

Events of a user, an item, a time, a category of the item and a label lie in parquet
files, beside tables of users and of items with a row for each. A run trains `din` with
a history of length 20 for one epoch, batch 8192, in a process of its own.

Counted is what is resident of this process and of those that it starts, ten times a
second, and said apart: memory of its own (`RssAnon`), and pages of files (`RssFile`,
`RssShmem`). Those of files are mostly of libraries and of mapped rows, which the system
takes back when it needs room; they count towards the limit nonetheless. Stages are told
by what is in the folder of the run.

Wanted: at most 4 GiB.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from machine import claim

PIECE = 1_000_000
CATEGORIES, BRANDS, SEGMENTS = 100, 5000, 20
RUN = """\
data:
  files: events
  users: users.parquet
  items: items.parquet
  user: user
  item: item
  time: time
schema:
  columns:
    - {kind: categorical, name: user, belong: user}
    - {kind: categorical, name: segment, belong: user}
    - {kind: categorical, name: item, belong: item}
    - {kind: categorical, name: category, belong: item}
    - {kind: categorical, name: brand, belong: item}
    - {kind: history, name: past, of: [item], length: 20, user: user, time: time}
  labels: [label]
  groups: {user_key: user}
split: {by: time}
model: {name: din, dim: 16}
training: {epochs: 1, batch_size: 8192}
"""
STAGES = {  # what there is at the end of each, in the folder of the run
    "rows made": "samples",
    "checks and fit": "pipeline",
    "transform": "state",
    "training": "model.keras",
    "test rows": "metrics.json",
    "report": "report.html",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--entities", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), options.events, options.entities)
        found = measure(Path(folder))
    print(f"{options.events:,} events, {options.entities:,} users and items")
    print(f"{'stage':<16}{'seconds':>9}{'peak GiB':>10}{'own':>7}{'files':>7}")
    for stage, (seconds, both, own, files) in found.items():
        print(f"{stage:<16}{seconds:>9.0f}{both:>10.2f}{own:>7.2f}{files:>7.2f}")
    peak = max(both for _, both, _, _ in found.values())
    what = f"peak of `recsys train` on {options.events:,} events"
    claim(what, peak, at_most=4.0, unit="GiB")


def generate(folder: Path, events: int, entities: int) -> None:
    """Writes the files of a run, the events a million at a time."""
    random = np.random.default_rng(0)
    ids = np.arange(entities)
    brand, segment = ids * 7 % BRANDS, ids * 3 % SEGMENTS
    pq.write_table(
        pa.table({"user": ids, "segment": segment}), folder / "users.parquet"
    )
    pq.write_table(pa.table({"item": ids, "brand": brand}), folder / "items.parquet")
    (folder / "events").mkdir()
    for start in range(0, events, PIECE):
        rows = min(PIECE, events - start)
        user = random.integers(0, entities, rows)
        item = (entities * random.random(rows) ** 2).astype("int64")  # few are frequent
        fits = user % CATEGORIES < item % CATEGORIES
        piece = {
            "user": user,
            "item": item,
            "time": 1_700_000_000 + np.arange(start, start + rows),
            "category": item % CATEGORIES,
            "label": (random.random(rows) < np.where(fits, 0.4, 0.1)).astype("int64"),
        }
        pq.write_table(pa.table(piece), folder / "events" / f"{start:012}.parquet")
    (folder / "run.yaml").write_text(RUN)


def measure(folder: Path) -> dict[str, tuple[float, float, float, float]]:
    """Returns of each stage its seconds and, in GiB, the largest memory.

    Args:
        folder: Has what `generate` wrote.

    Returns:
        Stage -> seconds, memory resident, its own and that of files.
    """
    command = [sys.executable, "-m", "recsys", "train", "run.yaml", "--name", "run"]
    child = subprocess.Popen(command, cwd=folder)
    here, found = folder / "runs" / "run", dict.fromkeys(STAGES, (0.0, 0.0, 0.0, 0.0))
    stages, before = [*STAGES], time.monotonic()
    while child.poll() is None:
        while stages[1:] and (here / STAGES[stages[0]]).exists():
            del stages[0]
        own, files = resident(child.pid)
        now = time.monotonic()
        seconds, *peaks = found[stages[0]]
        peaks = map(max, peaks, (own + files, own, files))
        found[stages[0]] = (seconds + now - before, *peaks)
        before = now
        time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"`recsys train` failed with {child.returncode}")
    return found


def resident(pid: int) -> tuple[float, float]:
    """GiB of a process and of those that it started: their own, and of files."""
    own = files = 0.0
    for each in tree(pid):
        try:
            lines = Path(f"/proc/{each}/status").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        sizes = {
            key: value for key, _, value in (line.partition(":") for line in lines)
        }
        parts = [
            float(sizes.get(key, "0").split()[0]) / 2**20
            for key in ("RssAnon", "RssFile", "RssShmem")
        ]
        own += parts[0]
        files += parts[1] + parts[2]
    return own, files


def tree(pid: int) -> Iterator[int]:
    """A process and all that it started, themselves or by others."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended
        for child in map(int, found):
            yield from tree(child)


if __name__ == "__main__":
    main()
