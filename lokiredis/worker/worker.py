"""The worker: what it is told to do, and its parts, from the start to the end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .. import arguments
from ..commands.command import host_name
from ..errors import InvalidTask, QueueUnavailable
from ..outages import FAILURES
from ..queue import AsyncQueue
from ..steps import LONGEST_BLOCK
from .announcing import Announcer, News
from .background import end
from .deadlines import Deadlines
from .job import Job, Stop
from .leases import Leases
from .listening import Listener
from .outage import Outage
from .pump import LAST_WORDS, Pump
from .runs import Handler, Runs
from .starting import Starting
from .twins import heartbeat_queue

H = TypeVar("H", bound=Handler)

log = logging.getLogger("lokiredis.worker")

#: Without an answer, a call that Redis was never away for may take so long until it counts as standing still: an
#: attempt on a server that says nothing ends by its own time limit, or those of all sentinels in turn.
_LONGEST_ATTEMPT = 60.0
#: A worker that holds nothing waits so long for its last call, and again for an answer whether Redis is there.
_PATIENCE = 0.75
#: How long its leaving may take to be told: without it the queue takes it for lost a little later.
_GOODBYE = 1.0


class Worker:
    """Runs handlers for the tasks of a queue until it is stopped.

    ``agent`` is the claimant's name (host and process when None), ``concurrency`` how many tasks run at once, ``lease``
    seconds after which a dead worker is noticed. ``grace`` seconds are what running work gets to end by itself when the
    worker stops, and to clean up when it is cancelled. ``on_lost_lease`` says what becomes of work whose lease may have
    run out while Redis was away: ``stop``, or ``continue`` where two agents at the same task do no harm.
    """

    def __init__(
        self,
        queue: AsyncQueue,
        *,
        agent: str | None = None,
        concurrency: int = 1,
        lease: float = 60,
        grace: float = 30,
        on_lost_lease: str = "stop",
    ) -> None:
        if not isinstance(concurrency, int) or isinstance(concurrency, bool) or not 1 <= concurrency <= 1000:
            raise InvalidTask("concurrency is an integer from 1 to 1,000", field="concurrency")
        if on_lost_lease not in ("stop", "continue"):
            raise InvalidTask("on_lost_lease is stop or continue", field="on_lost_lease")
        lease = arguments.lease_seconds(lease)
        self.queue = queue
        self.agent = arguments.agent(f"{host_name()}/{os.getpid()}" if agent is None else agent)
        self.concurrency = concurrency
        self.lease = lease
        self.grace = arguments.wait_ms(grace, "grace") / 1000
        if self.grace < 0:
            raise InvalidTask("not negative", field="grace")
        self._handlers: dict[str, Handler] = {}
        self._outage = Outage()
        self._runs = Runs(queue, self._handlers, concurrency=concurrency)
        self._announcer = Announcer(queue, self.agent, lambda: self.types, self._news, lease)
        self._pump = Pump(
            queue,
            self._runs,
            self._outage,
            agent=self.agent,
            types=self._handlers,
            concurrency=concurrency,
            lease=lease,
            grace=self.grace,
            word=self._announcer.again,
        )
        self._stopping = asyncio.Event()
        self._deadlines = Deadlines(self._runs, lease=lease, stop_overdue=on_lost_lease == "stop")

    def handler(self, *types: str) -> Callable[[H], H]:
        """Decorates the function for tasks of these types. It gets a Context (a plain function: a ThreadContext).

        What it returns is the task's result: a JSON object with ``decisionReport`` (design rule 14). What it raises
        fails the attempt, save HandBack, GiveUp, and what is recognised as a rate limit: the agent is held then, and
        the handler called again with the last checkpoint in ``saved``.
        """
        names = arguments.task_types(types)
        if not names:
            raise InvalidTask("a handler is for one type or more", field="types")

        def register(function: H) -> H:
            # The claim that names more is refused, and so would every ending be that goes with it.
            arguments.task_types([*self._handlers, *names])
            for name in names:
                if name in self._handlers:
                    raise InvalidTask(f"there is a handler for {name} already", field="types")
                self._handlers[name] = function
            return function

        return register

    @property
    def types(self) -> tuple[str, ...]:
        """The types that have a handler."""
        return tuple(self._handlers)

    @property
    def running(self) -> list[Job]:
        """What is being worked on."""
        return self._runs.running

    @property
    def starting(self) -> Starting:
        """For a handler that starts processes: when it can't, the worker claims less."""
        return self._runs.starting

    @property
    def completed(self) -> int:
        """How many tasks it completed."""
        return self._pump.completed

    @property
    def failed(self) -> int:
        """How many of its attempts failed."""
        return self._pump.failed

    @property
    def away(self) -> bool:
        """Whether Redis can't be reached at present."""
        return self._outage.away

    @property
    def silent_for(self) -> float:
        """Seconds without a sign of life: the event loop stands still, or a call has not come back.

        A call that is repeated because Redis is away is a sign of life: an outage, however long, is none of ours.
        """
        now = time.monotonic()
        sent = self._pump.sent
        tried = now if sent is None else max(sent, self.queue._failed_at) + _LONGEST_ATTEMPT
        watch = self._pump.watch
        if watch is not None and watch.asked:
            tried = min(tried, max(watch.asked, self.queue._failed_at) + LONGEST_BLOCK + _LONGEST_ATTEMPT)
        return now - min(self._deadlines.looked, tried, now)

    def stop(self) -> None:
        """Claim no more; give running work the grace, then hand the rest back. Called again: hand it back at once."""
        self._pump.stop()
        self._stopping.set()

    async def run(self) -> None:
        """Work until :meth:`stop`. Raises what the queue refuses for good, such as SchemaMismatch."""
        if not self._handlers:
            raise InvalidTask("a worker needs a handler", field="types")
        loop = asyncio.get_running_loop()

        def stop(job: Job, why: Stop) -> None:
            loop.call_soon_threadsafe(self._runs.stop, job, why)

        def outage(error: QueueUnavailable | None) -> None:
            loop.call_soon_threadsafe(self._outage.ends if error is None else partial(self._cut_off, error))

        leases = Leases(heartbeat_queue(self.queue), self.lease, stop, self._announcer.tell, outage)
        self._runs.start(leases)
        leases.start()
        listener = Listener(self.queue, self._runs.cancelled)
        background = [asyncio.ensure_future(listener.run()), asyncio.ensure_future(self._deadlines.run())]
        left = False
        try:
            left = await self._pump_or_leave()
        finally:
            await self._pump.end(0 if left else LAST_WORDS)
            await end(*background)
            await self._runs.end(LAST_WORDS)
            await asyncio.to_thread(leases.stop, _GOODBYE)

    def _cut_off(self, error: QueueUnavailable) -> None:
        """The heartbeats reach nobody. The other connections may: what is held is renewed there, then."""
        self._outage.begins(error)
        self._pump.doubt()

    async def _pump_or_leave(self) -> bool:
        """The pump's work to its end; True: a worker that stops holds nothing, and Redis doesn't answer."""
        pumping = asyncio.ensure_future(self._pump.run())
        leaving = asyncio.ensure_future(self._nothing_to_tell())
        try:
            await asyncio.wait([pumping, leaving], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Once: what it claims in this moment is handed back meanwhile.
            pumping.cancel()
            await asyncio.wait([pumping], timeout=LAST_WORDS)
            raise
        finally:
            await end(leaving)
        if pumping.done():
            pumping.result()
            return False
        log.warning("Redis is away; what a last claim may have given comes back with the end of its lease")
        pumping.cancel()
        return True

    async def _nothing_to_tell(self) -> None:
        await self._stopping.wait()
        while True:
            await asyncio.sleep(_PATIENCE)
            if not self._runs.jobs and not await self._answers():
                return

    async def _answers(self) -> bool:
        try:
            await asyncio.wait_for(self.queue.redis.ping(), _PATIENCE)
        except (OSError, asyncio.TimeoutError, *FAILURES):
            return False
        return True

    def _news(self) -> News:
        tasks = tuple(job.claim.id for job in self.running)
        return News(tasks, self.completed, self.failed, asks=self._pump.asking is not None)
