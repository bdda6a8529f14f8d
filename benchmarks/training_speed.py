"""Training speed of one DeepFM, ours and others', at 84 thousand to 33 million rows.

    python benchmarks/training_speed.py [--sizes 84000 ...] [--rounds 4] [--steps 10]
                                        [--plot training_speed.svg]

Rows shaped like Criteo, see `criteo_like.py`: 26 fields of ids and 13 numbers, dim 16,
MLP 400-400-400, batch 4096. A batch has the same number of distinct ids at every size.
Contenders, each in a process of its own (`peers/`), trained on the same batches in
turn, a round of steps each, while the others wait:

- ours with Adagrad, row-wise Adagrad or Adam on the tables, and Adam on the rest;
- FuxiCTR (PyTorch), by its own `train_step`, Adam;
- FBGEMM's table-batched embeddings, row-wise Adagrad, in the same network of PyTorch;
- layers that Keras 3 ships, Adam;
- deep-rec-kit 1.0.2 and DeepCTR, on TensorFlow 2.15, Adam.

`make bench` installs them. Those that hold all gradients, and so several times the
tables, are left out at the largest size.

Prints the median time of a step, that over the time of ours with the same kind of
optimizer, and the mean loss of each round, which tells who trains and who
does less. Beside them stands what no contender can be faster than on this machine: the
matrix products of the MLP at the rate of a large square product (`limit`), and as they
are, without anything around them (`products`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import criteo_like
import numpy as np
from machine import claim, gemm_rate, median_seconds
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
ENVIRONMENTS = HERE.parent / ".bench"
SIZES = (84_000, 840_000, 8_400_000, 33_000_000)
BATCHES = 60


@dataclass(frozen=True)
class Kind:
    """A contender: its script, environment, arguments, and whose rows it is held to."""

    script: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()
    beside: str = ""
    largest: int = 10_000_000


EVERY_SIZE = 10**9
KINDS = {
    "ours, adagrad": Kind("recsys", None, ("adagrad",), "", EVERY_SIZE),
    "ours, row-wise": Kind("recsys", None, ("rowwise_adagrad",), "", EVERY_SIZE),
    "ours, adam": Kind("recsys", None, ("adam",), "", EVERY_SIZE),
    "FBGEMM": Kind("fbgemm", "torch", (), "ours, row-wise", EVERY_SIZE),
    "FuxiCTR": Kind("fuxictr", "torch", (), "ours, adam"),
    "stock Keras": Kind("keras", None, (), "ours, adam"),
    "version 1": Kind("seed", "tf215", (), "ours, adam"),
    "DeepCTR": Kind("deepctr", "tf215", (), "ours, adam"),
}


@dataclass
class Contender:
    """A process that trains when told, and what it told."""

    process: Any
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    @classmethod
    def start(cls, kind: Kind, rows: Path) -> "Contender":
        python = sys.executable
        if kind.environment is not None:
            python = str(ENVIRONMENTS / kind.environment / "bin" / "python")
        command = [python, f"{kind.script}_deepfm.py", str(rows), *kind.arguments]
        process = subprocess.Popen(
            command,
            cwd=HERE / "peers",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        while (line := process.stdout.readline()).strip() != "ready":
            if not line:
                raise RuntimeError(f"{' '.join(command)} ended. Has `make bench` run?")
        return cls(process)

    def train(self, steps: int) -> None:
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        self.seconds += told["seconds"]
        self.losses.append(told["loss"])

    def step(self) -> float:
        """Median time of a step, of the rounds after the first."""
        rounds = np.array_split(self.seconds, len(self.losses))
        return float(np.median(np.concatenate(rounds[1:])))

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compared(size: int, rounds: int, steps: int) -> dict[str, Contender]:
    """Trains all contenders on tables of that size, in turn."""
    x, y = criteo_like.rows(size, BATCHES)
    ids = [column for name, column in x.items() if name[0] == "c"]
    numbers = [column for name, column in x.items() if name[0] == "n"]
    running = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.npz"
        np.savez(
            rows,
            ids=np.stack(ids, axis=1),
            numbers=np.stack(numbers, axis=1),
            labels=y,
            sizes=[size // len(ids)] * len(ids),
        )
        for name, kind in KINDS.items():
            if size <= kind.largest:
                running[name] = Contender.start(kind, rows)
    for _ in range(rounds):
        for contender in running.values():
            contender.train(steps)
    for contender in running.values():
        contender.end()
    return running


def mlp_products() -> tuple[float, float]:
    """Floating-point operations of the MLP's products in a step, and their seconds."""
    import tensorflow as tf

    rows, start = criteo_like.BATCH, criteo_like.CATEGORICAL + criteo_like.NUMERIC
    widths = (start * criteo_like.DIM, *criteo_like.UNITS, 1)
    pairs = [
        tuple(tf.random.normal(shape) for shape in ((rows, i), (i, o), (rows, o)))
        for i, o in zip(widths[:-1], widths[1:], strict=True)
    ]

    @tf.function
    def products():
        return [
            (
                x @ w,
                tf.matmul(x, g, transpose_a=True),
                tf.matmul(g, w, transpose_b=True),
            )
            for x, w, g in pairs
        ]

    products()
    flops = sum(6.0 * rows * i * o for i, o in zip(widths, widths[1:], strict=False))
    return flops, median_seconds(products, 20)


def report(
    size: int, contenders: dict[str, Contender], limits: Sequence[float]
) -> Table:
    table = Table(title=f"{size:,} rows of tables", caption="mean loss of each round")
    for column in ("", "ms", "rows/s", "over ours", "over limit", "loss"):
        table.add_column(column, justify="right" if column else "left")
    for name, contender in contenders.items():
        step, beside = contender.step(), KINDS[name].beside
        table.add_row(
            name,
            f"{1e3 * step:.1f}",
            f"{criteo_like.BATCH / step:,.0f}",
            f"{step / contenders[beside].step():.2f}" if beside else "",
            f"{step / limits[0]:.2f}",
            " ".join(f"{loss:.3f}" for loss in contender.losses),
        )
    for name, limit in zip(("limit", "products"), limits, strict=True):
        rate = f"{criteo_like.BATCH / limit:,.0f}"
        table.add_row(name, f"{1e3 * limit:.1f}", rate, "", f"{limit / limits[0]:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="of a round")
    parser.add_argument("--plot", type=Path, help="SVG or PNG file; needs matplotlib")
    args = parser.parse_args()

    rates, products = [], []
    results = {}
    for size in args.sizes:
        flops, seconds = mlp_products()
        rates.append(gemm_rate())
        products.append(seconds)
        results[size] = compared(size, args.rounds, args.steps)
    limits = flops / float(np.median(rates)), float(np.median(products))
    console = Console(width=100)
    for size, contenders in results.items():
        console.print(report(size, contenders, limits))
    print(
        f"limit: {flops / 1e9:.1f} GFLOP at {np.median(rates) / 1e9:.0f} GFLOP/s, "
        f"{1e3 * limits[0]:.1f} ms; products as they are {1e3 * limits[1]:.1f} ms"
    )
    claims(results, limits)
    if args.plot is not None:
        draw(results, limits[0], args.plot)


def claims(results: dict[int, dict[str, Contender]], limits: Sequence[float]) -> None:
    wanted = {
        "FuxiCTR": (1.8, 35),
        "stock Keras": (1.5, 15),
        "version 1": (1.5, 15),
        "DeepCTR": (1.5, 15),
    }
    for size, contenders in results.items():
        own = {name: contender.step() for name, contender in contenders.items()}
        for name, kind in KINDS.items():
            if name not in own or not kind.beside:
                continue
            ratio = own[name] / own[kind.beside]
            text = f"{kind.beside} at {size:,} rows, times as fast as {name}:"
            if name == "FBGEMM":
                claim(text, ratio, at_least=1.15)
            elif size in (840_000, 8_400_000):
                claim(text, ratio, at_least=wanted[name][size == 8_400_000])
                print(f"  {own[name] / limits[0]:.2f} times is the most, at the limit")
    for name in ("ours, adagrad", "ours, row-wise", "ours, adam"):
        steps = {size: c[name].step() for size, c in results.items()}
        low, high = min(steps.values()), max(steps.values())
        claim(f"{name}, slowest size over fastest:", low / high, at_least=0.9)
    step = float(np.median([c["ours, adagrad"].step() for c in results.values()]))
    claim("ours, adagrad, step over the limit:", step / limits[0], at_most=1.3)
    claim("the same over its products as they are:", step / limits[1], at_most=1.3)


def draw(results, limit: float, path: Path) -> None:
    """Rows per second against the size of the tables."""
    from matplotlib.figure import Figure

    figure = Figure((7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name in KINDS:
        points = [
            (size, criteo_like.BATCH / contenders[name].step())
            for size, contenders in results.items()
            if name in contenders
        ]
        style = "-o" if name.startswith("ours") else "--s"
        axes.plot(*zip(*points, strict=True), style, label=name)
    axes.axhline(criteo_like.BATCH / limit, color="grey", label="dense products alone")
    axes.set(xscale="log", yscale="log", xlabel="rows of all tables")
    axes.set(ylabel="rows trained per second", title="DeepFM, batches of 4096")
    axes.legend(fontsize="small")
    figure.savefig(path)
    print(f"plotted in {path}")


if __name__ == "__main__":
    main()
