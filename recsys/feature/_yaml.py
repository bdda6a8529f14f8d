"""YAML in which no key of a mapping stands twice: of two, PyYAML takes the last."""

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key {key.value!r} stands twice",
                    problem_mark=key.start_mark,
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """Returns what a text says.

    Raises:
        yaml.YAMLError: If it is no YAML, or a mapping has a key twice.
    """
    return yaml.load(text, _Loader)  # a SafeLoader
