"""What people and tools write into the fields that they may set, as the engine takes it."""

from __future__ import annotations

import re

from ..errors import InvalidTask
from ..models import ID_PATTERN, LONGEST_TIMEOUT, MOST_DEPENDENCIES, TYPE_PATTERN, to_ms

#: As people and tools write a priority (docs/import.md).
PRIORITIES = {
    "critical": 10, "urgent": 10, "highest": 10, "high": 8, "medium": 5, "normal": 5, "low": 3, "lowest": 1,
    "background": 1,
}  # fmt: skip


def task_id(value: object) -> str:
    """The id. Raises InvalidTask, as all here, naming the field."""
    if value is None:
        raise InvalidTask("no id", field="id")
    if not isinstance(value, str) or not re.fullmatch(ID_PATTERN, value):
        raise InvalidTask("a letter or digit, then up to 127 of A-Z a-z 0-9 . _ -", field="id")
    return value


def task_type(value: object, default: str | None) -> str:
    """The type; *default* where there is none."""
    if value is None or value == "":
        if default is None:
            raise InvalidTask("no type; --default-type gives it one", field="type")
        return default
    if not isinstance(value, str) or not re.fullmatch(TYPE_PATTERN, value):
        raise InvalidTask("a letter or digit, then up to 63 of A-Z a-z 0-9 . _ -", field="type")
    return value


def priority(value: object) -> int:
    """1 to 10, also as a word or as digits in a text."""
    if value is None:
        return 5
    if isinstance(value, str):
        word = value.strip().lower()
        if word in PRIORITIES:
            return PRIORITIES[word]
        value = int(word) if re.fullmatch(r"[0-9]{1,2}", word) else None
    number = whole(value)
    if number is None or not 1 <= number <= 10:
        raise InvalidTask(f"from 1 to 10, or one of {', '.join(PRIORITIES)}", field="priority")
    return number


def seconds(value: object, field: str, default: float, most: float) -> int:
    """A duration as milliseconds."""
    given = default if value is None else value
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= most:
        raise InvalidTask(f"from 0 to {most:,} seconds", field=field)
    return to_ms(given)


def timeout(value: object) -> int:
    """The longest that one attempt may run, in milliseconds."""
    found = seconds(value, "timeout", 3600, LONGEST_TIMEOUT)
    if found < 1:
        raise InvalidTask("above 0", field="timeout")
    return found


def max_retries(value: object) -> int:
    """How many attempts there are."""
    number = 3 if value is None else whole(value)
    if number is None or not 0 <= number <= 100:
        raise InvalidTask("an integer from 0 to 100", field="maxRetries")
    return number


def dependencies(value: object) -> list[str]:
    """What must be completed before, each once."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(n, str) and re.fullmatch(ID_PATTERN, n) for n in value):
        raise InvalidTask("a list of ids", field="dependencies")
    if len(value) > MOST_DEPENDENCIES:
        raise InvalidTask(f"at most {MOST_DEPENDENCIES:,}", field="dependencies")
    return list(dict.fromkeys(value))


def whole(value: object) -> int | None:
    """An integer, also one that was written as 3.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        return None
    return int(value)
