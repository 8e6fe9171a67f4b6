"""After an outage a worker renews what it holds before it claims.

A claim makes the queue charge what has run out by then (design rule 6): the worker's own work, of all things, where its
claim comes before its heartbeats.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from .. import commands
from ..errors import LokiRedisError, QueueUnavailable
from ..queue import AsyncQueue
from .job import Job
from .leases import AT_ONCE, hear
from .outage import Backoff, Outage
from .runs import Runs

log = logging.getLogger("lokiredis.worker")


class Doubt:
    """``refused`` is told of an error that is none of the queue's."""

    def __init__(self, queue: AsyncQueue, runs: Runs, outage: Outage, refused: Callable[[Exception], None]) -> None:
        self._queue = queue
        self._runs = runs
        self._outage = outage
        self._refused = refused
        #: The last failed call after which all that we hold has been renewed, or is known to be lost.
        self._sure_of = 0.0
        #: The calls that renew, while there is a doubt.
        self.renewing: asyncio.Task[None] | None = None
        #: time.monotonic() when one of them was sent that is under way.
        self.sent: float | None = None

    def __call__(self) -> bool:
        """Whether the queue has yet to answer for something since the last failed call. If so, it is being asked."""
        failed = self._outage.failed
        if failed != self._sure_of and not self._unheard(failed):
            self._sure_of = failed
        if failed == self._sure_of:
            return False
        if self.renewing is None:
            self.renewing = asyncio.ensure_future(self._renew())
        return True

    def _unheard(self, since: float) -> list[Job]:
        """What the queue has said nothing of since then (time.monotonic()), as many as go in a call."""
        return [job for job in self._runs.jobs.values() if job.heard < since][:AT_ONCE]

    async def _renew(self) -> None:
        """Until the queue has answered for all of them. The thread that renews may be the one that can't reach it."""
        backoff = Backoff()
        try:
            while jobs := self._unheard(failed := self._outage.failed):
                self.sent = asked = time.monotonic()
                try:
                    command = commands.heartbeat_many(self._queue.keys, [job.claim for job in jobs])
                    answers = await self._queue.run(command)
                except QueueUnavailable as e:
                    self._outage.begins(e)
                    await asyncio.sleep(backoff.next())
                    continue
                hear(jobs, answers, asked, self._runs.stop)
        except LokiRedisError as e:
            log.warning("the claims can't be renewed: %s", e)
            self._sure_of = failed  # claiming goes on
        except Exception as e:
            self._refused(e)
        finally:
            self.renewing = self.sent = None
