"""A training step of ten models of all kinds, and what arithmetic and memory demand.

    python benchmarks/roofline.py [model ...] [--rounds 3] [--steps 8]

Rows shaped like Criteo, see `criteo_like.py`, in batches of 4096, tables of 840
thousand rows, dim 16; for models of several tasks a second label, for those of several
domains a domain, for match models the ids of every other field as item or user, and for
models of histories the last 50 ids of one table. MLPs, experts and towers are 400 wide.
Adagrad on tables, Adam on the rest.

`products`: the matrix products of a step, forward and backward, counted in the graph
that `fit` differentiates, at the rate of a large square product. `touched`: bytes at
the rate of a copy on one core: of each id looked up, its row read and written
(forward), its gradient written and read; of each distinct id of the batch, row and
accumulator read and written; of each other weight 28 bytes (Adam reads weight, gradient
and two moments and writes all but the gradient). Rates are measured between the
rounds. `ratio` is the time of a step over the sum of both.

`between`: what is in neither, the results of all other operations of that graph,
forward and backward, each written once and read once, at the rate of the copy;
operations that only rename memory are not counted, and XLA and TensorFlow's own fusion
save some of it. `with it` is the time over the sum of all three. A step that is far
above products and tables, but not above all three, is one of elementwise work: DIN's
activations of each event, a softmax of the batch by the batch.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import criteo_like
import keras
import numpy as np
import tensorflow as tf
from machine import claim, copy_rate, gemm_rate
from rich.console import Console
from rich.table import Table
from zoo_speed import flops, operations

from recsys import Field, Task, create_model
from recsys.layers import table as tables

SIZE, LENGTH, DOMAINS = 840_000, 50, 3
WIDE = {"hidden_units": criteo_like.UNITS}
TASKS = [Task("label"), Task("second")]
EXPERTS = {"num_experts": 3, "experts_dim": 400, "hidden_units": (400,)}
MODELS: dict[str, dict[str, Any]] = {
    "deepfm": WIDE,
    "dcn": WIDE,
    "masknet": WIDE,
    "din": {"dnn_hidden_units": criteo_like.UNITS},
    "mmoe": EXPERTS,
    "ple": {**EXPERTS, "num_experts": 1, "num_shared_experts": 1},
    "star": {"fcn_units": criteo_like.UNITS},
    "pepnet": WIDE,
    "two_tower": {"hidden_units": (400, 400, 64)},
    "youtube_dnn": {"hidden_units": (400, 400, 64), "num_negatives": 4096},
}
DENSE = ("deepfm", "dcn", "mmoe", "ple", "star", "pepnet")
OF_TASKS, OF_DOMAINS = ("mmoe", "ple", "pepnet"), ("star", "pepnet")
OF_MATCH = ("two_tower", "youtube_dnn")


def case(name: str, batches: int) -> tuple[keras.Model, dict, Any]:
    """Returns the model, its columns and labels."""
    x, label = criteo_like.rows(SIZE, batches)
    fields, rng = criteo_like.fields(SIZE), np.random.default_rng(1)
    kwargs, y = MODELS[name], {"label": label}
    if name in OF_TASKS:
        kwargs = {**kwargs, "task_list": TASKS}
        y["second"] = rng.integers(0, 2, len(label)).astype("float32")
    elif name not in OF_MATCH:
        kwargs = {**kwargs, "task": TASKS[0]}
    if name in OF_DOMAINS:
        fields.append(Field("domain", vocabulary_size=DOMAINS, dim=16, belong="domain"))
        x["domain"] = rng.integers(0, DOMAINS, len(label)).astype("int32")
    if name == "din":
        past = {"belong": "history", "length": LENGTH, "emb": "c1"}
        fields.append(Field("past", **past))
        x["past"] = rng.choice(x["c1"], (len(label), LENGTH))
    if name in OF_MATCH:
        fields = [f for f in fields if f.belong == "user" or f.name == "c1"]
        x, y = {f.name: x[f.name] for f in fields}, None
    return create_model(name, fields, **kwargs), x, y


@contextmanager
def looked_up() -> Iterator[list[tuple[Any, np.ndarray]]]:
    """Gives the tables and ids of all look-ups inside."""
    seen: list[tuple[Any, np.ndarray]] = []
    gather = tables.gather_rows

    def recording(table: Any, ids: Any) -> Any:
        if getattr(table, "is_table", False):
            seen.append((table, np.asarray(ids).reshape(-1)))
        return gather(table, ids)

    tables.gather_rows = recording
    try:
        yield seen
    finally:
        tables.gather_rows = gather


def touched_bytes(model: keras.Model, x: dict, y: Any) -> float:
    """Bytes that a step on these rows has to move, by the count of the docstring."""
    with looked_up() as seen:
        model.compute_loss(x, y, model(x, training=True))
    ids: dict[int, list[np.ndarray]] = {}
    widths = {id(table): table.shape[1] for table, _ in seen}
    for table, some in seen:
        ids.setdefault(id(table), []).append(some)
    of_tables = sum(
        4.0
        * widths[key]
        * (4 * sum(map(len, parts)) + 4 * len(np.unique(np.concatenate(parts))))
        for key, parts in ids.items()
    )
    others = [v for v in model.trainable_variables if id(v) not in widths]
    return of_tables + 28.0 * sum(np.prod(v.shape) for v in others)


VIEWS = {
    *("Const", "Identity", "IdentityN", "Placeholder", "ReadVariableOp", "Reshape"),
    *("ExpandDims", "Squeeze", "StopGradient", "PreventGradient", "Shape"),
    *("ResourceGather", "PartitionedCall", "StatefulPartitionedCall"),
}


def between_bytes(ops: list[tf.Operation]) -> float:
    """Bytes of the results of all that is neither a product nor a table's row."""
    return sum(
        2.0 * output.dtype.size * prod(output.shape)
        for op in ops
        if op.type not in VIEWS and not flops(op)
        for output in op.outputs
        if output.shape.is_fully_defined() and output.dtype.is_floating
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="of a round")
    args = parser.parse_args()

    batch = criteo_like.BATCH
    rows = {}
    gemms, copies = [], []
    for name in args.models:
        model, x, y = case(name, args.steps + 1)
        loss = None if y is None else "binary_crossentropy"
        model.compile(criteo_like.OPTIMIZER, loss)
        head = {k: tf.constant(v[:batch]) for k, v in x.items()}
        target = y and {k: tf.constant(v[:batch, None]) for k, v in y.items()}
        ops = operations(model, head, target)
        demands = (
            sum(map(flops, ops)),
            touched_bytes(model, head, target),
            between_bytes(ops),
        )
        model.fit(x, y, batch_size=batch, verbose=0)  # compiles
        times = []
        for _ in range(args.rounds):
            gemms.append(gemm_rate())
            copies.append(copy_rate())
            clock = criteo_like.Clock()
            model.fit(x, y, batch_size=batch, verbose=0, callbacks=[clock])
            times.append(clock.seconds())
        rows[name] = float(np.median(times)), *demands
        print(f"{name}: {1e3 * rows[name][0]:.1f} ms a step", flush=True)
        del model, ops

    gemm, copy = float(np.median(gemms)), float(np.median(copies))
    table = Table("model", "ms", "GFLOP", "products ms", "MB", "touched ms", "ratio")
    for heading in ("between MB", "between ms", "with it"):
        table.add_column(heading)
    ratios = {}
    for name, (seconds, work, touched, between) in rows.items():
        demanded = work / gemm + touched / copy
        ratios[name] = seconds / demanded
        table.add_row(
            name,
            f"{1e3 * seconds:.1f}",
            f"{work / 1e9:.1f}",
            f"{1e3 * work / gemm:.1f}",
            f"{touched / 1e6:.1f}",
            f"{1e3 * touched / copy:.1f}",
            f"{ratios[name]:.2f}",
            f"{between / 1e6:.0f}",
            f"{1e3 * between / copy:.1f}",
            f"{seconds / (demanded + between / copy):.2f}",
        )
    Console(width=120).print(table)
    print(f"products at {gemm / 1e9:.0f} GFLOP/s, copies at {copy / 1e9:.1f} GB/s")
    for name in DENSE:
        if name in rows:
            claim(f"{name} over what it demands:", ratios[name], at_most=1.3)


if __name__ == "__main__":
    main()
