"""Names that columns, tasks and layers must not share."""

from typing import Any

import keras

from recsys.feature._names import given_name


def check_names(inputs: Any = None, outputs: Any = None, **others: Any) -> None:
    """Raises `ValueError` if two of columns, tasks and layers have one name.

    Args:
        inputs, outputs, **others: Of `Model`.
    """
    read = [tensor._keras_history for tensor in keras.tree.flatten(inputs)]
    ahead = [tensor._keras_history for tensor in keras.tree.flatten(outputs)]
    kinds = {made.operation: "task" for made in ahead}
    kinds |= {made.operation: "field" for made in read}
    named = {made.operation.name: made.operation for made in read}
    seen = set()
    while ahead:
        operation, node_index, _ = ahead.pop()
        node = operation._inbound_nodes[node_index]
        if node in seen:
            continue
        seen.add(node)
        ahead += [tensor._keras_history for tensor in node.input_tensors]
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
