"""A queue whose clock the test moves: the only way in which a time other than the server's ever reaches a script."""

from __future__ import annotations

from functools import cache
from typing import Any

from lokiredis import AsyncQueue, Queue
from lokiredis.commands import Command
from lokiredis.scripts import Script, read

FROM_ARGUMENT = {"lib/clock.lua": "local now = tonumber(table.remove(ARGV))"}
START = 1_800_000_000_000


@cache
def with_clock(name: str) -> Script:
    """The operation's script with a clock that takes the time from its last argument."""
    return read(name, FROM_ARGUMENT)


class Clock:
    """Milliseconds since 1970, moved by hand."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def advance(self, seconds: float) -> int:
        """Move on and return the new time."""
        self.now += round(seconds * 1000)
        return self.now


class ClockedQueue(Queue):
    """A Queue on a Clock. Waiting claims make no sense on it: Redis blocks in real time."""

    def __init__(self, redis_client: Any, name: str, clock: Clock) -> None:
        super().__init__(redis_client, name)
        self.clock = clock

    def _prepare(self, script: Script) -> Script:
        return with_clock(script.name)

    def _argv(self, command: Command[Any]) -> list[Any]:
        return [*super()._argv(command), self.clock.now]


class ClockedAsyncQueue(AsyncQueue):
    """An AsyncQueue on a Clock."""

    def __init__(self, redis_client: Any, name: str, clock: Clock) -> None:
        super().__init__(redis_client, name)
        self.clock = clock

    def _prepare(self, script: Script) -> Script:
        return with_clock(script.name)

    def _argv(self, command: Command[Any]) -> list[Any]:
        return [*super()._argv(command), self.clock.now]
