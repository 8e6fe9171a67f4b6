"""Tells the queue of a worker, for ``lokiredis agents``: who is there and what it works on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from .. import commands
from ..commands import Command
from ..queue import AsyncQueue, Queue
from ..steps import LONGEST_BLOCK
from .outage import PATIENCE

#: In seconds, for a worker with a longer lease: who is silent for a day is forgotten.
_LONGEST = 3600.0


@dataclass(frozen=True)
class News:
    """What there is to tell: the ids of running tasks, how many were completed, how many attempts failed.

    ``asks``: whether the worker waits for work, and asks for it every 30 s.
    """

    tasks: tuple[str, ...]
    completed: int
    failed: int
    asks: bool = field(compare=False)

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and it will speak as it asks for work."""
        return self.asks and not self.tasks


class Announcer:
    """``news`` gives what there is to tell at the moment; ``lease`` in seconds.

    The thread of the heartbeats tells what is new, and of running tasks each time, for a handler may block the event
    loop. An idle worker repeats its word as it asks for work, over the same connection and more seldom: a thousand of
    them shall cost the server little.
    """

    def __init__(
        self,
        queue: AsyncQueue,
        agent: str,
        types: Callable[[], tuple[str, ...]],
        news: Callable[[], News],
        lease: float,
    ) -> None:
        self._queue = queue
        self._agent = agent
        self._types = types
        self._news = news
        self._often = lease / 3
        #: It is taken for lost when it was silent for three times as long as it said. It speaks after two at most: it
        #: asks, and so can speak, every 30 s.
        self._seldom = min(max(lease, LONGEST_BLOCK), _LONGEST)
        self._told: News | None = None
        self._told_at = 0.0

    def tell(self, queue: Queue, leaving: bool = False) -> None:
        """By the thread, each third of a lease: tell it, if need be. Raises what the call raises."""
        new = self._news()
        if new == self._told and new.idle and not leaving:
            return
        queue.run(self._announce(new, 0 if leaving else self._often if new.tasks else self._seldom))
        self._heard(new)

    def again(self) -> tuple[Command[int], Callable[[], None]] | None:
        """As it asks for work: what an idle worker is to send now, if anything, and what to call when it was heard."""
        new = self._news()
        due = time.monotonic() - self._told_at > 2 * self._seldom - LONGEST_BLOCK
        # A server that was away since, however short, may have come back without it.
        due = due or self._queue._failed_at > self._told_at
        if new != self._told or not new.idle or not due:
            return None
        return replace(self._announce(new, self._seldom), patience=PATIENCE), partial(self._heard, new)

    def _announce(self, new: News, every: float) -> Command[int]:
        return commands.announce(
            self._queue.keys,
            self._agent,
            self._types(),
            tasks=new.tasks,
            completed=new.completed,
            failed=new.failed,
            every=every,
        )

    def _heard(self, new: News) -> None:
        self._told, self._told_at = new, time.monotonic()
