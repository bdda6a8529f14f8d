"""Breaks the library, one line at a time; the oracles of every model must see it.

python -m tests.mutations                      # all mutations, all oracles: 30 minutes
python -m tests.mutations --only "no bias" tests/rank/test_din.py

A mutation counts for a model's file of tests if one of its tests reached the broken
line; then one of them must fail. Pairs that are not reached are printed.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys import list_models

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

FILES = ["tests/rank", "tests/multitask", "tests/multidomain", "tests/match"]
reached = False
"""Whether the test that runs came to the broken line."""


def _mark() -> None:
    global reached
    reached = True


def _swap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Puts another function in the place of one, wherever the library holds it."""
    old = getattr(owner, name)
    new = make(old)
    setattr(owner, name, new)
    for module in [m for n, m in sys.modules.items() if n.startswith("recsys")]:
        for held in [n for n, value in vars(module).items() if value is old]:
            setattr(module, held, new)


def no_bias() -> None:
    """The logit of an MLP has no bias."""
    from recsys.layers.mlp import Tower

    def make(init: Any) -> Any:
        def broken(self: Any, *args: Any, **kwargs: Any) -> None:
            if kwargs.get("use_bias", True):
                _mark()
            init(self, *args, **{**kwargs, "use_bias": False})

        return broken

    _swap(Tower, "__init__", make)


def one_layer_short() -> None:
    """An MLP lacks its last hidden layer."""
    from recsys.layers.mlp import FeedForwardLayer

    def make(init: Any) -> Any:
        def broken(self: Any, hidden_units: Any, *args: Any, **kwargs: Any) -> None:
            if not isinstance(hidden_units, int) and len(hidden_units) > 1:
                _mark()
                hidden_units = hidden_units[:-1]
            init(self, hidden_units, *args, **kwargs)

        return broken

    _swap(FeedForwardLayer, "__init__", make)


def softmax_for_sigmoid() -> None:
    """Softmax of the last axis in place of a sigmoid."""
    from keras import ops

    softmax = ops.softmax

    def make(sigmoid: Any) -> Any:
        def broken(x: Any) -> Any:
            _mark()
            return ops.ones_like(x) if x.shape[-1] == 1 else softmax(x, axis=-1)

        return broken

    _swap(ops, "sigmoid", make)


def mean_for_sum() -> None:
    """The mean of a sequence in place of its sum."""
    from keras import ops

    from recsys.layers import masking

    def make(masked_sum: Any) -> Any:
        def broken(values: Any, valid: Any) -> Any:
            total = masked_sum(values, valid)
            if values.shape[-1] == 1:  # sums of weights, by which others are divided
                return total
            _mark()
            return total / ops.cast(values.shape[-2], values.dtype)

        return broken

    _swap(masking, "masked_sum", make)


def padding_counted() -> None:
    """Padding counts in sums and in softmaxes."""
    from recsys.layers import masking

    def make(masked: Any) -> Any:
        def broken(values: Any, valid: Any) -> Any:
            if valid is not None:
                _mark()
            return masked(values, None)

        return broken

    _swap(masking, "masked_sum", make)
    _swap(masking, "masked_softmax", make)


def wrong_axis() -> None:
    """A softmax over rows in place of classes, experts or positions."""
    from keras import ops

    def make(softmax: Any) -> Any:
        def broken(x: Any, axis: int = -1) -> Any:
            if axis != 0:
                _mark()
            return softmax(x, axis=0)

        return broken

    _swap(ops, "softmax", make)


def gate_reversed() -> None:
    """A gate gives its shares to the experts from the last to the first."""
    from keras import ops

    from recsys.layers.gates import Gate

    def make(call: Any) -> Any:
        def broken(self: Any, inputs: Any, training: bool = False) -> Any:
            if self.num_experts > 1:
                _mark()
            return ops.flip(call(self, inputs, training), axis=-1)

        return broken

    _swap(Gate, "call", make)


def statistics_ignored() -> None:
    """Inference normalises by 0 and 1 in place of the moving statistics."""
    from keras import ops

    from recsys.layers.activation import Dice
    from recsys.layers.normalization import BatchNorm

    def make(call: Any) -> Any:
        def broken(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            held = vars(self)
            moving = held["moving_mean"], held["moving_variance"]
            _mark()
            held["moving_mean"] = ops.zeros_like(moving[0])
            held["moving_variance"] = ops.ones_like(moving[1])
            try:
                return call(self, inputs, *args, **kwargs)
            finally:
                held["moving_mean"], held["moving_variance"] = moving

        return broken

    for layer in (Dice, BatchNorm):
        _swap(layer, "call", make)


def no_activation() -> None:
    """A layer of an MLP is linear."""
    from recsys.layers import activation

    def make(get: Any) -> Any:
        def broken(name: Any, /, **kwargs: Any) -> Any:
            if name is not None and name != "linear":
                _mark()
            return get("linear", **kwargs)

        return broken

    _swap(activation, "get_activation", make)


def no_layer_norm() -> None:
    """A layer normalisation gives its input back."""
    from recsys.layers import normalization

    def make(layer_norm: Any) -> Any:
        def broken(**kwargs: Any) -> Any:
            layer = layer_norm(**kwargs)

            def call(inputs: Any) -> Any:
                _mark()
                return inputs * layer.gamma + layer.beta

            layer.call = call
            return layer

        return broken

    _swap(normalization, "layer_norm", make)


MUTATIONS = {
    each.__name__.replace("_", " "): each
    for each in (
        no_bias,
        one_layer_short,
        softmax_for_sigmoid,
        mean_for_sum,
        padding_counted,
        wrong_axis,
        gate_reversed,
        statistics_ignored,
        no_activation,
        no_layer_norm,
    )
}


class Plugin:
    """Breaks a line in a run of pytest, and tells which tests came to it."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bool, bool]] = []  # file, reached, failed

    def pytest_runtest_protocol(self, item: Any) -> None:
        global reached
        reached = False

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        item.user_properties = [("reached", reached)]

    def pytest_runtest_logreport(self, report: Any) -> None:
        came = dict(report.user_properties).get("reached", False)
        self.found.append((report.nodeid.partition("::")[0], came, report.failed))


def pytest_configure(config: Any) -> None:
    """Is called where this is a plugin of pytest: `-p tests.mutations`."""
    plugin = Plugin()
    config.pluginmanager.register(plugin, "mutations")
    MUTATIONS[os.environ["MUTATION"]]()
    if not hasattr(config, "workerinput"):

        def write() -> None:
            Path(os.environ["MUTATION_FOUND"]).write_text(json.dumps(plugin.found))

        config.add_cleanup(write)


def run(name: str, files: list[str], workers: int = 2) -> dict[str, tuple[bool, bool]]:
    """Returns of each file whether a test came to a mutation, and one failed."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "pytest", "-p", "tests.mutations", *files]
        command += ["-m", "oracle", "-n", str(workers), "--dist", "loadgroup"]
        subprocess.run(
            [*command, "--tb", "no", "-p", "no:cacheprovider"],
            env={**os.environ, "MUTATION": name, "MUTATION_FOUND": str(out)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        found = json.loads(out.read_text())
    files_of: dict[str, tuple[bool, bool]] = collections.defaultdict(
        lambda: (False, False)
    )
    models = {f"test_{name}" for name in list_models()}
    for file, came, failed in found:
        if Path(file).stem not in models:
            continue
        before = files_of[file]
        files_of[file] = before[0] or came, before[1] or failed
    return dict(files_of)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--only", choices=MUTATIONS, help="one mutation")
    given = parser.parse_args()
    survived, number = [], 0
    started = time.monotonic()
    for name in [given.only] if given.only else MUTATIONS:
        found = run(name, given.files)
        came = sorted(file for file, (reached, _) in found.items() if reached)
        alive = [file for file in came if not found[file][1]]
        others = sorted({*found} - {*came})
        number += len(came)
        survived += [f"{name}: {file}" for file in alive]
        print(f"{name}: {len(came) - len(alive)} of {len(came)} see it", flush=True)
        for file in alive:
            print(f"  SURVIVES in {file}", flush=True)
        names = ", ".join(Path(file).stem.removeprefix("test_") for file in others)
        print(f"  not reached: {names}", flush=True)
    print(
        f"mutations: {number} pairs reached, {len(survived)} survive; "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if survived or not number else 0


if __name__ == "__main__":
    sys.exit(main())
