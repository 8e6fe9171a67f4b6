"""Values that others wrote, as Markdown: they are shown, and never take part in the text around them."""

from __future__ import annotations

import html
import json
import re
from typing import Any

#: Controls but for newline and tab, marks that turn the writing direction, line separators, unpaired surrogates.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PUNCTUATION = re.compile(r"([\\`*_\[\]|~#!$])")
#: What makes a list, a heading or a rule of a line that begins with it.
_BEGIN = re.compile(r"^([-+=:]|\d+[.)])")


def line(text: object) -> str:
    """*text* in one line: HTML as entities, Markdown's signs escaped, control characters as ``\\xNN``."""
    return " ".join(_line(part) for part in visible(text).split("\n"))


def paragraph(text: str, indent: str = "") -> str:
    """*text* with its own line breaks and indentation."""
    lines = [_line(part) for part in visible(text).strip("\n").split("\n")]
    # Two blanks break a line; a line of none would end the paragraph, and the list that it stands in.
    return f"  \n{indent}".join(part or "&nbsp;" for part in lines)


def block(value: Any, indent: str = "") -> str:
    """Any JSON value: text as paragraphs, the rest as nested lists."""
    if isinstance(value, str):
        return indent + paragraph(value, indent)
    if isinstance(value, dict) and value:
        return "\n".join(_item(f"**{line(name)}**: ", inner, indent) for name, inner in value.items())
    if isinstance(value, list) and value:
        return "\n".join(_item("", inner, indent) for inner in value)
    return indent + line(json.dumps(value))


def _item(begin: str, value: Any, indent: str) -> str:
    if isinstance(value, (dict, list)) and value:
        return f"{indent}- {begin}".rstrip() + f"\n{block(value, indent + '  ')}"
    text = value if isinstance(value, str) else json.dumps(value)
    return f"{indent}- {begin}{paragraph(text, indent + '  ')}"


def visible(text: object) -> str:
    """*text* with every character escaped that could move a cursor or hide text, but for newlines and tabs."""
    return _UNSAFE.sub(_escape, str(text).replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def _line(text: str) -> str:
    body = text.lstrip(" \t")
    # Four blanks would make code of it.
    blanks = text[: len(text) - len(body)].replace("\t", "    ")
    shown = _PUNCTUATION.sub(r"\\\1", html.escape(body, quote=False))
    return "&nbsp;" * len(blanks) + _BEGIN.sub(_quoted, shown.rstrip())


def _quoted(found: re.Match[str]) -> str:
    return f"{found[1][:-1]}\\{found[1][-1]}"
