"""``state/orchestrator.json``: the circuit breakers in it are the queue's, all else is somebody else's."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from ..models import Breaker, iso

_KEY = "circuitBreakers"
_BLANKS = " \t\n\r"
#: What some editors write before the text.
_BOM = "\ufeff"


def breakers_json(found: dict[str, tuple[Breaker, datetime | None]], *, extras: bool) -> dict[str, Any]:
    """The documented schema; *extras*: with ``cooldownUntil`` and ``halfOpenAttempts``."""
    shown: dict[str, Any] = {}
    for type, (breaker, due) in sorted(found.items()):
        shown[type] = breaker.to_json()
        if extras:
            shown[type]["cooldownUntil"] = due and iso(due)
            shown[type]["halfOpenAttempts"] = int(breaker.state == "half-open")
    return shown


def new(version: str, started: datetime, completed: int, failed: int, breakers: dict[str, Any]) -> str:
    """The text of a file that was not there."""
    skeleton = {
        "version": version,
        "currentPhase": "BOOTSTRAP",
        "startedAt": iso(started),
        "agents": {},
        "metrics": {"tasksCompleted": completed, "tasksFailed": failed},
        _KEY: breakers,
    }
    return json.dumps(skeleton, indent=2, ensure_ascii=False) + "\n"


def merged(present: str, breakers: dict[str, Any]) -> str:
    """*present* with these breakers, and not a character of the rest changed. Raises ValueError for no JSON object."""
    mark = _BOM if present.startswith(_BOM) else ""
    return mark + _merged(present.removeprefix(mark), breakers)


def _merged(present: str, breakers: dict[str, Any]) -> str:
    value = json.loads(present)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    if value.get(_KEY) == breakers:
        return present
    written = json.dumps(breakers, indent=2, ensure_ascii=False).replace("\n", "\n  ")
    span = _span(present)
    if span is not None:
        return present[: span[0]] + written + present[span[1] :]
    end = present.rindex("}")
    before = present[:end].rstrip(_BLANKS)
    return f'{before}{"," if value else ""}\n  "{_KEY}": {written}\n}}{present[end + 1 :]}'


def _span(text: str) -> tuple[int, int] | None:
    """Where the value of the breakers begins and ends. Of several the last one counts, as for every reader."""
    decode = json.JSONDecoder().raw_decode
    at, found = _next(text, text.index("{") + 1), None
    while text[at] != "}":
        key, at = decode(text, at)
        begin = _next(text, _next(text, at) + 1)
        _, at = decode(text, begin)
        if key == _KEY:
            found = begin, at
        at = _next(text, at)
        if text[at] == ",":
            at = _next(text, at + 1)
    return found


def _next(text: str, at: int) -> int:
    """The first place from *at* on that is no blank."""
    while text[at] in _BLANKS:
        at += 1
    return at


def phase(present: bytes | None) -> str:
    """The phase that the orchestrator is in, as far as the file tells."""
    try:
        found = json.loads(present or b"{}").get("currentPhase")
    except (ValueError, AttributeError, RecursionError):
        return "UNKNOWN"
    return found if isinstance(found, str) and found else "BOOTSTRAP" if present is None else "UNKNOWN"
