"""A task as the text that stands for it in the files, and what a page may do with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from json.encoder import encode_basestring as quoted
from typing import Any

from pydantic.alias_generators import to_camel

from ..models import Task, iso, shown_value
from ..replies import Fields
from .spool import SEPARATOR

_encode = json.JSONEncoder(ensure_ascii=False).encode


def as_bytes(value: Any) -> bytes:
    """JSON in one line. An unpaired surrogate, which is no UTF-8, as JSON's own escape."""
    return _encode(value).encode("utf-8", "backslashreplace")


class TaskText:
    """Makes the text of a task: the documented fields, the added ones, the user's own.

    *extras*: and ``title``, ``description``, ``created_at`` and ``status`` where it has none of its own.
    """

    def __init__(self, *, extras: bool) -> None:
        self._extras = extras

    def __call__(self, task: Fields) -> bytes:
        """One line of JSON. No ``<``, ``>`` or ``&`` is outside of a string in it, so they may be escaped later."""
        values, own = task.values, task.document
        # Field by field: a dict for the encoder, and its walk through that, took more than half of a snapshot's time.
        if own.keys() & _NAMES:
            parts = [_member(name, value) for name, value in task.to_json().items()]
        else:
            parts = [label + _encoded(values[field]) for field, label in _LABELS]
            parts += [_member(name, value) for name, value in own.items()]
        if self._extras:
            parts += [_member(name, value) for name, value in _added(task) if name not in own]
        return f"{{{', '.join(parts)}}}".encode("utf-8", "backslashreplace")


_LABELS = [(name, f'"{to_camel(name)}": ') for name in Task.model_fields]
_NAMES = frozenset(to_camel(name) for name in Task.model_fields)


def _member(name: str, value: Any) -> str:
    return f"{quoted(name)}: {_encoded(value)}"


def _encoded(value: Any) -> str:
    """As JSON. Nearly all values are of the first kinds."""
    if value is None:
        return "null"
    kind = type(value)
    if kind is str:
        return quoted(value)
    if kind is int:
        return str(value)
    if kind is datetime:
        return f'"{iso(value)}"'
    if not value and kind in (tuple, frozenset):
        return "[]"
    return _encode(shown_value(value))


def _added(task: Fields) -> tuple[tuple[str, Any], ...]:
    payload = task.values["payload"]
    if not isinstance(payload, dict):
        payload = {}
    title, description, goal, action, target = (
        said if isinstance(said := payload.get(name), str) else None for name in _TELLING
    )
    what = " ".join(said for said in (action, target) if said is not None)
    return (
        ("title", title or what or goal or task.values["id"]),
        ("description", description or goal or what),
        ("created_at", task.values["created_at"]),
        ("status", task.state.value),
    )


#: Of a payload.
_TELLING = ("title", "description", "goal", "action", "target")


class Escape:
    """What ``<``, ``>`` and ``&`` become: in JSON the same characters in another spelling, or HTML's entities.

    The first way a file that is put into a page whole is no markup, and means the same. With *html* a value that is
    put into a page is none either, but it is another value.
    """

    def __init__(self, *, html: bool) -> None:
        self.html = html
        self._words = [(b"&", b"&amp;"), (b"<", b"&lt;"), (b">", b"&gt;")]
        if not html:
            self._words = [(b"&", b"\\u0026"), (b"<", b"\\u003c"), (b">", b"\\u003e")]

    def __call__(self, json_text: bytes) -> bytes:
        """Escaped. It may be any part of a JSON text."""
        for character, word in self._words:
            json_text = json_text.replace(character, word)
        return json_text

    def plain(self, text: str) -> str:
        """Text that is no JSON."""
        if not self.html:
            return text
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def listed(begin: bytes, chunks: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """A JSON list of what is in the chunks, each with a separator at its end."""
    last = b""
    for chunk in chunks:
        yield last or begin + b"\n"
        last = chunk
    if last:
        yield last[: -len(SEPARATOR)] + b"\n" + end
    else:
        yield begin + end
