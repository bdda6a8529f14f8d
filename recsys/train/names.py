"""Names that columns, tasks and layers must not share."""

from typing import Any

import keras

from recsys.feature._names import given_name
from recsys.train._keras import maker, nodes_behind


def check_names(inputs: Any = None, outputs: Any = None, **others: Any) -> None:
    """Raises `ValueError` if two of columns, tasks and layers have one name.

    Args:
        inputs, outputs, **others: Arguments of `Model`.
    """
    outputs = keras.tree.flatten(outputs)
    fields = [maker(tensor) for tensor in keras.tree.flatten(inputs)]
    kinds = dict.fromkeys(map(maker, outputs), "task")
    kinds |= dict.fromkeys(fields, "field")
    named = {field.name: field for field in fields}
    for node in nodes_behind(outputs):
        operation = node.operation
        name = operation.name
        if kinds.get(operation) != "field":
            name = given_name(name)
        other = named.setdefault(name, operation)
        if other is not operation:
            a, b = sorted(kinds.get(each, "layer") for each in (operation, other))
            raise ValueError(
                f"{others.get('name', 'Model')}: a {a} and a {b} must not have one "
                f"name. Received: {a} {name!r} and {b} {name!r}"
            )
