"""From the text of a script to a function library, which Redis 7 and newer keep compiled.

A script makes its functions and tables anew at every call, which took about a sixth of the server's time. In a library
that is done once. A script's text is taken apart for it:

- functions at the top, and constants (names in capitals), are made when the library is loaded;
- locals at the top that such a function uses stand beside them, and are set anew at every call;
- the names of the keys that it does not declare are put together once for each queue;
- all else becomes the body of the one function that is called.
"""

from __future__ import annotations

import hashlib
import re

from .lua_source import DECLARED

_CONTINUES = re.compile(r"[\s)}\]]|(?:end|else|elseif|until)\b")
_FUNCTION = re.compile(r"local function (\w+)")
_LOCALS = re.compile(r"local (\w+(?:, \w+)*)(?:\s*=\s*(.*))?", re.S)
#: A first value that depends on nothing; a table may name fields to have room for.
_PLAIN = re.compile(r"(?:(?:\{\}|nil|true|false|-?[\d.]+|'[^'\n]*')(?:, )?)+|\{(?:\w+ = nil(?:, )?)+\}")
_NAME = re.compile(r"[A-Za-z_]\w*")
_STRING = re.compile(r"'(?:[^'\\\n]|\\.)*'")
#: A fixed key that the script does not declare, as :func:`lua_source.fold` names it.
_UNDECLARED = re.compile(r"\(ARGV\[1\] \.\. '(\w+)'\)")
#: The names of a queue's keys, the declared ones by their places: to put them together took longer than to look them
#: up. A thousand queues are remembered. They stand in KEYS: a function may use 60 locals from outside, no more. They
#: follow from the prefix alone: one call with wrong KEYS, were they remembered, would spoil the queue for all others.
_MAKE_NAMES = """\
local NAMES_OF, NAMES_COUNT = {{}}, 0
local function keys_of(prefix)
  local names = {{{fields}}}
  if NAMES_COUNT >= 1000 then NAMES_OF, NAMES_COUNT = {{}}, 0 end
  if #prefix <= 128 then NAMES_OF[prefix], NAMES_COUNT = names, NAMES_COUNT + 1 end
  return names
end"""
#: What a call with one task leaves in a table is taken out, and its room used again: Lua's collector has less to do,
#: and the table need not grow. A large one is thrown away: the next call may need little of it, and would search it.
_EMPTY = """\
local function emptied(used)
  for _ = 1, 12 do
    used[next(used)] = nil
    if next(used) == nil then return used end
  end
end"""
_USED = re.compile(r"[{}]|(?<![.:\w])[A-Za-z_]\w*(?:\s*=(?!=))?")


def library(name: str, source: str, keys: tuple[str, ...], *, allow_oom: bool) -> tuple[str, str]:
    """The library of the script *name* and its function's name, which tells one text from another."""
    source, named = _named(source)
    fields = [*(f"prefix .. '{key}'" for key in keys), *(f"{key} = prefix .. '{key}'" for key in named)]
    functions: list[str] = []
    beside: list[str] = []
    plain: list[str] = []
    body: list[str] = []
    statements = _statements(source)
    used = {word for text in statements if _FUNCTION.match(text) for word in _free(text)}
    for text in statements:
        locals_ = _LOCALS.fullmatch(text)
        if _FUNCTION.match(text):
            functions.append(text)
            continue
        names = locals_[1].split(", ") if locals_ else []
        if names and all(word.isupper() for word in names):
            functions.append(text)
            continue
        shared = [word for word in names if word in used]
        if locals_ is None or not shared:
            body.append(text)
            continue
        if again := set(shared) & set(beside):
            raise ValueError(f"{name}: two locals {', '.join(again)} at the top, and a function uses one of them")
        beside += shared
        own = [word for word in names if word not in used]
        if own:
            body.append(f"local {', '.join(own)}")
        values = locals_[2] or ", ".join(["nil"] * len(names))
        if own or not _PLAIN.fullmatch(values):
            body.append(f"{', '.join(names)} = {values}")
        else:
            firsts = values.split(", ") if len(names) > 1 else [values]
            plain += [_first(name, value) for name, value in zip(names, firsts, strict=True)]
    text = "\n".join(
        [
            "local KEYS, ARGV",
            *_MAKE_NAMES.format(fields=", ".join(fields)).splitlines(),
            *(f"local {word}" for word in beside),
            *_EMPTY.splitlines(),
            *functions,
            "local function begin(argv)",
            "KEYS, ARGV = NAMES_OF[argv[1]] or keys_of(argv[1]), argv",
            *plain,
            "end",
            "local function run()",
            *body,
            "end",
        ]
    )
    called = f"lokiredis_{name}_{hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:12]}"
    flags = "{'allow-oom'}" if allow_oom else "{}"
    callback = "function(_, argv) begin(argv) return run() end"
    registered = f"redis.register_function{{function_name = '{called}', callback = {callback}, flags = {flags}}}"
    return f"#!lua name={called}\n{text}\n{registered}\n", called


def _named(source: str) -> tuple[str, list[str]]:
    """*source* with its undeclared keys by their names in KEYS, and those names."""
    named = sorted(set(_UNDECLARED.findall(source)))
    return _UNDECLARED.sub(r"KEYS.\1", source), named


def _first(name: str, value: str) -> str:
    """A table of the last call is as good as a new one, once it is empty; most of them are never used."""
    if not value.startswith("{"):
        return f"{name} = {value}"
    return (
        f"if not {name} then {name} = {value} elseif next({name}) ~= nil then {name} = emptied({name}) or {value} end"
    )


def _statements(source: str) -> list[str]:
    """The statements at the top: each begins at the left margin, and what belongs to it is indented or closes it."""
    found: list[str] = []
    for line in source.splitlines():
        if found and (not line or _CONTINUES.match(line)):
            found[-1] += "\n" + line
        elif line:
            found.append(line)
    return [text.rstrip() for text in found]


def _free(function: str) -> set[str]:
    """The names that a function uses without declaring them anywhere in it; a few too many do no harm."""
    text = _STRING.sub("''", function)
    declared = {
        word for match in DECLARED.finditer(text) for word in _NAME.findall(" ".join(filter(None, match.groups())))
    }
    used, braces = set(), 0
    for token in _USED.findall(text):
        braces += (token == "{") - (token == "}")
        # In braces a name with = is the name of a field.
        if not (braces and token.endswith("=")):
            used.update(_NAME.findall(token))
    return used - declared
