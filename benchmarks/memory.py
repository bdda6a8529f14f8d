"""Peak memory of training, over what tables and slots need.

    python benchmarks/memory.py [--rows 8400000]

DeepFM of dim 16 with an MLP of 400-400-400, batch 4096, is built, compiled, trained and
used to predict: with 8.4 million rows in the 26 tables of `criteo_like.py`, and with as
many in a single table. The tables are trained by Adagrad, row-wise Adagrad or Adam.

Each model has a process of its own. Counted is the largest memory of the process above
what it had when the same model had been trained with small tables, in which are the
libraries, the rows, and what a batch takes. `needed` are all variables of the model and
of the optimizer. `and save` is the peak when the model has been saved, too: Keras
writes the file in memory first where there is enough.

Wanted: at most 1.3 times what is needed.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from machine import claim, memory

OPTIMIZERS = ("adagrad", "rowwiseadagrad", "adam")
BATCHES = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=8_400_000)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        tables, optimizer = options.run
        print(json.dumps(measure(options.rows, int(tables), optimizer)))
        return
    for tables in (26, 1):
        for optimizer in OPTIMIZERS:
            run = ["--run", str(tables), optimizer, "--rows", str(options.rows)]
            command = [sys.executable, __file__, *run]
            out = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(out.stdout)
            what = f"{options.rows:,} rows in {tables} table(s), {optimizer}"
            print(what, *(f"{k} {v:,.0f} MiB" for k, v in found.items()), sep=", ")
            claim(
                f"peak of training over tables and slots, {what}",
                found["train"] / found["needed"],
                at_most=1.3,
            )


def measure(rows: int, tables: int, optimizer: str) -> dict[str, float]:
    import criteo_like as criteo

    from recsys import Field, load_model
    from recsys.rank.deepfm import deepfm
    from recsys.train.model import Model

    x, y = criteo.rows(criteo.SMALLEST, BATCHES)
    names = [f"c{i}" for i in range(tables)]
    x = {name: x[name] for name in names}

    def trained(size: int) -> Model:
        fields = [Field(name, vocabulary_size=size, dim=criteo.DIM) for name in names]
        model = deepfm(fields, hidden_units=criteo.UNITS)
        model.compile(
            {"embedding": optimizer, "default": "adam"}, "binary_crossentropy"
        )
        model.fit(x, y, batch_size=criteo.BATCH, verbose=0)
        model.predict(x, verbose=0)
        return model

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        trained(criteo.SMALLEST // 26).save(path)
        load_model(path)
        before = memory()
        model = trained(rows // tables)
        variables = [*model.variables, *model.optimizer.variables]
        found["needed"] = sum(4.0 * math.prod(v.shape) for v in variables)
        found["train"] = memory("VmHWM") - before
        model.save(path)
        found["and save"] = memory("VmHWM") - before
    return {name: value / 2**20 for name, value in found.items()}


if __name__ == "__main__":
    main()
