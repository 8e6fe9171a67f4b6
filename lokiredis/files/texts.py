"""A task as the text that stands for it in the files, and what a page may do with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

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
        shown = task.to_json()
        if self._extras:
            for name, value in _added(task, shown).items():
                shown.setdefault(name, value)
        return as_bytes(shown)


def _added(task: Fields, shown: dict[str, Any]) -> dict[str, str]:
    payload = shown["payload"] if isinstance(shown["payload"], dict) else {}
    said = {name: payload[name] for name in _TELLING if isinstance(payload.get(name), str)}
    what = " ".join(said[name] for name in ("action", "target") if name in said)
    return {
        "title": said.get("title") or what or said.get("goal") or shown["id"],
        "description": said.get("description") or said.get("goal") or what,
        "created_at": shown["createdAt"],
        "status": task.state.value,
    }


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
