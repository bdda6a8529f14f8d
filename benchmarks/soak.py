"""An hour of use in one process: memory, handles and threads stay as they were.

python benchmarks/soak.py --minutes 60

Eight threads transform, predict and search, with rows of one and of many, while one
trains, saves and loads. After half of the time, when all is traced and every cache and
pool is filled (those of TensorFlow and DuckDB grow for some hundred models and ten
thousand queries), it looks at the process, and again at the end.
"""

import argparse
import gc
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import recsys
from recsys.data import FeaturePipeline
from recsys.data.synthetic import click_log
from recsys.rank.din import din
from recsys.serving import ExactIndex
from recsys.train.callbacks import Resume

THREADS, MOST_GROWTH = 8, 0.05
SCHEMA = {
    "columns": [
        {"kind": "categorical", "name": "user_id"},
        {"kind": "categorical", "name": "item_id", "belong": "item"},
        {"kind": "categorical", "name": "category", "belong": "item"},
        {"kind": "numeric", "name": "price", "belong": "item"},
        {
            "kind": "history",
            "name": "seen",
            "of": ["item_id", "category"],
            "length": 20,
            "user": "user_id",
            "time": "timestamp",
        },
    ],
    "labels": ["label"],
}


def process() -> dict[str, int]:
    """Memory in MiB, open files, and threads of this process."""
    gc.collect()
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {
        "MiB": int(status["VmRSS"].split()[0]) // 1024,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
        "objects": sys.getallocatedblocks(),
    }


def soak(seconds: float) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    """Uses it for so long.

    Returns:
        What was done; the process after half of the time; the process at the end.
    """
    log = click_log(5_000)
    pipeline = FeaturePipeline(SCHEMA["columns"], SCHEMA["labels"]).fit(log)
    model = din(pipeline.fields(8), task=recsys.Task("label"), dnn_hidden_units=(32,))
    model.compile("adam", "binary_crossentropy", metrics=[recsys.metrics.AUC()])
    rng = np.random.default_rng(0)
    index = ExactIndex(rng.normal(size=(20_000, 16)))
    batches = pipeline.dataset(log, 256, shuffle=True)
    sizes = [1, 2, 7, 100, 1000]
    start, counts = time.monotonic(), dict.fromkeys(("asked", "trained"), 0)
    lock, errors = threading.Lock(), []

    def over() -> bool:
        return time.monotonic() - start > seconds or bool(errors)

    def ask(number: int) -> None:
        try:
            while not over():
                number += 1
                size = sizes[number % len(sizes)]
                rows = {name: column[:size] for name, column in log.items()}
                table = pipeline.transform(rows)
                model.predict(table, verbose=0)
                index.search(rng.normal(size=(size % 50 + 1, 16)), 20)
                with lock:
                    counts["asked"] += 1
        except Exception as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    first: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        while not over():
            state = Path(folder) / f"state-{counts['trained'] % 2}"
            for old in state.glob("*"):
                old.unlink()
            model.fit(batches, epochs=1, verbose=0, callbacks=[Resume(state)])
            model.save(f"{folder}/model.keras")
            recsys.load_model(f"{folder}/model.keras")
            pipeline.save(f"{folder}/pipeline")
            FeaturePipeline.load(f"{folder}/pipeline").transform(log)
            counts["trained"] += 1
            if not first and time.monotonic() - start > seconds / 2:
                first = process()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return counts, first, process()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    minutes = parser.parse_args().minutes
    counts, first, last = soak(60 * minutes)
    print(
        f"{minutes:g} minutes, {counts['asked']:,} requests in {THREADS} threads and "
        f"{counts['trained']} trainings; after half of it {first}, in the end {last}"
    )
    grown = {
        name: (before, last[name])
        for name, before in first.items()
        if last[name] > before * (1 + MOST_GROWTH) + 5 * (name == "threads")
    }
    if grown or not first:
        raise SystemExit(f"It grew: {grown}")


if __name__ == "__main__":
    main()
