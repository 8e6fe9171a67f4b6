"""User text, times and durations as they are printed."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

#: Controls (C0, DEL, C1), marks that turn the writing direction, line separators, unpaired surrogates.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_LINE = re.compile(f"[{_UNSAFE}]")
_LINES = re.compile(f"(?![\n\t])[{_UNSAFE}]")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(text: object, *, lines: bool = False) -> str:
    """*text* with every character escaped that could move the cursor or hide text. *lines* keeps newlines and tabs."""
    return (_LINES if lines else _LINE).sub(_escape, str(text))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _NAMED.get(found[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def pretty(value: Any) -> str:
    """JSON over several lines, safe to print."""
    return safe(json.dumps(value, indent=2, ensure_ascii=False), lines=True)


def clock(when: datetime | None) -> str:
    """``2026-11-22 10:00:00Z``, or a dash."""
    return "–" if when is None else when.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def iso(when: datetime | None) -> str | None:
    """A time as the JSON documents hold it."""
    if when is None:
        return None
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """A duration in the form that the options take: ``1h30m``, ``45s``, ``0.5s``."""
    if seconds < 10 and seconds != int(seconds):
        return f"{seconds:.3g}s"
    rest = round(seconds)
    words = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words[:2]) or "0s"


def plural(count: int, word: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
