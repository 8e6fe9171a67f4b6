"""``.loki/logs/decisions``: what was decided and why, as Markdown that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .folder import QUEUE_LOCK, Folder
from .markdown import line

FOLDER = ("logs", "decisions")


@dataclass(frozen=True)
class Entry:
    """A part of a file. ``key``, of letters, digits and ``. _ - : /``, tells it from all others of that file."""

    key: str
    text: str


def append(root: Folder, name: str, title: str, entries: Iterable[Entry]) -> int:
    """Add *entries* to the file *name* in the decisions folder of *root*; how many were new.

    Each is there once, however often and by however many processes it is appended: all go by the documented lock. An
    entry is written whole or not at all; after a power cut in the middle of it, once more. ``text`` is Markdown: what
    others wrote goes through lokiredis.files.markdown first. Raises OSError and FileRefused.
    """
    with root.locked(QUEUE_LOCK), root.folder(*FOLDER) as decisions:
        present = decisions.read(name) or b""
        # All marks at once: to look for each in a file of thousands took longer than the rest of a snapshot.
        marked = set(_MARK.findall(present))
        new = {entry.key: entry.text for entry in entries if entry.key.encode() not in marked}
        if not new:
            return 0
        parts = [] if present else [f"# {line(title)}\n"]
        parts += [f"\n{text.strip()}\n\n{_mark(key).decode()}\n" for key, text in new.items()]
        decisions.append(name, "".join(parts).encode("utf-8", "backslashreplace"))
        return len(new)


def _mark(key: str) -> bytes:
    # Behind the text: without it the text before it may be a part only.
    return f"<!-- lokiredis {key} -->".encode()


_MARK = re.compile(rb"<!-- lokiredis ([^ ]+) -->")
