"""A run's file as it is read: every error says at which line."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from recsys.data.writing import checked_path
from recsys.feature._yaml import read_yaml
from recsys.feature.schema.schema import Schema, build_column, build_label
from recsys.runs.config import Config

Keys = tuple[str | int, ...]


@dataclass(frozen=True)
class Origin:
    """Where each part of a configuration stands.

    Args:
        path: The file, `None` if it was no file.
        lines: Path of keys -> line, from 1.
        settings: Path of keys -> the setting that took the place of a file's value.
    """

    path: Path | None = None
    lines: Mapping[Keys, int] = field(default_factory=dict)
    settings: Mapping[Keys, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """What names of files are relative to."""
        return Path() if self.path is None else self.path.parent

    def where(self, *keys: str | int) -> str:
        """Returns where something stands, to begin an error with."""
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.settings:
                return f"--set {self.settings[keys[:length]]}"
            if keys[:length] in self.lines:
                return f"{self.path}, line {self.lines[keys[:length]]}"
        for each, setting in self.settings.items():
            if keys and each[: len(keys)] == keys:
                return f"--set {setting}"
        return "The configuration" if self.path is None else str(self.path)


@dataclass(frozen=True)
class Read:
    """A configuration that was read.

    Attributes:
        config: What it says.
        schema: What its section `schema` declares of rows; of vectors of items, which
            no row has, it says nothing.
        origin: Where it says so.
    """

    config: Config
    schema: Schema
    origin: Origin


def read_config(
    source: str | Path | Mapping[str, Any], settings: Sequence[str] = ()
) -> Read:
    """Reads a configuration and checks all that can be checked without the data.

    Args:
        source: A YAML file, or what one would hold.
        settings: Values that take the place of the file's: "training.epochs=3".

    Raises:
        ValueError: If the file is missing or no YAML, or a key or value is not what
            `Config` and `Schema` take; with the file, the line and the nearest key.
    """
    origin = Origin()
    entries: Any = source
    if not isinstance(source, Mapping):
        path = checked_path("read_config: source", source)
        try:
            text = path.read_text(encoding="utf-8")
            entries = read_yaml(text)
            origin = Origin(path, dict(_lines(yaml.compose(text))))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            line = "" if mark is None else f", line {mark.line + 1}"
            raise ValueError(
                f"{path}{line}: the file cannot be read as YAML: {error.problem}"
            ) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(entries, Mapping):
        raise ValueError(
            f"{origin.where()} must be a mapping with the keys data, schema and model. "
            f"Received: {_short(entries)}"
        )
    entries, given = _with(entries, settings)
    return _checked(entries, Origin(origin.path, origin.lines, given))


def with_values(read: Read, values: Mapping[str, Any], origin: Origin) -> Read:
    """Returns a configuration with some values in place of its own.

    Args:
        read: The configuration.
        values: Dotted key -> value.
        origin: Where errors say that these values stand.

    Raises:
        ValueError: As in `read_config`.
    """
    entries = read.config.plain()
    for name, value in values.items():
        keys = tuple(name.split("."))
        _set(entries, keys, value, f"{origin.where(*keys)}: {name}")
    return _checked(entries, origin)


def _checked(entries: Mapping[str, Any], origin: Origin) -> Read:
    try:
        config = Config.model_validate(entries)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # What is missing is often there by another name.
        first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        raise ValueError(_said(first, entries, origin) + more) from error
    return Read(config, _schema(config.declared, origin), origin)


def _schema(declared: Mapping[str, Any], origin: Origin) -> Schema:
    entries = dict(declared)
    keys: Keys = ("schema",)
    try:
        for key, build in (("columns", build_column), ("labels", build_label)):
            made = []
            listed = entries.get(key, [])
            for place, entry in enumerate(listed if isinstance(listed, list) else ()):
                keys = ("schema", key, place)
                made.append(build(entry))
            entries[key] = made if isinstance(listed, list) else listed
        keys = ("schema",)
        return Schema.from_dict(entries).of_rows
    except ValueError as error:
        raise ValueError(f"{origin.where(*keys)}: {error}") from error


def _with(
    entries: Mapping[str, Any], settings: Sequence[str]
) -> tuple[dict[str, Any], dict[Keys, str]]:
    """Entries with some values set, and which these are."""
    made: dict[str, Any] = _copied(entries)
    given: dict[Keys, str] = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        keys = tuple(name.strip().split("."))
        if not sign or not all(keys):
            raise ValueError(
                "--set must be KEY.KEY=VALUE, such as training.epochs=3. "
                f"Received: {setting!r}"
            )
        try:
            value = read_yaml(text)
        except yaml.YAMLError as error:
            raise ValueError(
                f"--set {name}: the value must be YAML. Received: {text!r}"
            ) from error
        _set(made, keys, value, f"--set {name}")
        given[keys] = setting
    return made, given


def _set(entries: dict[str, Any], keys: Sequence[str], value: Any, who: str) -> None:
    at = entries
    for key in keys[:-1]:
        at[key] = {} if at.get(key) is None else at[key]
        at = at[key]
        if not isinstance(at, dict):
            raise ValueError(
                f"{who}: {key} must have keys of its own. Received: {_short(at)}"
            )
    at[keys[-1]] = value


def _copied(entries: Any) -> Any:
    if isinstance(entries, Mapping):
        return {key: _copied(value) for key, value in entries.items()}
    return entries


def _said(error: ErrorDetails, entries: Any, origin: Origin) -> str:
    """An error of pydantic in the grammar of the house."""
    keys, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        names = [*_fields(keys[:-1])]
        near = difflib.get_close_matches(str(keys[-1]), names, 1)
        hint = f" (nearest: {near[0]})" if near else ""
        section = ".".join(map(str, keys[:-1])) or "the file"
        return (
            f"{origin.where(*keys)}: keys of {section} must be of {', '.join(names)}"
            f"{hint}. Received: {keys[-1]!r}"
        )
    if kind == "missing":
        said = "must be given"
    else:
        keys = _there(keys, entries)
        said = re.sub(r"^(Input|Value|List|Dictionary) should ", "must ", error["msg"])
    if kind in ("model_type", "dict_type"):
        said = "must be a mapping of keys to values"
    name = ".".join(map(str, keys))
    return f"{origin.where(*keys)}: {name} {said}. Received: {_short(error['input'])}"


def _there(keys: Keys, entries: Any) -> Keys:
    """Keys that lead to an entry: pydantic adds which of several types it tried."""
    for place, key in enumerate(keys):
        is_there = isinstance(entries, Mapping) and key in entries
        is_there = is_there or (isinstance(entries, list) and isinstance(key, int))
        if not is_there:
            return keys[:place]
        entries = entries[key]
    return keys


def _fields(keys: Keys) -> dict[str, Any]:
    """The fields of the section that keys lead to, by their keys."""
    section: Any = Config
    for key in keys:
        annotation = _fields_of(section)[str(key)].annotation
        choices = [annotation, *getattr(annotation, "__args__", ())]
        section = next(each for each in choices if hasattr(each, "model_fields"))
    return _fields_of(section)


def _fields_of(section: Any) -> dict[str, Any]:
    fields: Mapping[str, Any] = section.model_fields
    return {each.alias or name: each for name, each in fields.items()}


def _lines(node: yaml.Node | None, keys: Keys = ()) -> Iterator[tuple[Keys, int]]:
    children: list[tuple[str | int, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        children = [(place, each, each) for place, each in enumerate(node.value)]
    for key, at, value in children:
        yield (*keys, key), at.start_mark.line + 1
        yield from _lines(value, (*keys, key))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
