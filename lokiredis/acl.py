"""The rights of a Redis user for each role in a fleet, as words for ACL SETUSER.

They are read off the scripts, so a command that a script begins to use is not forgotten. Redis checks each command that
a script calls, and stops a script that may not; what that had written until then stays. So who may write at all
gets what every script needs: half a script is worse than one too many. Which script a user calls can't be fenced.
"""

from __future__ import annotations

import re
from typing import Literal, get_args

from .keys import Keys
from .scripts import NAMES, READING, Script, load

Role = Literal["producer", "agent", "operator", "read-only"]
ROLES: tuple[Role, ...] = get_args(Role)

_CALL = re.compile(r"\bredis\.p?call\b(?:\(\s*(?:'(\w+)'|(\w+)))?")

#: What a client sends by itself: to look at the server, to call a script, to name its connection, to find its node.
_EVERY = "ping info select evalsha script|load cluster|slots client|setname".split()
_LISTEN = ["subscribe", "unsubscribe"]
#: The event stream, and its end.
_FOLLOW = ["time", "xrange", "xread", "xrevrange"]
_OF_ROLE: dict[Role, list[str]] = {
    "producer": [],
    "agent": ["bzpopmin", *_LISTEN],
    "operator": [*_LISTEN, *_FOLLOW],
    "read-only": [*_LISTEN, *_FOLLOW],
}
#: A library is everybody's: who may load one could put words of their own into the mouth of every other user.
_LIBRARIES = "function|load function|list function|delete".split()


def rules(role: Role, queue: str | None = None, *, version: tuple[int, ...] = (7, 0)) -> list[str]:
    """What stands after ``ACL SETUSER name on >password`` for a server of this version.

    It takes away what the user had. ``queue``: that one alone, None: all of them.
    """
    own = list(_OF_ROLE[role])
    calls = ["fcall"] if version >= (7, 0) else []
    if version >= (7, 2):
        calls.append("client|setinfo")
    if role == "operator":
        own += _LIBRARIES if version >= (7, 0) else []
    names = READING if role == "read-only" else NAMES
    scripts = sorted({command for name in names for command in commands_of(load(name))})
    allowed = [f"+{command}" for command in dict.fromkeys([*_EVERY, *calls, *own, *scripts])]
    # The reading scripts carry along how to write, and never do.
    last = ["-@write"] if role == "read-only" else []
    if version < (7, 0):
        last.append("+persist")  # with which scripts that read begin there
    prefix = "loki:{*}:" if queue is None else Keys(queue).prefix
    return ["resetkeys", "resetchannels", "-@all", f"~{prefix}*", f"&{prefix}signals", *allowed, *last]


def users(queue: str | None = None, *, version: tuple[int, ...] = (7, 0)) -> str:
    """A file for Redis's ``aclfile``, with a user of each role: ``loki-agent`` …, and PASSWORD in place of theirs."""
    lines = [f"user loki-{role} on >PASSWORD {' '.join(rules(role, queue, version=version))}" for role in ROLES]
    return "\n".join(lines) + "\n"


def commands_of(script: Script) -> set[str]:
    """The Redis commands that a script may call. Raises ValueError for one whose name can't be read off its text."""
    found: set[str] = set()
    for match in _CALL.finditer(script.source):
        literal, variable = match.groups()
        if literal:
            found.add(literal.lower())
        else:
            found |= _given(script, variable, match.start())
    return found


def _given(script: Script, variable: str | None, place: int) -> set[str]:
    """The names that a function is called with which passes the first of its own arguments on to Redis."""
    functions = list(re.finditer(r"\bfunction (\w+)\((\w+)", script.source[:place]))
    if variable is None or not functions or functions[-1][2] != variable:
        raise ValueError(f"{script.name}: a call of Redis without the command's name: {script.source[place:][:60]!r}")
    name = functions[-1][1]
    calls = re.findall(rf"(?<!function )\b{name}\b(?:\(\s*'(\w+)')?", script.source)
    if not all(calls):
        raise ValueError(f"{script.name}: {name} is used without the name of a command")
    return {command.lower() for command in calls}
