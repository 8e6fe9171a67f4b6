"""Load ``lua/*.lua``. The two ``local … = KEYS/ARGV`` statements of a script are its signature."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .keys import Keys
from .lua_library import library
from .lua_source import expand, fold

_PACKAGED = Path(__file__).parent / "lua"
#: An editable install does not see the files that the wheel carries along, so the sources come second.
LUA = _PACKAGED if _PACKAGED.is_dir() else _PACKAGED.parent.parent / "lua"

_NONE: Mapping[str, str] = {}

#: The operations: one script each.
NAMES = tuple(sorted(path.stem for path in LUA.glob("*.lua")))

#: Only these are refused when memory is full; everything else drains the queue (design rule 18).
GROWING = frozenset({"enqueue", "import", "import_breakers"})

#: These change nothing.
READING = frozenset(
    "agents dead_groups decisions explain explain_agent get graph list settings snapshot stats waits".split()
)


@dataclass(frozen=True)
class Script:
    """One operation: its source, and the names of its keys and arguments in order."""

    name: str
    source: str
    keys: tuple[str, ...]
    argv: tuple[str, ...]

    def for_server(self, version: tuple[int, ...] | None, *, functions: bool = True) -> Loaded:
        """The script as this server must get it. None: a server without versions of its own (fakeredis).

        ``functions`` False: one that is new enough for a library, but whose ACL allows none.
        """
        return _for_server(self, (version or (0,)) >= (7,), functions, version is not None and version < (7,))


@dataclass(frozen=True)
class Loaded:
    """A script's text for one kind of server, and what it is called by: its function's name, or its SHA-1."""

    source: str
    name: str
    is_library: bool


@cache
def _for_server(script: Script, new: bool, functions: bool, old: bool) -> Loaded:
    source = script.source
    if new and functions:
        return Loaded(*library(script.name, source, script.keys, allow_oom=script.name not in GROWING), is_library=True)
    if new:
        source = ("#!lua\n" if script.name in GROWING else "#!lua flags=allow-oom\n") + source
    elif old and script.name in READING:
        # A replica must refuse them too: what it knows may be old. This is a write that changes nothing.
        source = "redis.call('PERSIST', KEYS[1])\n" + source
    elif old and script.name not in GROWING:
        # Redis 6.2 refuses a script only when its first write needs memory: so the first one needs none.
        source = "redis.call('HDEL', KEYS[1], '')\n" + source
    return Loaded(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), is_library=False)


@cache
def load(name: str) -> Script:
    """The script of an operation, with its includes in place."""
    return read(name, _NONE)


def read(name: str, replaced: Mapping[str, str]) -> Script:
    """As :func:`load`, with other texts for some included files (tests put their own clock there)."""
    text = (LUA / f"{name}.lua").read_text(encoding="utf-8")
    keys = _names(text, "KEYS")
    undeclared = [key for key in Keys.FIXED if key not in keys]
    return Script(name, fold(expand(text, LUA, replaced), keys, undeclared), keys, _names(text, "ARGV"))


def _names(source: str, table: str) -> tuple[str, ...]:
    match = re.search(rf"^local ([\w,\s]+?)\s+=\s+((?:{table}\[\d+\](?:,\s+)?)+)$", source, re.M)
    if match is None:
        return ()
    names = tuple(re.split(r",\s+", match[1]))
    numbers = [int(n) for n in re.findall(r"\d+", match[2])]
    if numbers != list(range(1, len(names) + 1)):
        raise ValueError(f"{table} out of order in a script: {match[0]}")
    return names
