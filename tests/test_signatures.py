"""Every script against what it declares: keys, arguments, errors, states; and no typo in any line of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

from lokiredis import commands, errors, lua_source, replies, scripts
from lokiredis.errors import LokiRedisError
from lokiredis.keys import Keys
from lokiredis.models import State
from lokiredis.server import read_server

from .clock import with_clock
from .servers import Backend

OPERATIONS = pytest.mark.parametrize("name", scripts.NAMES)

#: What Lua 5.1 in every Redis and in fakeredis has, as far as the scripts may use it.
_GLOBALS = frozenset(
    "redis cjson string table math KEYS ARGV ipairs pairs next tonumber tostring unpack error".split(),
)

#: Design section 3 by places: ready, delayed and blocked are pending; leased is in-progress, dead is dead-letter.
_MOVES = {
    "new": "ready delayed blocked leased completed dead cancelled",
    "ready": "leased cancelled",
    "delayed": "ready cancelled",
    "blocked": "ready delayed cancelled",
    "leased": "ready delayed blocked completed dead cancelled",
    "dead": "ready delayed blocked completed removed",
    "completed": "removed",
    "cancelled": "removed",
}


def _text(name: str) -> str:
    return (scripts.LUA / f"{name}.lua").read_text()


def _words(source: str) -> Iterator[str]:
    """The names in it that stand for themselves: no comments, no strings, no fields."""
    before = ""
    for token in lua_source._TOKEN.findall(source):
        if token.startswith(("--", "'")) or not token.strip():
            continue
        if before not in (".", ":"):
            yield token
        before = token


@OPERATIONS
def test_keys_are_those_that_the_source_uses(name: str) -> None:
    """Each declared key is used; each fixed key that is used is declared, in the order of the key table."""
    script = scripts.load(name)
    assert list(script.keys) == [key for key in Keys.FIXED if key in script.keys]
    used = {int(place) for place in re.findall(r"\bKEYS\[(\d+)\]", script.source)}
    unused = [key for place, key in enumerate(script.keys, 1) if place not in used]
    assert not unused, f"{name} declares {', '.join(unused)} and does not use them"
    assert max(used) <= len(script.keys)


@OPERATIONS
def test_arguments_are_in_order_and_used(name: str) -> None:
    """They count from 1 (the loader refuses others), the prefix comes first, none is there for nothing."""
    script = scripts.load(name)
    assert script.argv[0] == "prefix"
    assert len(set(script.argv)) == len(script.argv)
    used = set(_words(script.source))
    for place, arg in enumerate(script.argv[1:], 2):
        assert arg in used or f"ARGV[{place}]" in script.source, f"{name} does not use {arg}"


@OPERATIONS
def test_script_uses_no_global_but_those_of_redis(name: str) -> None:
    """A forgotten include, or a use before the definition, shows only when that line runs: so read the bytecode."""
    lua = pytest.importorskip("lupa.lua51").LuaRuntime(encoding="latin-1")
    found = [script.source for script in (scripts.load(name), with_clock(name))]
    # The library lacks the line that only Redis understands.
    found += [scripts.load(name).for_server((7, 0)).source.partition("\n")[2]]
    for source in found:
        dump = lua.globals().string.dump(lua.globals().loadstring(source))
        read, written = _globals(dump.encode("latin-1"))
        assert read <= _GLOBALS, f"{name} reads the globals {sorted(read - _GLOBALS)}"
        assert not written, f"{name} sets the globals {sorted(written)}"


@OPERATIONS
def test_script_scans_nothing(name: str) -> None:
    """No command that walks over all keys or over a whole table (design rule 16)."""
    called = set(re.findall(r"redis\.p?call\('(\w+)'", scripts.load(name).source))
    assert not called & {"KEYS", "SCAN", "HSCAN", "SSCAN", "ZSCAN", "SMEMBERS", "SORT", "RANDOMKEY", "FLUSHDB"}
    # An error that is caught leaves the writes before it. INFO writes nothing; where it is denied, rule 6 does without.
    # HSETNX is the first write of enqueue, or the second, and then the first is taken back (lua/lib/enter_alone.lua).
    assert set(re.findall(r"redis\.pcall\('(\w+)'", scripts.load(name).source)) <= {"INFO", "HSETNX"}
    assert scripts.load(name).source.count("redis.pcall") <= 1


@OPERATIONS
def test_errors_are_the_declared_ones(name: str) -> None:
    """Each code that a script can answer is a class in lokiredis.errors, and its header names it."""
    source = scripts.load(name).source
    known = {kind for kind, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, LokiRedisError)}
    possible = set(re.findall(r"refusal\('(\w+)'", source)) | set(re.findall(r"err = '(\w+) ", source))
    if "invalid(" in source:
        possible.add("InvalidTask")
    assert possible <= known
    header = _text(name).split("\nlocal ")[0]
    named = re.search(r"^-- ERRORS  (.*(?:\n--  .*)*)", header, re.M)
    assert named is not None, f"{name} has no ERRORS line"
    declared = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", named[1]))
    assert declared <= possible, f"{name} declares {declared - possible}, which it can't answer"


@OPERATIONS
def test_script_has_the_name_of_its_command(name: str) -> None:
    """One word per operation in every layer (design section 6)."""
    assert _text(name).startswith(f"-- {name}: ")
    # import is a word of Python's own, as list is a name of its own.
    assert hasattr(commands, {"claim": "claim_once", "list": "list_", "import": "import_"}.get(name, name))


def test_moves_are_those_of_the_design() -> None:
    """lua/lib/transition.lua allows what the table of design section 3 allows, and nothing else."""
    source = (scripts.LUA / "lib/transition.lua").read_text()
    found = re.findall(r"from == '(\w+)' then allowed(?:, was_final)? = '([\w ]+)'", source)
    assert {place: set(to.split()) for place, to in found} == {place: set(to.split()) for place, to in _MOVES.items()}


def test_states_are_the_same_in_both_languages() -> None:
    """A place that Lua stores reads as the same documented state in Lua and in Python."""
    lua = pytest.importorskip("lupa.lua51").LuaRuntime()
    source = (scripts.LUA / "lib/transition.lua").read_text()
    public = lua.execute("local STATE = 1\n" + source[source.index("local function public") :] + "\nreturn public")
    for place in _MOVES.keys() - {"new"}:
        assert public(lua.table(place)) == str(replies._PLACES.get(place, State.PENDING))


def test_every_fixed_key_is_used_or_spelled_by_its_state() -> None:
    """A key that no script declares belongs to nobody; the indexes of final states are spelled by transition()."""
    declared = {key for name in scripts.NAMES for key in scripts.load(name).keys}
    assert set(Keys.FIXED) - declared <= {"completed", "dead", "cancelled"}


@pytest.mark.parametrize("functions", [True, False])
def test_every_script_compiles(backend: Backend, functions: bool) -> None:
    """The text that this server gets is loaded by it, under the name that the client calls it by."""
    version = read_server(backend.redis).version
    for name in scripts.NAMES:
        loaded = scripts.load(name).for_server(version, functions=functions)
        if loaded.is_library:
            found: Any = backend.redis.function_load(loaded.source, replace=True)
        else:
            found = backend.redis.script_load(loaded.source)
        assert (found.decode() if isinstance(found, bytes) else found) == loaded.name


class _Bytecode:
    """A reader of what string.dump() gives in Lua 5.1 on a 64-bit machine."""

    def __init__(self, dump: bytes) -> None:
        assert dump[:5] == b"\x1bLua\x51"
        assert dump[6:12] == bytes([1, 4, 8, 4, 8, 0]), "another layout of Lua bytecode"
        self.dump, self.at = dump, 12
        self.read: set[str] = set()
        self.written: set[str] = set()

    def take(self, size: int) -> bytes:
        self.at += size
        return self.dump[self.at - size : self.at]

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self) -> str:
        return self.take(self.number(8))[:-1].decode("latin-1")

    def function(self) -> None:
        self.string()
        self.take(12)  # the lines, and four small numbers
        code = [self.number() for _ in range(self.number())]
        constants: list[str] = []
        for _ in range(self.number()):
            kind = self.number(1)
            constants.append(self.string() if kind == 4 else "")
            self.take({0: 0, 1: 1, 3: 8, 4: 0}[kind])
        for word in code:
            if word & 63 == 5:  # GETGLOBAL
                self.read.add(constants[word >> 14])
            elif word & 63 == 7:  # SETGLOBAL
                self.written.add(constants[word >> 14])
        for _ in range(self.number()):
            self.function()
        self.take(4 * self.number())
        for _ in range(self.number()):
            self.string()
            self.take(8)
        for _ in range(self.number()):
            self.string()


def _globals(dump: bytes) -> tuple[set[str], set[str]]:
    """The globals that a script reads and sets, in any of its functions."""
    reader = _Bytecode(dump)
    reader.function()
    assert reader.at == len(dump)
    return reader.read, reader.written
