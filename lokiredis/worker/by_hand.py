"""For people who pull one task by hand: ``async with queue.work(agent, types) as claim``, or ``with`` on a Queue.

The claim is renewed in the background. On the way out the task is completed, when ``claim.finish()`` was called; it
fails with the exception that ended the block; and is handed back when there is neither, or the block was cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .. import arguments, steps
from ..commands import Command
from ..errors import LokiRedisError, StaleClaim
from ..models import Claim, Heartbeat, NoClaim
from ..ratelimit import is_rate_limit
from .background import end
from .context import Context, Seen
from .job import Job, Stop
from .leases import Leases
from .listening import Listener
from .outcomes import GiveUp, HandBack, text_of
from .twins import heartbeat_queue

if TYPE_CHECKING:
    from ..queue import AsyncQueue, Queue

T = TypeVar("T")

log = logging.getLogger("lokiredis.worker")

_NO_RESULT = "the block ended without a result"
_INTERRUPTED = "the block was interrupted"


class _Finishing(Seen):
    """What both kinds of claim add to what a handler sees."""

    _result: Mapping[str, Any] | None = None

    def finish(
        self,
        *,
        output: Any = None,
        decision_report: Mapping[str, Any] | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """The task is done when the block ends; arguments as of :meth:`Queue.complete`."""
        self._result = {"output": output, "decision_report": decision_report, "result": result}


class WorkedClaim(_Finishing, Context):
    """A claim in an ``async with queue.work(…)`` block."""

    async def _send(self, command: Command[T]) -> T:
        """Nobody is there who would end the block when its lease has run out: so an outage is told."""
        return await self._queue.run(command)


class BlockingClaim(_Finishing):
    """A claim in a ``with queue.work(…)`` block. Nobody interrupts a thread: look at ``cancelled``."""

    def __init__(self, queue: Queue, job: Job) -> None:
        super().__init__(job)
        self._queue = queue

    def heartbeat(self, *, checkpoint: Any = None, progress: Any = None) -> Heartbeat:
        """Renew the claim now, and store what is given (JSON). Raises StaleClaim when the claim has ended."""
        found = self._queue.heartbeat(self.claim, checkpoint=checkpoint, progress=progress)
        if found.cancelled:
            self._job.stopped = self._job.stopped or Stop.CANCELLED
        return found

    def checkpoint(self, value: Any) -> None:
        """Store where the work stands, for whoever goes on with it."""
        self.heartbeat(checkpoint=value)

    def progress(self, note: Any) -> None:
        """Store how far the work is, for people."""
        self.heartbeat(progress=note)


class AsyncWork:
    """What :meth:`AsyncQueue.work` gives."""

    def __init__(
        self, queue: AsyncQueue, agent: str, types: str | Iterable[str], lease: float, wait: float | None
    ) -> None:
        self._queue, self._agent, self._types, self._wait = queue, agent, types, wait
        self._lease = arguments.lease_seconds(lease)
        self._claim: WorkedClaim | None = None

    async def __aenter__(self) -> WorkedClaim | NoClaim:
        """The claim; else NoClaim, which is falsy and says why."""
        watch = steps.Watch()
        found = await self._queue._claim_watched(
            self._agent, self._types, lease=self._lease, wait=self._wait, watch=watch
        )
        if isinstance(found, NoClaim):
            return found
        self._job = Job(found, watch.asked)
        self._claim = WorkedClaim(self._queue, self._job)
        self._me = asyncio.current_task()
        loop = asyncio.get_running_loop()

        def stop(job: Job, why: Stop) -> None:
            loop.call_soon_threadsafe(self._stop, why)

        self._leases = Leases(heartbeat_queue(self._queue), self._lease, stop)
        self._leases.hold(self._job)
        self._leases.start()
        self._listening = asyncio.ensure_future(Listener(self._queue, self._cancelled).run())
        return self._claim

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the claim. Raises StaleClaim where it was lost, or cancelled, before the block ended."""
        if self._claim is not None:
            # Cancelled in the midst of it, the claim would be renewed for ever, and nobody would work on the task.
            await asyncio.shield(self._leave(self._claim, error))

    async def _leave(self, claim: WorkedClaim, error: BaseException | None) -> None:
        try:
            await end(self._listening)
        finally:
            self._leases.end()
        await asyncio.to_thread(self._leases.stop)
        job = self._job
        if job.stopped is not None:
            raise StaleClaim(f"{job.claim.id}: {job.stopped.value}", id=job.claim.id) from None
        try:
            await _end(self._queue, job.claim, claim._result, error)
        except LokiRedisError as e:
            if error is None:
                raise
            log.warning("%s", e)  # what ended the block matters more

    def _cancelled(self, id: str, token: int) -> None:
        if (id, token) == (self._job.claim.id, self._job.claim.token):
            self._stop(Stop.CANCELLED)

    def _stop(self, why: Stop) -> None:
        if self._job.stopped is None:
            self._job.stopped = why
            if self._me is not None:
                self._me.cancel()


class Work:
    """What :meth:`Queue.work` gives."""

    def __init__(self, queue: Queue, agent: str, types: str | Iterable[str], lease: float, wait: float | None) -> None:
        self._queue, self._agent, self._types, self._wait = queue, agent, types, wait
        self._lease = arguments.lease_seconds(lease)
        self._claim: BlockingClaim | None = None

    def __enter__(self) -> BlockingClaim | NoClaim:
        """The claim; else NoClaim, which is falsy and says why."""
        watch = steps.Watch()
        found = self._queue._claim_watched(self._agent, self._types, lease=self._lease, wait=self._wait, watch=watch)
        if isinstance(found, NoClaim):
            return found
        self._job = Job(found, watch.asked)
        self._claim = BlockingClaim(self._queue, self._job)
        self._leases = Leases(heartbeat_queue(self._queue), self._lease, self._stop)
        self._leases.hold(self._job)
        self._leases.start()
        return self._claim

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the claim. Raises StaleClaim where it was lost, or cancelled, before the block ended."""
        if self._claim is None:
            return
        self._leases.stop()
        job = self._job
        if job.stopped is not None and error is None:
            raise StaleClaim(f"{job.claim.id}: {job.stopped.value}", id=job.claim.id)
        try:
            _end(self._queue, job.claim, self._claim._result, error)
        except LokiRedisError as e:
            if error is None:
                raise
            log.warning("%s", e)

    def _stop(self, job: Job, why: Stop) -> None:
        job.stopped = job.stopped or why


def _end(queue: Any, claim: Claim, result: Mapping[str, Any] | None, error: BaseException | None) -> Any:
    """The call that ends the claim; on an AsyncQueue, to be awaited."""
    if error is None:
        return queue.release(claim, reason=_NO_RESULT) if result is None else queue.complete(claim, **result)
    if isinstance(error, HandBack):
        return queue.release(claim, delay=error.delay, reason=text_of(error))
    if not isinstance(error, Exception):
        return queue.release(claim, reason=_INTERRUPTED)
    if is_rate_limit(error):
        return queue.rate_limited(claim, error, release=True)
    return queue.fail(claim, error, retry=not isinstance(error, GiveUp))
