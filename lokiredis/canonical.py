"""JSON as the queue stores it, and the idempotency key that follows from it (design rule 12)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import InvalidTask

_DEEPEST = 200
# Made once: json.dumps() with arguments makes one for each call.
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def dumps(value: Any, field: str) -> bytes:
    """*value* as compact JSON. Raises InvalidTask, naming *field*, for what JSON can't hold or nobody could read."""
    try:
        written = _compact(value)
    except (TypeError, ValueError, RecursionError) as e:
        raise InvalidTask(f"not JSON: {_reason(e)}", field=field) from None
    check(value, field)
    try:
        return written.encode()
    except UnicodeEncodeError:
        raise InvalidTask("not JSON: a lone surrogate", field=field) from None


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def check(value: Any, field: str) -> None:
    """Refuse what ``json.dumps`` changes without a word (keys that aren't strings) and nesting that nobody can read."""
    level = [value]
    for _ in range(_DEEPEST):
        below: list[Any] = []
        for item in level:
            # A dict, not any Mapping: json.dumps takes no other, and asking for the abstract class took half the time.
            if isinstance(item, dict):
                for key, inner in item.items():
                    if not isinstance(key, str):
                        raise InvalidTask("not JSON: every key is a string", field=field)
                    if isinstance(inner, (dict, list, tuple)):
                        below.append(inner)
            elif isinstance(item, (list, tuple)):
                below.extend(inner for inner in item if isinstance(inner, (dict, list, tuple)))
        if not below:
            return
        level = below
    raise InvalidTask(f"not JSON: nested deeper than {_DEEPEST}", field=field)


def default_key(type: str, payload: Any, dependencies: Sequence[str], unknown: Mapping[str, Any]) -> str:
    """The key of a task that names none: SHA-256 over its type, payload, dependencies and unknown fields."""
    content = {"type": type, "payload": payload, "dependencies": list(dependencies), **unknown}
    return hashlib.sha256(_canonical(content).encode("utf-8", "surrogatepass")).hexdigest()


def digest(key: str) -> str:
    """The short form under which Redis keeps a key: 128 bits, 22 characters. ``""`` stays ``""``: no deduplication."""
    if not key:
        return ""
    short = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:16]
    return base64.urlsafe_b64encode(short).decode().rstrip("=")
