"""The worker: claims for its free slots, runs a handler for each, sends endings and new claims in one call."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from .. import arguments, commands, steps
from ..commands.command import Command, host_name
from ..errors import DecisionReportMissing, InvalidTask, LokiRedisError, QueueUnavailable, StaleClaim, TaskNotFound
from ..models import Claim, Exchange, Failed, Released
from ..queue import AsyncQueue, Queue
from ..ratelimit import is_rate_limit
from .background import end
from .context import Context, ThreadContext
from .job import Job, Stop
from .leases import Leases
from .listening import Listener
from .outcomes import Ending, ended, raised, told
from .twins import heartbeat_queue

log = logging.getLogger("lokiredis.worker")

Handler = Callable[[Any], Any]
H = TypeVar("H", bound=Handler)
T = TypeVar("T")

#: How long one claim waits on the server before the worker looks around. As short as the claim's own rounds of half a
#: minute it would make three calls of each: when the round ends, when the wait ends, and the next one's first.
_WAIT = 600.0
#: An idle worker of which nothing is new announces itself only every so many times: most of what a thousand of them
#: cost their server was that.
_QUIET = 3
#: How often leases and time limits are looked at, in seconds, at most.
_TICK = 0.5
_MOST_ENDINGS = 1000
#: When it stops while Redis is away: how long it tries to tell what became of its tasks, in seconds.
_LAST_WORDS = 5.0
#: After a refused call, before the next: first, longest.
_BACKOFF = 0.1, 5.0


@dataclass(eq=False)
class _Call:
    """One exchange until it is answered. Sent again it is the same call: what it claimed is in the answer then."""

    sent: list[tuple[Job, Ending]]
    limit: int
    asked: float
    command: Command[Exchange] | None = None


class _Watch(steps.Watch):
    """A worker's waiting claim sits every outage out."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._pause = _BACKOFF[0]

    def away(self, error: QueueUnavailable) -> float:
        self._worker._say_away(error)
        pause, self._pause = self._pause, min(self._pause * 2, _BACKOFF[1])
        return pause

    def back(self) -> None:
        self._worker._say_back()
        self._pause = _BACKOFF[0]


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
        arguments.lease_ms(lease)
        self.queue = queue
        self.agent = arguments.agent(f"{host_name()}/{os.getpid()}" if agent is None else agent)
        self.concurrency = concurrency
        self.lease = lease
        self.grace = arguments.wait_ms(grace, "grace") / 1000
        if self.grace < 0:
            raise InvalidTask("not negative", field="grace")
        self.on_lost_lease = on_lost_lease
        self._handlers: dict[str, Handler] = {}
        self._jobs: dict[str, Job] = {}
        self._endings: deque[tuple[Job, Ending]] = deque()
        self._call: _Call | None = None
        #: So many endings go in a call each, for the queue refused one of them.
        self._singly = 0
        #: What the queue refused for good.
        self._refused: LokiRedisError | None = None
        self._free = concurrency
        self._dry = False
        self._stopping = False
        self._hurry = False
        #: Whether Redis can't be reached at present.
        self.away = False
        self._alive = time.monotonic()
        self._sent: float | None = None
        self._wake: asyncio.Event
        self._asking: asyncio.Task[Any] | None = None
        self._leases: Leases
        self._threads: ThreadPoolExecutor
        #: What was announced last, and how many times it was left out since, as nothing was new.
        self._announced: tuple[list[str], int, int] | None = None
        self._not_announced = 0
        #: Tasks that this worker completed, and attempts of it that failed.
        self.completed = 0
        self.failed = 0

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
        return [job for job in self._jobs.values() if job.work is not None]

    @property
    def silent_for(self) -> float:
        """Seconds without a sign of life: the event loop stands still, or a call has not come back."""
        now = time.monotonic()
        return now - min(self._alive, now if self._sent is None else self._sent)

    def stop(self) -> None:
        """Claim no more; give running work the grace, then hand the rest back. Called again: hand it back at once."""
        self._hurry = self._stopping
        self._stopping = True
        self.queue.retry_for = min(self.queue.retry_for, _LAST_WORDS)
        self._wake.set()

    async def run(self) -> None:
        """Work until :meth:`stop`. Raises what the queue refuses for good, such as SchemaMismatch."""
        if not self._handlers:
            raise InvalidTask("a worker needs a handler", field="types")
        loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._threads = ThreadPoolExecutor(self.concurrency, "lokiredis-handler")

        def stop(job: Job, why: Stop) -> None:
            loop.call_soon_threadsafe(self._stop_job, job, why)

        def outage(error: QueueUnavailable | None) -> None:
            say = self._say_back if error is None else partial(self._say_away, error)
            loop.call_soon_threadsafe(say)

        self._leases = Leases(heartbeat_queue(self.queue), self.lease, stop, self._announce, outage)
        listener = Listener(self.queue, self._cancelled)
        self._leases.start()
        background = [asyncio.ensure_future(listener.run()), asyncio.ensure_future(self._look_after_leases())]
        try:
            await self._pump()
        finally:
            await end(*background, *([self._asking] if self._asking else []))
            await self._end_running()
            await asyncio.to_thread(self._leases.stop)
            self._threads.shutdown(wait=False, cancel_futures=True)

    # Claims and endings

    async def _pump(self) -> None:
        """Send endings as they come, and fill the free slots; the rest of the time wait for either."""
        ends: float | None = None
        pause = _BACKOFF[0]
        while True:
            self._wake.clear()
            if self._refused is not None:
                raise self._refused
            if self._stopping:
                if ends is None:
                    ends = await self._begin_to_stop()
                if not self._jobs and self._call is None:
                    return
                now = time.monotonic()
                ends = min(ends, now) if self._hurry else ends
                self._hurry = False
                # Nobody is there to take the last endings: the tasks come back with the end of their leases.
                if self.away and now >= ends and (not self.running or now >= ends + _LAST_WORDS):
                    log.warning("Redis is away: %d endings were not told", len(self._endings))
                    return
                if now >= ends + _LAST_WORDS:
                    self._hand_back_running()
                elif now >= ends:
                    for job in self.running:
                        self._stop_job(job, Stop.SHUTDOWN)
            try:
                if self._call or self._endings or (self._wanted() and not self._dry):
                    await self._exchange()
                    pause = _BACKOFF[0]
                    continue
                if self._wanted() and self._asking is None:
                    self._asking = asyncio.ensure_future(self._ask())
                await self._until_woken(ends)
            except QueueUnavailable as e:
                self._say_away(e)
                if self._stopping and not self._jobs:
                    return  # what an unanswered call may have claimed comes back with the end of its lease
                await asyncio.sleep(pause)
                pause = min(pause * 2, _BACKOFF[1])

    def _wanted(self) -> int:
        return 0 if self._stopping else self._free - (self._asking is not None)

    async def _begin_to_stop(self) -> float:
        if self._asking is not None:
            # What it claims in this moment it hands back: cancelled once more, it would do so behind our back.
            self._asking.cancel()
            await asyncio.wait([self._asking], timeout=_LAST_WORDS)
        return time.monotonic() + self.grace

    async def _until_woken(self, ends: float | None) -> None:
        left = None
        if ends is not None:
            now = time.monotonic()
            left = max((ends if now < ends else ends + _LAST_WORDS) - now, 0)
        try:
            await asyncio.wait_for(self._wake.wait(), left)
        except asyncio.TimeoutError:
            pass

    async def _ask(self) -> None:
        """Wait on the server for one task: then there may be more."""
        watch = _Watch(self)
        try:
            while not self._stopping:
                found = await self.queue._claim_watched(
                    self.agent, self.types, lease=self.lease, wait=_WAIT, watch=watch
                )
                if isinstance(found, Claim):
                    self._start(found, watch.asked)
                    self._dry = False
                    return
        except LokiRedisError as e:
            self._refused = e
        finally:
            self._asking = None
            self._wake.set()

    async def _exchange(self) -> None:
        call = self._call = self._call or self._next_call()
        self._sent = time.monotonic()
        try:
            if call.command is None:
                call.command = commands.exchange(
                    self.queue.keys,
                    self.agent,
                    self.types,
                    finished=[ending for _, ending in call.sent],
                    limit=call.limit,
                    lease=self.lease,
                )
            found = await self.queue.run(call.command)
        except InvalidTask as e:
            self._call = None
            if not call.sent:
                raise  # asked again, it would be refused again, and again
            self._take_apart(call.sent, e)
            return
        finally:
            self._sent = None
        self._call = None
        self._say_back()
        self._dry = call.limit > 0 and len(found.claims) < call.limit
        for claim in found.claims:
            self._start(claim, call.asked)
        self._settle(call.sent, found)

    def _next_call(self) -> _Call:
        most = 1 if self._singly else _MOST_ENDINGS
        limit = 0 if self._singly else max(self._wanted(), 0)
        self._singly = max(self._singly - 1, 0)
        sent = [self._endings.popleft() for _ in range(min(len(self._endings), most))]
        return _Call(sent, limit, time.monotonic())

    def _take_apart(self, sent: list[tuple[Job, Ending]], error: InvalidTask) -> None:
        """One ending can't be sent, such as a result that is no JSON: it becomes a failure, the others go on."""
        if len(sent) != 1:
            self._endings.extendleft(reversed(sent))
            self._singly = len(sent)
            return
        job, ending = sent[0]
        log.warning("%s: %s", job.claim.id, error)
        if isinstance(ending, Failed):
            self._forget(job)
        else:
            self._endings.appendleft((job, Failed(job.claim, f"the handler's result was refused: {error}")))

    def _settle(self, sent: list[tuple[Job, Ending]], found: Exchange) -> None:
        for (job, ending), outcome in zip(sent, found.outcomes, strict=True):
            if isinstance(outcome, DecisionReportMissing):
                log.warning("%s", outcome)
                self._endings.append((job, Failed(job.claim, f"the result was refused: {outcome}")))
                self._wake.set()
                continue
            if isinstance(outcome, LokiRedisError):
                log.warning("%s", outcome)
            elif isinstance(ending, Failed):
                self.failed += 1
            elif not isinstance(ending, Released):
                self.completed += 1
            self._forget(job)

    # One task

    def _start(self, claim: Claim, asked: float) -> None:
        job = Job(claim, asked)
        if before := self._jobs.get(claim.id):
            self._stop_job(before, Stop.LOST)  # who gives the task anew has forgotten that claim, or ended it
        self._jobs[claim.id] = job
        self._free -= 1
        self._leases.hold(job)
        job.work = asyncio.ensure_future(self._work(job))
        if self._stopping:
            self._stop_job(job, Stop.SHUTDOWN)

    def _forget(self, job: Job) -> None:
        self._leases.drop(job)
        if self._jobs.get(job.claim.id) is job:
            del self._jobs[job.claim.id]
        self._wake.set()

    async def _work(self, job: Job) -> None:
        """Run the handler to its end, and leave the ending for the pump."""
        ending: Ending | None = None
        try:
            if job.stopped is None and await self._is_held(job):
                job.begun = True
                ending = await self._outcome(job)
        except asyncio.CancelledError as e:
            if job.stopped is None:  # nobody here cancelled it: the handler met the end of something of its own
                ending = raised(job.claim, e)
                log.warning("%s %s", job.claim.id, told(ending))
        if job.work is None:
            return  # it took too long to end, and was handed back
        if job.stopped is not None:
            ending = self._ending_of_stopped(job, ending)
        job.work = None
        self._give_slot_back(job)
        if ending is None:
            self._forget(job)
        else:
            self._endings.append((job, ending))
            self._wake.set()

    async def _is_held(self, job: Job) -> bool:
        """Only after an outage is there a doubt: the answer that gave the claim may be as old as its lease."""
        asked = time.monotonic()
        if asked < job.held_until:
            return True
        try:
            found = await self.queue.heartbeat(job.claim)
            if found.deadline is None:
                job.stopped = Stop.CANCELLED
            else:
                job.confirmed(asked, found.deadline)
        except (StaleClaim, TaskNotFound):
            job.stopped = Stop.LOST
        except LokiRedisError as e:
            log.warning("%s can't be renewed: %s", job.claim.id, e)
            job.stopped = Stop.OVERDUE
        return job.stopped is None

    def _give_slot_back(self, job: Job) -> None:
        """Not before its thread has ended: nobody can end a thread, and the next task would only wait behind it."""
        if job.thread is not None and not job.thread.done():
            log.warning("%s: its handler goes on in its thread, and keeps the slot", job.claim.id)
            loop = asyncio.get_running_loop()
            job.thread.add_done_callback(lambda _: loop.call_soon_threadsafe(self._slot_is_free))
        else:
            self._slot_is_free()

    def _slot_is_free(self) -> None:
        self._free += 1
        self._dry = False
        self._wake.set()

    async def _outcome(self, job: Job) -> Ending | None:
        handler = self._handlers[job.claim.task.type]
        context = Context(self.queue, job, job.claim.task.checkpoint)
        while True:
            try:
                return ended(job.claim, await self._run_handler(handler, context))
            except (Exception, SystemExit) as e:  # sys.exit() in a handler is no reason to end the others
                ending = raised(job.claim, e)
                if job.stopped is not None:
                    return ending
                if not is_rate_limit(e):
                    log.warning("%s %s", job.claim.id, told(ending))
                    return ending
                try:
                    if not await self._sit_out(job, context, e):
                        return None
                except LokiRedisError as refused:
                    log.warning("%s met a rate limit that the queue was not told of: %s", job.claim.id, refused)
                    return ending

    def _run_handler(self, handler: Handler, context: Context) -> Awaitable[Any]:
        # An object may be a handler, too: then its __call__ is what is looked at.
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):
            return handler(context)  # type: ignore[no-any-return]
        thread_context = ThreadContext(context, asyncio.get_running_loop())
        context._job.thread = self._threads.submit(handler, thread_context)
        return asyncio.wrap_future(context._job.thread)

    async def _sit_out(self, job: Job, context: Context, error: BaseException) -> bool:
        """Hold this agent for a rate limit; False when the task was handed back instead of waiting for it."""
        hold = await self._over_outages(commands.rate_limited(self.queue.keys, job.claim, error))
        log.warning("%s met a rate limit: held for %.0f s", job.claim.id, hold.wait)
        if hold.released:
            return False
        job.moved_on(hold.wait)
        await asyncio.sleep(hold.wait)
        # A command stores its checkpoint by itself: what it is to go on from stands in the queue alone.
        context.saved = (await self._over_outages(commands.get(self.queue.keys, job.claim.id))).checkpoint
        return True

    async def _over_outages(self, command: Command[T]) -> T:
        """What must be told while a task is held: only its lease ends that, so the work is stopped then."""
        pause = _BACKOFF[0]
        while True:
            try:
                return await self.queue.run(command)
            except QueueUnavailable as e:
                self._say_away(e)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _BACKOFF[1])

    # What ends work before its time

    def _cancelled(self, id: str, token: int) -> None:
        job = self._jobs.get(id)
        if job is not None and job.claim.token == token:
            self._stop_job(job, Stop.CANCELLED)

    def _stop_job(self, job: Job, why: Stop) -> None:
        if job.stopped is not None or job.work is None:
            return
        job.stopped = why
        log.warning("%s is stopped: %s", job.claim.id, why.value)
        if job.begun:
            job.work.cancel()

    def _hand_back_running(self) -> None:
        """Handlers that take no notice of their end do not keep the worker, nor their tasks."""
        for job in self.running:
            log.warning("%s: its handler does not end; the task is handed back all the same", job.claim.id)
            job.work = None
            self._endings.append((job, Released(job.claim, reason=Stop.SHUTDOWN.value)))

    async def _end_running(self) -> None:
        """Where the worker ends by an error: nobody will tell what becomes of the work, so it stops."""
        running = [job.work for job in self.running if job.work is not None]
        for job in self.running:
            self._stop_job(job, Stop.SHUTDOWN)
        if running:
            await asyncio.wait(running, timeout=_LAST_WORDS)

    def _ending_of_stopped(self, job: Job, ending: Ending | None) -> Ending | None:
        if job.stopped in (Stop.CANCELLED, Stop.LOST):
            return None
        if job.stopped is Stop.TIMEOUT:
            return Failed(job.claim, f"timeout: it took longer than {job.claim.task.timeout:g} s")
        # What came to its end meanwhile counts: nobody else can have the task while the claim holds.
        if ending is not None and not isinstance(ending, Failed):
            return ending
        return Released(job.claim, reason=job.stopped.value if job.stopped else "")

    async def _look_after_leases(self) -> None:
        while True:
            await asyncio.sleep(min(_TICK, self.lease / 10))
            self._alive = now = time.monotonic()
            for job in self.running:
                if not job.begun:
                    continue
                if now >= job.limit:
                    self._stop_job(job, Stop.TIMEOUT)
                elif now >= job.held_until and self.on_lost_lease == "stop":
                    self._stop_job(job, Stop.OVERDUE)

    def _announce(self, queue: Queue, every: float) -> None:
        tasks = [job.claim.id for job in self.running]
        done, failed = self.completed, self.failed
        news = (tasks, done, failed) != self._announced
        quiet = every > 0 and not tasks
        if quiet and not news and self._not_announced < _QUIET - 1:
            self._not_announced += 1
            return
        every = every * _QUIET if quiet else every
        queue.announce(self.agent, self.types, tasks=tasks, completed=done, failed=failed, every=every)
        self._announced, self._not_announced = (tasks, done, failed), 0

    # Outages

    def _say_away(self, error: QueueUnavailable) -> None:
        if not self.away:
            log.warning("%s; going on as soon as it is back", error)
        self.away = True

    def _say_back(self) -> None:
        if self.away:
            log.warning("Redis is back")
        self.away = False
