"""The tasks that a worker holds: one run of a handler for each, from its claim until its ending is told."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from .. import commands
from ..errors import LokiRedisError, StaleClaim, TaskNotFound
from ..models import Claim, Failed, Released
from ..queue import AsyncQueue
from ..ratelimit import is_rate_limit
from .context import Context, ThreadContext
from .job import Job, Stop
from .leases import Leases
from .outcomes import Ending, ended, raised, told
from .starting import Starting
from .threads import Threads

log = logging.getLogger("lokiredis.worker")

Handler = Callable[[Any], Any]

#: How often is looked whether a run that waits for another one still has to, in seconds.
_GLANCE = 0.1


class Runs:
    """Fills ``endings``, in the order in which the work ended, and sets ``wake`` when there is something new."""

    def __init__(self, queue: AsyncQueue, handlers: Mapping[str, Handler], *, concurrency: int) -> None:
        self._queue = queue
        self._handlers = handlers
        #: By type: to ask costs as much as a claim does.
        self._is_async: dict[str, bool] = {}
        self._leases: Leases
        self._threads: Threads
        #: Whose plain handler goes on in its thread though its claim has ended.
        self._lingering: dict[str, Job] = {}
        #: All whose ending the queue has not answered yet, by id.
        self.jobs: dict[str, Job] = {}
        self.endings: deque[tuple[Job, Ending]] = deque()
        self.wake = asyncio.Event()
        self.starting = Starting(self.wake.set)
        #: How many more may run.
        self.free = concurrency

    @property
    def running(self) -> list[Job]:
        """What is being worked on."""
        # A copy first: other threads look, too, while the event loop changes it, and Python ends their loop then.
        return [job for job in list(self.jobs.values()) if job.work is not None]

    def start(self, leases: Leases) -> None:
        """Be ready to begin; *leases* renews what is held."""
        self._leases = leases
        self._threads = Threads()

    async def end(self, seconds: float) -> None:
        """Stop what still runs, for nobody will tell of its end any more; wait so long for it."""
        running = [job.work for job in self.running if job.work is not None]
        for job in self.running:
            self.stop(job, Stop.SHUTDOWN)
        if running:
            await asyncio.wait(running, timeout=seconds)
        self._threads.end()

    def begin(self, claim: Claim, asked: float, *, late: bool = False) -> Job:
        """Work on a claim, which was asked for at *asked* (time.monotonic()); *late*: before an outage."""
        job = Job(claim, asked, late)
        job.before = self.jobs.get(claim.id) or self._lingering.get(claim.id)
        if job.before is not None:
            self.stop(job.before, Stop.LOST)  # who gives the task anew has forgotten that claim, or ended it
        self.jobs[claim.id] = job
        self.free -= 1
        self._leases.hold(job)
        job.work = asyncio.get_running_loop().create_task(self._work(job))
        return job

    def forget(self, job: Job) -> None:
        """The queue knows how it ended, or has given the task away."""
        self._leases.drop(job)
        if self.jobs.get(job.claim.id) is job:
            del self.jobs[job.claim.id]
        self.wake.set()

    def stop(self, job: Job, why: Stop) -> None:
        """End this work before its time."""
        if job.stopped is not None or job.work is None:
            return
        job.stopped = why
        log.warning("%s is stopped: %s", job.claim.id, why.value)
        if job.begun:
            job.work.cancel()

    def cancelled(self, id: str, token: int) -> None:
        """The task of this claim was cancelled."""
        job = self.jobs.get(id)
        if job is not None and job.claim.token == token:
            self.stop(job, Stop.CANCELLED)

    def hand_back(self) -> None:
        """Handlers that take no notice of their end do not keep the worker, nor their tasks."""
        for job in self.running:
            log.warning("%s: its handler does not end; the task is handed back all the same", job.claim.id)
            job.work = None
            ending = _ending_of_stopped(job, None)
            if ending is None:
                self.forget(job)
            else:
                self.endings.append((job, ending))

    async def _work(self, job: Job) -> None:
        """Run the handler to its end, and leave the ending for the pump."""
        ending: Ending | None = None
        try:
            await self._until_alone(job)
            if job.stopped is None and await self._is_held(job):
                job.begun = True
                ending = await self._outcome(job)
        except asyncio.CancelledError as e:
            if job.stopped is None:  # nobody here cancelled it: the handler met the end of something of its own
                ending = raised(job.claim, e)
                log.warning("%s %s", job.claim.id, told(ending))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as e:  # such as a test framework's own: nobody would hear of it, and the slot be lost
            ending = raised(job.claim, e)
            log.warning("%s %s", job.claim.id, told(ending))
        if job.work is None:
            return  # it took too long to end, and was handed back
        if job.stopped is not None:
            ending = _ending_of_stopped(job, ending)
        job.work = None
        self._give_slot_back(job)
        if ending is None:
            self.forget(job)
        else:
            self.endings.append((job, ending))
            self.wake.set()

    async def _until_alone(self, job: Job) -> None:
        """An earlier run of the same task may still clean up: two at once would be in each other's way."""
        while job.before is not None and job.stopped is None:
            if job.before.is_over():
                job.before = None
            else:
                await asyncio.sleep(_GLANCE)

    async def _is_held(self, job: Job) -> bool:
        """Only after an outage is there a doubt: the task may be cancelled, or another agent's, by now."""
        asked = time.monotonic()
        if not job.late and asked < job.held_until:
            return True
        try:
            found = await self._queue.heartbeat(job.claim)
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
            self._lingering[job.claim.id] = job

            def give_back(_: object) -> None:
                with suppress(RuntimeError):  # a loop that is closed has no use for the slot
                    loop.call_soon_threadsafe(self._has_ended, job)

            job.thread.add_done_callback(give_back)
        else:
            self._slot_is_free()

    def _has_ended(self, job: Job) -> None:
        if self._lingering.get(job.claim.id) is job:
            del self._lingering[job.claim.id]
        self._slot_is_free()

    def _slot_is_free(self) -> None:
        self.free += 1
        self.wake.set()

    async def _outcome(self, job: Job) -> Ending | None:
        """How the claim ends; None when it has ended already."""
        context = Context(self._queue, job)
        while True:
            try:
                return ended(job.claim, await self._run_handler(job.claim.record.type, context))
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

    def _run_handler(self, type: str, context: Context) -> Awaitable[Any]:
        handler = self._handlers[type]
        if type not in self._is_async:
            self._is_async[type] = _is_async(handler)
        if self._is_async[type]:
            return handler(context)  # type: ignore[no-any-return]
        thread_context = ThreadContext(context, asyncio.get_running_loop())
        context._job.thread = self._threads.submit(handler, thread_context)
        return asyncio.wrap_future(context._job.thread)

    async def _sit_out(self, job: Job, context: Context, error: BaseException) -> bool:
        """Hold this agent for a rate limit; False when the task was handed back instead of waiting for it."""
        keys = self._queue.keys
        hold = await context._send(commands.rate_limited(keys, job.claim, error))
        log.warning("%s met a rate limit: held for %.0f s", job.claim.id, hold.wait)
        if hold.released:
            return False
        job.moved_on(hold.wait)
        await asyncio.sleep(hold.wait)
        # A command stores its checkpoint by itself: what it is to go on from stands in the queue alone.
        context.saved = (await context._send(commands.get(keys, job.claim.id))).checkpoint
        return True


def _is_async(handler: Handler) -> bool:
    """An object may be a handler, too: then its __call__ is what is looked at."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def _ending_of_stopped(job: Job, ending: Ending | None) -> Ending | None:
    if job.stopped in (Stop.CANCELLED, Stop.LOST):
        return None
    if job.stopped is Stop.TIMEOUT:
        return Failed(job.claim, f"timeout: it took longer than {job.timeout:g} s")
    # What came to its end meanwhile counts: nobody else can have the task while the claim holds.
    if ending is not None and not isinstance(ending, Failed):
        return ending
    return Released(job.claim, reason=job.stopped.value if job.stopped else "")
