"""JSON as the queue stores it, and the idempotency key that follows from it (design rule 12)."""

from __future__ import annotations

import hashlib
import json
import threading
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from json import encoder
from typing import Any

from .errors import InvalidTask

_DEEPEST = 200
_LEAVES = frozenset((str, int, float, bool, type(None)))
_URLSAFE = bytes.maketrans(b"+/", b"-_")


class _Encoder(threading.local):
    """What ``json.dumps`` with these arguments writes, by an encoder in C that each thread makes once.

    ``JSONEncoder.encode`` makes one for each value, in twice the time that a small value takes to write. It looks for
    circles by the values that it is in the middle of, which it leaves behind when it fails: then it is made anew.
    """

    def __init__(self, *, allow_nan: bool, sort_keys: bool) -> None:
        self.whole = json.JSONEncoder(
            ensure_ascii=False, allow_nan=allow_nan, sort_keys=sort_keys, separators=(",", ":")
        )
        self._make()

    def _make(self) -> None:
        whole, in_c = self.whole, getattr(encoder, "c_make_encoder", None)
        text: Any = encoder.encode_basestring
        self._write: Callable[[Any, int], Iterable[str]]
        if in_c is None:  # a Python without it
            self._write = lambda value, level: (whole.encode(value),)
        else:
            self._write = in_c({}, whole.default, text, None, ":", ",", whole.sort_keys, False, whole.allow_nan)

    def __call__(self, value: Any) -> str:
        try:
            return "".join(self._write(value, 0))
        except BaseException:
            self._make()
            raise


_compact = _Encoder(allow_nan=False, sort_keys=False)
_canonical = _Encoder(allow_nan=True, sort_keys=True)


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
                try:
                    "".join(item)
                except TypeError:
                    raise InvalidTask("not JSON: every key is a string", field=field) from None
                below += [inner for inner in item.values() if type(inner) not in _LEAVES]
            elif isinstance(item, (list, tuple)):
                below += [inner for inner in item if type(inner) not in _LEAVES]
        if not below:
            return
        level = below
    if any(isinstance(item, (dict, list, tuple)) for item in level):
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
    return b2a_base64(short, newline=False)[:22].translate(_URLSAFE).decode()
