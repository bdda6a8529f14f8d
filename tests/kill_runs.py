"""Kills `recsys train` at random moments; what it leaves goes on, or is not there.

python -m tests.kill_runs --kills 20 --seed 0

So many children are killed while they make rows, so many while they train, so many
while they save, and so many of a run of two stages, at any time. Each run must then be
absent or go on with `--resume`, and end with the predictions of one that nobody killed.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import yaml

from recsys.runs import folder as places
from tests.runs.planted import config, write_log
from tests.runs.planted_choices import two_stages, write_choices

STAGES = ("sampling", "training", "saving")
ANY = "two stages"
TRAIN = [sys.executable, "-m", "recsys", "train"]


def begun(here: Path, stage: str) -> bool:
    """Whether a run has come to a stage, as its files tell."""
    if stage == ANY:
        return True
    if not here.is_dir():
        return False
    names = {each.name for each in here.iterdir()}
    if stage == "sampling":
        return places.RECORD in names
    if stage == "training":
        return places.SAMPLES in names
    return any(name.strip(".").startswith(places.MODEL) for name in names)


def start(folder: Path, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*TRAIN, "run.yaml", "--name", name],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )


def durations(folder: Path) -> dict[str, float]:
    """Lets a run end, and says how long each of its stages took."""
    process, here = start(folder, "whole"), folder / "runs" / "whole"
    times: dict[str, float] = {}
    while process.poll() is None:
        for stage in STAGES:
            if stage not in times and begun(here, stage):
                times[stage] = time.monotonic()
        if "end" not in times and "saving" in times and places.is_finished(here):
            times["end"] = time.monotonic()
        time.sleep(0.002)
    told = process.communicate()[1]
    assert process.returncode == 0, told
    ends = [times[each] for each in (*STAGES[1:], "end")]
    return {s: e - times[s] for s, e in zip(STAGES, ends, strict=True)}


def predictions(folder: Path, name: str) -> object:
    return pq.read_table(folder / "runs" / name / places.PREDICTIONS)


def files_in(folder: Path) -> set[str]:
    """Of the folder, and of that of the first of two stages."""
    files = [*folder.iterdir(), *(folder / places.MATCH).glob("*")]
    return {str(each.relative_to(folder)) for each in files}


def kill_at(folder: Path, stage: str, after: float) -> str:
    """Kills a child, and goes on with what it left.

    Returns:
        What it was: "absent", "ended" or "resumed".
    """
    here = folder / "runs" / "killed"
    shutil.rmtree(here, ignore_errors=True)
    process = start(folder, "killed")
    while process.poll() is None and not begun(here, stage):
        time.sleep(0.002)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if not (here / places.RECORD).is_file():
        again = start(folder, "killed")  # the name is as good as new
        told = again.communicate()[1]
        assert again.returncode == 0, told
        found = "absent"
    elif places.is_finished(here):
        found = "ended"
    else:
        done = subprocess.run(
            [*TRAIN, str(here / places.CONFIG), "--resume"],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert done.returncode == 0, f"{stage}, {after:.3f} s: {done.stderr[-2000:]}"
        found = "resumed"
    where = f"{stage}, killed after {after:.3f} s, {found}"
    assert predictions(folder, "killed") == predictions(folder, "whole"), where
    left, whole = (files_in(folder / "runs" / name) for name in ("killed", "whole"))
    assert left == whole, f"{where}: {sorted(left ^ whole)}"
    return found


def kill(kills: int, seed: int) -> dict[str, list[str]]:
    """Kills so many children in each stage; returns what became of them."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_log(folder / "log.csv")
        made = config(folder / "log.csv", training={"epochs": 4, "batch_size": 64})
        (folder / "run.yaml").write_text(yaml.safe_dump(made))
        seconds = durations(folder)
        found = {
            stage: [
                kill_at(folder, stage, rng.uniform(0, seconds[stage]))
                for _ in range(kills)
            ]
            for stage in STAGES
        }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_choices(folder)
        (folder / "run.yaml").write_text(yaml.safe_dump(two_stages(folder)))
        began = time.monotonic()
        process = start(folder, "whole")
        told = process.communicate()[1]
        assert process.returncode == 0, told
        taken = time.monotonic() - began
        found[ANY] = [kill_at(folder, ANY, rng.uniform(0, taken)) for _ in range(kills)]
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="in each stage")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.monotonic()
    for stage, found in kill(given.kills, given.seed).items():
        told = ", ".join(f"{found.count(each)} {each}" for each in sorted({*found}))
        print(f"{stage}: killed {len(found)} times, {told}")
    print(f"all ended as the run that nobody killed; {time.monotonic() - began:.0f} s")
