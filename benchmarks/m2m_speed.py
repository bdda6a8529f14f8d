"""M2M at the widths of version 1: steps a second, and what its arithmetic allows.

    python benchmarks/m2m_speed.py [--batch 32] [--steps 20] [--rounds 3]

Version 1's defaults: views of 256, scenarios of 64, three meta units of three layers
behind an attention of one, four experts, three tasks, batches of 32; and the smaller
widths that are the defaults here. Adam on all weights.

`GFLOP/step` are the matrix products of a step, forward and backward, counted in the
graph that `fit` differentiates; `ideal` is their time at the rate of a large square
product on this machine, measured in the same run. The optimizer reads and writes each
weight and two moments: `moved` is the time that 28 bytes a parameter (read weight,
gradient and moments, write weight and moments) take at the rate of a plain copy, also
measured. `ratio` is time over the sum of both.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from criteo_like import Clock
from machine import copy_rate, gemm_rate
from rich.console import Console
from rich.table import Table
from zoo_speed import products

from recsys import Field, Task
from recsys.multidomain.m2m import m2m

TASKS = [Task("click"), Task("like"), Task("share")]
WIDTHS = {"version 1": (256, 64), "default": (32, 16)}


def fields() -> list[Field]:
    return [
        Field("user_id", vocabulary_size=100, dim=8),
        Field("item_id", vocabulary_size=50, dim=8, belong="item"),
        Field("seen", emb="item_id", length=20, belong="history"),
        Field("hour", vocabulary_size=24, belong="context"),
        Field("domain_id", vocabulary_size=3, belong="domain"),
        *(
            Field(f"of_{task}", vocabulary_size=2, belong="task", group=task.name)
            for task in TASKS
        ),
    ]


def data(rows: int) -> tuple[dict, dict]:
    rng = np.random.default_rng(0)
    x = {
        field.name: rng.integers(
            0,
            max(field.vocabulary_size, 50 if field.emb == "item_id" else 0),
            (rows, field.length) if field.length > 1 else rows,
        )
        for field in fields()
    }
    return x, {task.name: rng.integers(0, 2, rows) for task in TASKS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()

    heads = ("widths", "parameters", "GFLOP/step", "steps/s", "ms")
    table = Table(*heads, "ideal", "moved", "ratio")
    gemms, copies = [], []
    for name, (view, scenario) in WIDTHS.items():
        model = m2m(fields(), TASKS, 4, view_dim=view, scenario_dim=scenario)
        model.compile("adam", "binary_crossentropy")
        x, y = data(args.batch * args.steps)
        feed = {key: tf.constant(value[: args.batch]) for key, value in x.items()}
        labels = {key: tf.constant(v[: args.batch, None]) for key, v in y.items()}
        flops = products(model, {key: feed[key] for key in model.input}, labels)
        model.fit(x, y, batch_size=args.batch, verbose=0)  # compiles
        times = []
        for _ in range(args.rounds):
            gemms.append(gemm_rate())
            copies.append(copy_rate())
            clock = Clock()
            model.fit(x, y, batch_size=args.batch, verbose=0, callbacks=[clock])
            times.append(clock.seconds())
        seconds = float(np.median(times))
        ideal = flops / float(np.median(gemms))
        moved = 28.0 * model.count_params() / float(np.median(copies))
        table.add_row(
            name,
            f"{model.count_params():,}",
            f"{flops / 1e9:.2f}",
            f"{1 / seconds:.1f}",
            f"{1e3 * seconds:.1f}",
            f"{1e3 * ideal:.1f}",
            f"{1e3 * moved:.1f}",
            f"{seconds / (ideal + moved):.2f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"Square products: {np.median(gemms) / 1e9:.0f} GFLOP/s; "
        f"copies: {np.median(copies) / 1e9:.1f} GB/s"
    )


if __name__ == "__main__":
    main()
