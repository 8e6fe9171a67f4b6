"""From the files of ``lua/`` to the text that Redis runs.

Lua 5.1 has no constants, and every local that a function uses from outside is looked up anew, one after the other, each
time a script starts: with 100 locals that took longer than the work itself. So names that never change are put in place
here: constants (names in capitals with a literal), the keys, and the prefix. The sources stay readable; the server gets
``KEYS[7]`` and ``13``. A fixed key that a script does not declare (each costs every call about 0.1 µs) is named from
the prefix. Functions of an included file that a script never calls are left out. Below a line ``-- @calls name`` that
function stands in for ``redis.call`` (lua/lib/trial.lua).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

_INCLUDE = re.compile(r"^( *)-- @include (\S+)$", re.M)
_CALLS = re.compile(r"^-- @calls (\w+)$", re.M)
_LITERAL = r"(?:-?[\d.]+|'[^'\n]*')"
_CONSTANTS = re.compile(rf"^ *local ([A-Z][A-Z0-9_]*(?:, [A-Z][A-Z0-9_]*)*) = ({_LITERAL}(?:, {_LITERAL})*)$", re.M)
_TOKEN = re.compile(
    r"--[^\n]*"  # a comment
    r"|'(?:[^'\\\n]|\\.)*'"  # a string: what looks like a name in it is none
    r"|[A-Za-z_]\w*(?:\s*=(?!=))?"  # a name, or a table's field with its =
    r"|\.\.+|\d[\w.]*|\s+|[^\w\s]"
)
_NAME = re.compile(r"[A-Za-z_]\w*")
#: What makes a name: a function and its arguments, locals, and what a loop counts.
DECLARED = re.compile(
    r"\bfunction\b *(\w*) *\(([^)]*)\)|\blocal (?!function\b)(\w+(?:, *\w+)*)|\bfor (\w+(?:, *\w+)*) *(?:=|in\b)"
)
#: A function at the top of a script, up to its own end: all that is nested is indented.
_FUNCTION = re.compile(r"^local function (\w+)\(.*\n(?:[ \t].*\n)*end\n", re.M)
#: Locals share one stack in a script; its signature is the only thing that the keys' names are needed for.
_KEYS_LINE = re.compile(r"^local [\w,\s]+?\s+=\s+KEYS\[1\](?:,\s+KEYS\[\d+\])*$\n", re.M)


def expand(text: str, folder: Path, replaced: Mapping[str, str], seen: set[str] | None = None) -> str:
    """Each ``-- @include`` line becomes that file, once. An indented one belongs to its block, unseen elsewhere."""
    seen = set() if seen is None else seen

    def included(match: re.Match[str]) -> str:
        path = match[2]
        if path in seen:
            return ""
        here = set(seen) if match[1] else seen
        here.add(path)
        text = expand(replaced.get(path) or (folder / path).read_text(encoding="utf-8"), folder, replaced, here)
        return re.sub(r"^(?=.)", match[1], text, flags=re.M)

    return _through(_INCLUDE.sub(included, text))


def _through(text: str) -> str:
    """*text* with another function in place of redis.call, from the line on that names it."""
    before, *rest = _CALLS.split(text, maxsplit=1)
    return before + rest[1].replace("redis.call(", f"{rest[0]}(") if rest else text


def fold(source: str, keys: tuple[str, ...], undeclared: Iterable[str] = ()) -> str:
    """*source* with constants, keys and the prefix in place of their names, and without comments."""
    values = {name: f"KEYS[{place}]" for place, name in enumerate(keys, 1)} | {"prefix": "ARGV[1]"}
    values |= {name: f"(ARGV[1] .. '{name}')" for name in undeclared}
    for match in DECLARED.finditer(source):
        if taken := values.keys() & set(_NAME.findall(" ".join(filter(None, match.groups())))) - set(keys) - {"prefix"}:
            raise ValueError(f"the name of a key is that of something else, too: {', '.join(taken)}")
    source = _CONSTANTS.sub(lambda match: _remember(match, values), source)
    source = _KEYS_LINE.sub("", source)
    source = re.sub(r"^local prefix = ARGV\[1\]$", "", source, flags=re.M)
    source = re.sub(r"^local prefix,(\s.*?=\s+)ARGV\[1\],", r"local\1", source, count=1, flags=re.M | re.S)
    words, before = [], ""
    for token in _TOKEN.findall(source):
        if token.startswith("--"):
            continue
        words.append(values.get(token, token) if before not in (".", ":") else token)
        before = token if token.strip() else before
    return _without_unused(re.sub(r"\n\s*\n+", "\n", "".join(words)))


def _without_unused(source: str) -> str:
    """*source* without the functions that this script never calls: to make one takes time at every start."""
    while True:
        counts = Counter(_NAME.findall(source))
        unused = {match[1] for match in _FUNCTION.finditer(source) if counts[match[1]] == 1}
        if not unused:
            return source
        source = _FUNCTION.sub(lambda match, unused=unused: "" if match[1] in unused else match[0], source)  # type: ignore[misc]


def _remember(match: re.Match[str], values: dict[str, str]) -> str:
    for name, value in zip(match[1].split(", "), re.findall(_LITERAL, match[2]), strict=True):
        if values.setdefault(name, value) != value:
            raise ValueError(f"two constants {name} meet in one script: {values[name]} and {value}")
    return ""
