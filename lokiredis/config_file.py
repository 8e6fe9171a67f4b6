"""``circuit-breakers.yaml`` as documented: read strictly, so that a mistake is named with its line and key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from .config import BreakerSettings
from .errors import InvalidTask
from .models import TYPE_PATTERN

#: A file of settings is short; a larger one is something else.
LARGEST_FILE = 1024 * 1024
_KEYS = {to_camel(name): name for name in BreakerSettings.model_fields}


@dataclass(frozen=True)
class BreakerFile:
    """What the file says. ``defaults`` None: it says nothing about them."""

    defaults: BreakerSettings | None
    overrides: dict[str, BreakerSettings]


def read_breakers(data: bytes, name: str) -> BreakerFile:
    """The settings in *data*, the text of the file *name*.

    Raises InvalidTask with ``file``, ``line`` and ``field``, the path of the key: for what is no YAML, unknown or
    repeated keys, and values of a wrong type or out of their range.
    """
    try:
        return _File(name).read(data)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark is not None else None
        raise _error(f"not YAML: {e.problem or e.context}", name, line) from None
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        raise _error("not YAML", name, None) from None


def _error(message: str, file: str, line: int | None, field: str | None = None) -> InvalidTask:
    place: dict[str, Any] = {"file": file} | ({"line": line} if line is not None else {})
    return InvalidTask(message, field=field, **place)


class _File:
    def __init__(self, name: str) -> None:
        self.name = name
        # Its constructor knows plain values; what stands in the file decides on nothing else.
        self.values = yaml.SafeLoader("")

    def read(self, data: bytes) -> BreakerFile:
        if len(data) > LARGEST_FILE:
            raise _error(f"longer than {LARGEST_FILE:,} bytes: no file of settings", self.name, None)
        node = yaml.compose(data.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        if node is None:
            raise _error("there is nothing in it", self.name, None)
        found: dict[str, yaml.Node] = {}
        for key, line, value in self.pairs(node, ""):
            if key not in ("defaults", "overrides"):
                raise self.wrong("there is no such key here: defaults, overrides", line, key)
            found[key] = value
        defaults = self.breaker(found["defaults"], "defaults") if "defaults" in found else None
        return BreakerFile(defaults, dict(self.overrides(found["overrides"])) if "overrides" in found else {})

    def overrides(self, node: yaml.Node) -> Iterator[tuple[str, BreakerSettings]]:
        if self.is_null(node):
            return
        for type, line, value in self.pairs(node, "overrides"):
            path = f"overrides.{type}"
            if not re.fullmatch(TYPE_PATTERN, type):
                raise self.wrong("not a task type", line, path)
            yield type, self.breaker(value, path)

    def breaker(self, node: yaml.Node, path: str) -> BreakerSettings:
        found: dict[str, Any] = {}
        for key, line, value in self.pairs(node, path):
            if key not in _KEYS:
                raise self.wrong(f"there is no such key here: {', '.join(_KEYS)}", line, f"{path}.{key}")
            if not isinstance(value, yaml.ScalarNode):
                raise self.wrong("a single value", line, f"{path}.{key}")
            try:
                found[_KEYS[key]] = self.values.construct_object(value)
            except ValueError:  # a number of thousands of digits, or a date with a month 13
                raise self.wrong("no such value", line, f"{path}.{key}") from None
            try:
                BreakerSettings.model_validate({_KEYS[key]: found[_KEYS[key]]})
            except ValidationError as e:
                raise self.wrong(e.errors(include_url=False)[0]["msg"], line, f"{path}.{key}") from None
            if found[_KEYS[key]] is None:
                raise self.wrong("a value is missing", line, f"{path}.{key}")
        return BreakerSettings.model_validate(found)

    def pairs(self, node: yaml.Node, path: str) -> Iterator[tuple[str, int, yaml.Node]]:
        """Each key with its line and its value."""
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong("names and values", node.start_mark.line + 1, path or None)
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                raise self.wrong("it stands here twice", line, f"{path}.{name}".lstrip("."))
            seen.add(name)
            yield name, line, value

    def is_null(self, node: yaml.Node) -> bool:
        return isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")

    def wrong(self, message: str, line: int, field: str | None) -> InvalidTask:
        return _error(message, self.name, line, field)
