"""What a command is, and how one is built for a script."""

from __future__ import annotations

import json
import math
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from socket import gethostname
from typing import Any, Generic, Protocol, TypeVar

from .. import arguments
from ..canonical import digest
from ..keys import Keys
from ..scripts import Script, load

T = TypeVar("T")


class ClaimLike(Protocol):
    """What an ending needs of a claim."""

    @property
    def id(self) -> str: ...
    @property
    def token(self) -> int: ...


@dataclass(frozen=True)
class Command(Generic[T]):
    """One call of one script. Sending it twice has the effect of sending it once (design rule 9)."""

    script: Script
    keys: Sequence[str]
    argv: Sequence[Any]
    parse: Callable[[Any], T]
    #: What is to follow when its caller gives up: it hands back the claims of this call's answer, or tells the rest of
    #: what the caller had to tell. None when there is nothing.
    undo: Callable[[T], Command[Any] | None] | None = None
    #: For how many seconds it is repeated while Redis is away, at most; the client's ``retry_for`` may be less.
    patience: float = math.inf


def build(
    name: str,
    keys: Keys,
    parse: Callable[[Any], T],
    rest: Iterable[Any] = (),
    *,
    undo: Callable[[T], Command[Any] | None] | None = None,
    **named: Any,
) -> Command[T]:
    """The command of the script *name*: *named* are the arguments of its signature, *rest* what follows them."""
    script = load(name)
    argv = [keys.prefix if arg == "prefix" else named.pop(arg) for arg in script.argv]
    if named:
        raise TypeError(f"{name} has no argument {', '.join(named)}")
    argv.extend(rest)
    return Command(script, _key_names(keys, script), argv, parse, undo)


@cache
def _key_names(keys: Keys, script: Script) -> tuple[str, ...]:
    return tuple(keys.fixed(name) for name in script.keys)


def new_request() -> str:
    """A fresh request id: what a repeated call is recognised by."""
    return secrets.token_urlsafe(9)


def scoped_request(request: str | None, operation: str = "", *targets: str) -> str:
    """A request id; one that the caller chose counts for this operation and these targets alone.

    Else a second agent that chose the same id would get the first one's claim, and a second task would be "discarded"
    without a change. The targets are hashed: a hundred types would make a long key, and an id may hold any character.
    """
    if request is None:
        return new_request()
    scope = [operation] if operation else []
    if targets:
        scope.append(digest(json.dumps(targets)))
    return ":".join([*scope, arguments.request(request)])


@cache
def host_name() -> str:
    """This machine's name, as far as it goes into the ledger of attempts."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", gethostname())[:128]
