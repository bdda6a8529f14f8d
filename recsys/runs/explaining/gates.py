"""How a model shares its rows among experts."""

from collections.abc import Mapping, Sequence
from typing import Any

from recsys.layers.gates import GatingNetwork, gate_values
from recsys.runs.page import Block, Grid, Heading
from recsys.train.model import Model


def mean_gates(model: Model, x: Any) -> dict[str, list[float]]:
    """Returns layer -> mean share of each expert, of a model without gates nothing.

    Args:
        model: The model.
        x: Rows, as for `model.predict`.
    """
    if not any(isinstance(layer, GatingNetwork) for layer in model.layers):
        return {}
    shares = gate_values(model, x)
    return {name: each.mean(0).tolist() for name, each in shares.items()}


def blocks_of_gates(gates: Mapping[str, Sequence[float]]) -> list[Block]:
    """Returns a table of them."""
    if not gates:
        return []
    most = max(map(len, gates.values()))
    rows = []
    for name, shares in gates.items():
        cells = [f"{share:.3f}" for share in shares]
        rows.append([name, *cells, *[""] * (most - len(cells))])
    header = ["gate", *(f"expert {place}" for place in range(most))]
    return [Heading("Gates"), Grid(header, rows)]
