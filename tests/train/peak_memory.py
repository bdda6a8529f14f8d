"""Trains on a large table, and prints how much memory that took at most.

python -m tests.train.peak_memory 2000000 adagrad

In a process of its own, since the peak is that of the whole process. Prints the peak
above what the process had after training a small model, over what variables and slots
need.
"""

import sys
from pathlib import Path

import numpy as np

from recsys import Field
from recsys.rank.deepfm import deepfm
from recsys.train.model import Model

BATCH = 1024


def trained(size: int, optimizer) -> Model:
    fields = [Field(n, vocabulary_size=s, dim=16) for n, s in (("a", size), ("b", 9))]
    model = deepfm(fields, hidden_units=(8,))
    model.compile(optimizer, "binary_crossentropy")
    x = {"a": np.arange(2 * BATCH) % size, "b": np.arange(2 * BATCH) % 9}
    model.fit(x, x["a"] % 2, batch_size=BATCH, verbose=0)
    return model


def memory(key: str) -> int:
    """An entry of the status of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def main(size: int, name: str) -> None:
    optimizer = "adam" if name == "adam" else {"embedding": name, "default": "adam"}
    trained(9, optimizer)
    before = memory("VmRSS")
    model = trained(size, optimizer)
    variables = [*model.variables, *model.optimizer.variables]
    needed = sum(4 * int(np.prod(v.shape)) for v in variables)
    print((memory("VmHWM") - before) / needed)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
