"""Training speed of every ranking model, and what its own matrix products allow.

    python benchmarks/zoo_speed.py [model ...] [--rounds 3] [--steps 8]

Rows shaped like Criteo, see `criteo_like.py`: 26 fields of ids in tables of
84 thousand rows, 13 numbers, dim 16, batch 4096; Adagrad on tables, Adam on the rest.
Models with an MLP have 400-400-400, other options are their defaults. Models that
need a history, which these rows do not have, are in `sequence_speed.py`.

`GFLOP/step` are the matrix products of a step, forward and backward, counted in the
graph that `fit` differentiates. `ideal` is the time those products take at the rate of
a large square product on this machine, measured in the same run, plus the time of a
DeepFM without MLP: a step of tables, first order and FM. `ratio` is time over ideal;
what is above 1 goes into additions, activations, copies, and products too small or thin
to reach the rate.
"""

import argparse
import inspect
import os
from importlib import import_module
from math import prod
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import criteo_like
import keras
import numpy as np
import tensorflow as tf
from machine import gemm_rate
from rich.console import Console
from rich.progress import track
from rich.table import Table

from recsys import list_models

BATCH = criteo_like.BATCH
OF_HISTORIES = ("din", "dien", "dsin", "tin", "bst", "sim", "eta", "sdim", "can")
OF_HISTORIES += ("hstu_rank",)
OTHERS = [name for name in list_models("rank") if name not in OF_HISTORIES]


def build(name: str, **kwargs) -> keras.Model:
    factory = getattr(import_module(f"recsys.rank.{name}"), name)
    known = inspect.signature(factory).parameters
    units = {"hidden_units", "dnn_hidden_units"} & known.keys()
    default = [known[key].default for key in units]
    if default and default[0]:  # a model that has no MLP by default keeps none
        kwargs = {**dict.fromkeys(units, criteo_like.UNITS), **kwargs}
    return factory(criteo_like.fields(), **kwargs)


def products(model: keras.Model, x: dict, y: Any) -> float:
    """Floating-point operations of all matrix products of a training step."""
    return sum(map(flops, operations(model, x, y)))


def operations(model: keras.Model, x: dict, y: Any) -> list[tf.Operation]:
    """Operations of the graph that a training step differentiates, shapes known."""

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        variables = [variable.value for variable in model.trainable_variables]
        return tape.gradient(loss, variables)

    plain, model.jit_compile = model.jit_compile, True  # all shapes are known then
    graph = step.get_concrete_function(x, y).graph
    model.jit_compile = plain
    functions = [f.graph for f in graph._functions.values() if hasattr(f, "graph")]
    return [op for g in (graph, *functions) for op in g.get_operations()]


def flops(op: tf.Operation) -> float:
    """Floating-point operations of a matrix product, 0 of anything else."""
    if op.type == "MatMul":
        inner = op.inputs[0].shape[0 if op.get_attr("transpose_a") else 1]
    elif op.type == "BatchMatMulV2":
        inner = op.inputs[0].shape[-2 if op.get_attr("adj_x") else -1]
    elif op.type == "Einsum":
        terms, _ = op.get_attr("equation").decode().split("->")
        sizes = {}
        for term, tensor in zip(terms.split(","), op.inputs, strict=True):
            sizes |= dict(zip(term, tensor.shape, strict=True))
        return 2.0 * prod(sizes.values()) if len(op.inputs) > 1 else 0.0
    else:
        return 0.0
    return 2.0 * prod(op.outputs[0].shape) * inner


class Contender:
    """A compiled model, ready to be timed."""

    def __init__(self, model: keras.Model, data: tf.data.Dataset) -> None:
        self.model, self.data = model, data
        self.times: list[float] = []
        model.compile(criteo_like.OPTIMIZER, "binary_crossentropy")
        x, y = next(iter(data))
        self.flops = products(model, {k: x[k] for k in model.input}, y[:, None])
        model.fit(data.take(2), verbose=0)  # compiles

    def run(self, steps: int) -> None:
        clock = criteo_like.Clock()
        self.model.fit(
            self.data.take(steps), verbose=0, shuffle=False, callbacks=[clock]
        )
        self.times.append(clock.seconds())

    @property
    def seconds(self) -> float:
        return float(np.median(self.times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=OTHERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    args = parser.parse_args()

    data = criteo_like.batches(criteo_like.SMALLEST, args.steps + 1)
    tables = Contender(build("deepfm", hidden_units=()), data)
    rates, rows = [], []
    for name in track(args.models, "models"):
        contender = Contender(build(name), data)
        for _ in range(args.rounds):
            rates.append(gemm_rate())
            tables.run(args.steps)
            contender.run(args.steps)
        rows.append((name, contender.model.count_params(), contender))
        print(f"{name}: {1e3 * contender.seconds:.1f} ms a step", flush=True)
        contender.model = None  # its tables are no longer needed

    rate = float(np.median(rates))
    table = Table("model", "parameters", "GFLOP/step", "rows/s", "ms", "ideal", "ratio")
    for name, parameters, contender in rows:
        ideal = contender.flops / rate + tables.seconds
        table.add_row(
            name,
            f"{parameters:,}",
            f"{contender.flops / 1e9:.1f}",
            f"{BATCH / contender.seconds:,.0f}",
            f"{1e3 * contender.seconds:.1f}",
            f"{1e3 * ideal:.1f}",
            f"{contender.seconds / ideal:.2f}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"Square products: {rate / 1e9:.0f} GFLOP/s; tables, first order and FM: "
        f"{1e3 * tables.seconds:.1f} ms a step"
    )


if __name__ == "__main__":
    main()
