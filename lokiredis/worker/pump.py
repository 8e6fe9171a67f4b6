"""Sends endings as they come and fills the free slots, both in one call, until the worker stops.

Four calls may be under way at a time, of a quarter of the slots each: handlers run while the server works on the next,
and neither stands still while the other one waits for a core.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from .. import commands
from ..commands import Command
from ..errors import DecisionReportMissing, InvalidTask, LokiRedisError, QueueUnavailable
from ..models import Claim, Exchange, Failed, Finished, Released
from ..queue import AsyncQueue
from ..steps import Word
from .doubt import Doubt
from .job import Job, Stop
from .outage import DOUBT, PATIENCE, Backoff, Outage, Watch
from .outcomes import Ending
from .runs import Runs

log = logging.getLogger("lokiredis.worker")

#: How long one claim waits on the server before the worker looks around, in seconds. As short as the claim's own
#: rounds of half a minute it would make three calls of each: as the round ends, as the wait ends, and to begin anew.
_WAIT = 600.0
#: How many calls may be under way, and what one of them is for at least, in endings or claims, if there are so many.
_CALLS, _LEAST = 4, 8
#: How long a claim that is to end waits for the renewal of what is held, in seconds.
_RENEWAL = 1.0
#: When it stops: how long it waits for handlers that do not end, or tries to tell Redis of its tasks, in seconds.
LAST_WORDS = 5.0


@dataclass(eq=False)
class _Call:
    """One exchange until it is answered. Sent again it is the same call: what it claimed is in the answer then."""

    endings: list[tuple[Job, Ending]]
    limit: int
    asked: float
    command: Command[Exchange] | None = None
    #: Whether it was not answered at first.
    late: bool = False
    #: time.monotonic() when it was sent and not yet answered.
    sent: float | None = None


class Pump:
    """Begins runs, and tells the queue how they ended. ``grace``: seconds for what runs when it stops.

    ``word``: what is to be said as it asks for work.
    """

    def __init__(
        self,
        queue: AsyncQueue,
        runs: Runs,
        outage: Outage,
        *,
        agent: str,
        types: Collection[str],
        concurrency: int,
        lease: float,
        grace: float,
        word: Callable[[], Word | None],
    ) -> None:
        self._queue = queue
        self._runs = runs
        self._outage = outage
        self._agent = agent
        self._types = types
        self._lease = lease
        self._grace = grace
        self._word = word
        self._most = max(_LEAST, -(-concurrency // _CALLS))
        #: The exchanges that are not answered yet, and who carries them there.
        self.calls: dict[_Call, asyncio.Task[None]] = {}
        #: So many endings go in a call each, for the queue refused one of them.
        self._singly = 0
        #: Whether a claim must wait.
        self.doubt = Doubt(queue, runs, outage, self._refuse)
        #: The claim that waits on the server.
        self.asking: asyncio.Task[Any] | None = None
        self._asked_to_end = False
        #: How that goes.
        self.watch: Watch | None = None
        #: What the queue refused it for good, or what went wrong here: it ends the worker.
        self._refused: Exception | None = None
        #: Whether the last call left slots free: then only waiting for work helps.
        self._dry = False
        self._stopping = False
        self._hurry = False
        self.completed = 0
        self.failed = 0

    @property
    def sent(self) -> float | None:
        """time.monotonic() when the oldest call was sent that is under way."""
        # A copy, and each looked at once: the thread of the health check looks, too, while the event loop changes them.
        times = [call.sent for call in list(self.calls)] + [self.doubt.sent]
        return min((sent for sent in times if sent is not None), default=None)

    def stop(self) -> None:
        """Claim no more; give running work the grace, then hand the rest back. Called again: hand it back at once."""
        self._hurry = self._hurry or self._stopping
        self._stopping = True
        self._queue.retry_for = min(self._queue.retry_for, LAST_WORDS)
        self._runs.wake.set()

    async def end(self, patience: float = LAST_WORDS) -> None:
        """Send nothing more: a claim that comes in this moment is handed back, within so many seconds."""
        await self._end_asking(patience)
        under_way = [*self.calls.values(), *([self.doubt.renewing] if self.doubt.renewing else [])]
        for one in under_way:
            one.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=patience)

    async def _end_asking(self, patience: float = LAST_WORDS) -> None:
        if self.asking is not None:
            # Cancelled it asks once more, to hand back what it may have been given.
            if self.doubt() and self.doubt.renewing is not None:
                await asyncio.wait([self.doubt.renewing], timeout=min(patience, _RENEWAL))
            # Once: cancelled again it would hand back behind our back, and be cut off by the end of the process.
            if not self._asked_to_end:
                self.asking.cancel()
            self._asked_to_end = True
            await asyncio.wait([self.asking], timeout=patience)

    async def run(self) -> None:
        """Until it is stopped. Raises what the queue refuses for good."""
        ends: float | None = None
        while True:
            self._runs.wake.clear()
            if self._refused is not None:
                raise self._refused
            if self._stopping:
                if ends is None:
                    await self._end_asking()
                    ends = time.monotonic() + self._grace
                if self._hurry:
                    ends = min(ends, time.monotonic())
                if self._has_stopped(ends):
                    return
            if self._runs.starting.paused:
                await self._end_asking()
            while len(self.calls) < _CALLS and (self._runs.endings or (self._wanted() and not self._dry)):
                call = self._next_call()
                self.calls[call] = asyncio.ensure_future(self._carry(call))
            if self._dry and self._wanted() and self.asking is None:
                self.asking, self._asked_to_end = asyncio.ensure_future(self._ask()), False
            await self._until_woken(ends)

    def _has_stopped(self, ends: float) -> bool:
        """Whether all is told, or can't be; *ends* is when the grace ends, after which what runs is stopped."""
        runs, now = self._runs, time.monotonic()
        if not runs.jobs and not self.calls:
            return True
        # Nobody is there to take the last endings, or to tell what an unanswered call claimed: the tasks come back with
        # the end of their leases. Each was tried, for it may be the heartbeats alone that reach nobody.
        tried = not runs.running and not runs.endings and all(call.late for call in self.calls)
        if self._outage.away and (now >= ends + LAST_WORDS or (self._hurry and tried)):
            log.warning("Redis is away: %d tasks could not be handed back", len(runs.jobs))
            return True
        if now >= ends + LAST_WORDS:
            runs.hand_back()
        elif now >= ends:
            for job in runs.running:
                runs.stop(job, Stop.SHUTDOWN)
        return False

    def _wanted(self) -> int:
        if self._stopping:
            return 0
        free = self._runs.starting.most(self._runs.free)
        return max(free - (self.asking is not None) - sum(call.limit for call in self.calls), 0)

    async def _until_woken(self, ends: float | None) -> None:
        left = None
        if ends is not None:
            now = time.monotonic()
            # After that only the answer to a call, or its failure, is waited for.
            left = next((at - now for at in (ends, ends + LAST_WORDS) if at > now), None)
        try:
            await asyncio.wait_for(self._runs.wake.wait(), left)
        except asyncio.TimeoutError:
            pass

    async def _ask(self) -> None:
        """Wait on the server for one task: then there may be more."""
        watch = self.watch = Watch(self._outage, self.doubt, self._word)
        try:
            while not self._stopping:
                found = await self._queue._claim_watched(
                    self._agent, self._types, lease=self._lease, wait=_WAIT, watch=watch
                )
                if isinstance(found, Claim):
                    self._begin(found, watch.asked, watch.late)
                    self._dry = False
                    return
        except Exception as e:  # an error of our own, too: nobody else would see it, and the worker would stand still
            self._refused = e
        finally:
            self.asking = self.watch = None
            self._runs.wake.set()

    def _begin(self, claim: Claim, asked: float, late: bool) -> None:
        job = self._runs.begin(claim, asked, late=late)
        if self._stopping:
            self._runs.stop(job, Stop.SHUTDOWN)

    async def _carry(self, call: _Call) -> None:
        """Send a call until it is answered, over every outage, and do what the answer says."""
        backoff = Backoff()
        found: Exchange | None = None
        try:
            while found is None:
                if call.limit and self.doubt():
                    await asyncio.sleep(DOUBT)
                    continue
                try:
                    found = await self._exchange(call)
                except QueueUnavailable as e:
                    call.late = True
                    self._outage.begins(e)
                    self._runs.wake.set()  # a worker that stops waits for no server
                    await asyncio.sleep(backoff.next())
            self._outage.ends()
            if call.limit > 0:
                self._dry = len(found.claims) < call.limit
            for claim in found.claims:
                self._begin(claim, call.asked, call.late)
            self._settle(call.endings, found)
        except InvalidTask as e:
            if call.endings:
                self._take_apart(call.endings, e)
            else:
                self._refused = e  # asked again, it would be refused again, and again
        except Exception as e:
            self._refused = e
        finally:
            del self.calls[call]
            self._runs.wake.set()

    async def _exchange(self, call: _Call) -> Exchange:
        call.sent = time.monotonic()
        try:
            if call.command is None:
                words, count = commands.words_that_fit([ending for _, ending in call.endings])
                if count < len(call.endings):
                    self._put_back(call, count)
                command = commands.exchange(
                    self._queue.keys, self._agent, self._types, words, limit=call.limit, lease=self._lease
                )
                call.command = replace(command, patience=PATIENCE) if call.limit else command
            return await self._queue.run(call.command)
        finally:
            call.sent = None

    def _next_call(self) -> _Call:
        endings = self._runs.endings
        most = 1 if self._singly else self._most
        limit = 0 if self._singly or (endings and self.doubt()) else min(self._wanted(), self._most)
        self._singly = max(self._singly - 1, 0)
        return _Call([endings.popleft() for _ in range(min(len(endings), most))], limit, time.monotonic())

    def _put_back(self, call: _Call, count: int) -> None:
        """Only the first so many endings fit into this call, by their length; the others are told next."""
        self._runs.endings.extendleft(reversed(call.endings[count:]))
        del call.endings[count:]
        # No more new work than is told of: large results would pile up here, faster than calls can take them.
        call.limit = min(call.limit, count)
        self._runs.wake.set()

    def _refuse(self, error: Exception) -> None:
        self._refused = error
        self._runs.wake.set()

    def _take_apart(self, endings: list[tuple[Job, Ending]], error: InvalidTask) -> None:
        """One ending can't be sent, such as a result that is no JSON: it becomes a failure, the others go on."""
        if len(endings) != 1:
            self._runs.endings.extendleft(reversed(endings))
            self._singly += len(endings)
            return
        job, ending = endings[0]
        log.warning("%s: %s", job.claim.id, error)
        if isinstance(ending, Failed):
            self._runs.forget(job)
        else:
            failed = Failed(job.claim, f"the handler's result was refused: {error}")
            self._runs.endings.appendleft((job, failed))

    def _settle(self, endings: list[tuple[Job, Ending]], found: Exchange) -> None:
        for (job, ending), outcome in zip(endings, found.outcomes, strict=True):
            # A result that the queue doesn't take: not ended, the claim would be missed only when its lease runs out.
            if isinstance(ending, Finished) and isinstance(outcome, (DecisionReportMissing, InvalidTask)):
                log.warning("%s", outcome)
                self._runs.endings.append((job, Failed(job.claim, f"the result was refused: {outcome}")))
                self._runs.wake.set()
                continue
            if isinstance(outcome, LokiRedisError):
                log.warning("%s", outcome)
            elif isinstance(ending, Failed):
                self.failed += 1
            elif not isinstance(ending, Released):
                self.completed += 1
            self._runs.forget(job)
