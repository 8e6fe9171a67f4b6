"""Tells the queue of a worker, for ``lokiredis agents``: who is there and what it works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..queue import Queue

#: An idle worker of which nothing is new announces itself only every so many times: most of what a thousand of them
#: cost their server was that.
_QUIET = 3


@dataclass(frozen=True)
class News:
    """What there is to tell: the ids of running tasks, how many were completed, how many attempts failed."""

    tasks: tuple[str, ...]
    completed: int
    failed: int


class Announcer:
    """``news`` gives what there is to tell at the moment."""

    def __init__(self, agent: str, types: Callable[[], tuple[str, ...]], news: Callable[[], News]) -> None:
        self._agent = agent
        self._types = types
        self._news = news
        self._told: News | None = None
        self._left_out = 0

    def tell(self, queue: Queue, every: float) -> None:
        """Tell it now, if need be; called every so many seconds, and with 0 when the worker leaves."""
        new = self._news()
        quiet = every > 0 and not new.tasks
        if quiet and new == self._told and self._left_out < _QUIET - 1:
            self._left_out += 1
            return
        every = every * _QUIET if quiet else every
        queue.announce(
            self._agent, self._types(), tasks=new.tasks, completed=new.completed, failed=new.failed, every=every
        )
        self._told, self._left_out = new, 0
