"""A configuration to be read: as commented YAML, and as a schema for editors."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from recsys.runs.config import Config, Section

WIDTH = 88


def as_yaml(config: Config) -> str:
    """Returns a file that says the same, with all defaults and what each key means."""
    return "\n".join(_section(config, ""))


def json_schema() -> str:
    """Returns what a file may hold as a JSON schema, with which editors complete it."""
    return json.dumps(Config.model_json_schema(by_alias=True), indent=2)


def _section(section: Section, indent: str) -> Iterator[str]:
    plain = section.model_dump(by_alias=True)
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), field.alias or name
        yield from _comment(field.description or type(value).__doc__, indent)
        if isinstance(value, Section):
            yield f"{indent}{key}:"
            yield from _section(value, indent + "  ")
        else:
            yield from _entry(key, plain[key], indent)
        if not indent:
            yield ""


def _comment(text: str | None, indent: str) -> list[str]:
    start = f"{indent}# "
    words = " ".join((text or "").split())
    return textwrap.wrap(words, WIDTH, initial_indent=start, subsequent_indent=start)


def _entry(key: str, value: Any, indent: str) -> Iterator[str]:
    """A line, but a list of mappings, or of what is in a mapping, has one for each."""
    several = isinstance(value, list) and any(isinstance(v, Mapping) for v in value)
    inner = value.values() if isinstance(value, Mapping) else ()
    if any(isinstance(each, (list, Mapping)) for each in inner):
        yield f"{indent}{key}:"
        for name, each in value.items():
            yield from _entry(_in_a_line(name), each, indent + "  ")
    elif several:
        yield f"{indent}{key}:"
        yield from (f"{indent}- {_in_a_line(each)}" for each in value)
    else:
        yield f"{indent}{key}: {_in_a_line(value)}"


def _in_a_line(value: Any) -> str:
    endless = 2**31
    text = yaml.safe_dump(
        value,
        sort_keys=False,
        allow_unicode=True,
        width=endless,
        default_flow_style=True,
    )
    return text.rstrip("\n").removesuffix("\n...")
