"""What a handler is given: its task, and a line to the queue while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from .. import commands
from ..commands import Command
from ..errors import QueueUnavailable, StaleClaim
from ..models import Claim, Heartbeat, Task
from .job import Job, Stop
from .outcomes import GiveUp

if TYPE_CHECKING:
    from ..queue import AsyncQueue

T = TypeVar("T")

#: Between a call that was repeated in vain and the next one, in seconds.
_PAUSE = 1.0
_UNREAD: Any = object()


class Seen:
    """What both kinds of context show."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._saved = _UNREAD

    @property
    def claim(self) -> Claim:
        """The claim, with its token: what a tool outside the queue may check for."""
        return self._job.claim

    @property
    def id(self) -> str:
        """The task's id: with ``token`` this may stand wherever a claim does."""
        return self._job.claim.id

    @property
    def token(self) -> int:
        """The claim's token."""
        return self._job.claim.token

    @property
    def task(self) -> Task:
        """The task as it was when it was claimed.

        Raises GiveUp when another language's client stored what is no JSON: no attempt can ever read it.
        """
        try:
            return self._job.claim.task
        except ValueError as e:
            raise GiveUp(f"the stored task can't be read: {e}") from None

    @property
    def saved(self) -> Any:
        """The checkpoint to go on from: of an earlier attempt, or of this one before a rate limit; None without one."""
        if self._saved is _UNREAD:
            self._saved = self.task.checkpoint
        return self._saved

    @saved.setter
    def saved(self, value: Any) -> None:
        self._saved = value

    @property
    def attempt(self) -> int:
        """1 for the first claim of this task, and so on; the ledger keeps 20."""
        return len(self.task.attempts) + 1

    @property
    def cancelled(self) -> bool:
        """Whether to end: the task was cancelled or its claim lost, its time is over, or the worker stops."""
        return self._job.stopped is not None


class Context(Seen):
    """For ``async def`` handlers. They are cancelled (asyncio.CancelledError) when their work is to end."""

    def __init__(self, queue: AsyncQueue, job: Job) -> None:
        super().__init__(job)
        self._queue = queue

    async def heartbeat(self, *, checkpoint: Any = None, progress: Any = None) -> Heartbeat:
        """Renew the claim now, which the worker does by itself in time, and store what is given (JSON).

        While Redis is away it waits. Raises StaleClaim when the claim has ended: then stop.
        """
        command = commands.heartbeat(self._queue.keys, self.claim, checkpoint=checkpoint, progress=progress)
        try:
            found = await self._send(command)
        except StaleClaim:
            self._job.stopped = self._job.stopped or Stop.LOST
            raise
        if found.cancelled:
            self._job.stopped = self._job.stopped or Stop.CANCELLED
        if checkpoint is not None:
            self.saved = checkpoint
        return found

    async def _send(self, command: Command[T]) -> T:
        """Over every outage: it is no reason to end work whose lease may hold. When it may not, the worker ends it."""
        while True:
            try:
                return await self._queue.run(command)
            except QueueUnavailable:
                if self._job.stopped is not None:
                    raise
                await asyncio.sleep(_PAUSE)

    async def checkpoint(self, value: Any) -> None:
        """Store where the work stands, for whoever goes on with it: JSON, 1 MiB at most."""
        await self.heartbeat(checkpoint=value)

    async def progress(self, note: Any) -> None:
        """Store how far the work is, for people: JSON."""
        await self.heartbeat(progress=note)


class ThreadContext(Seen):
    """For plain functions, each of which runs in a thread. Nobody can end a thread: they must look at ``cancelled``."""

    def __init__(self, inner: Context, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(inner._job)
        self._saved = inner._saved
        self._inner = inner
        self._loop = loop

    def heartbeat(self, *, checkpoint: Any = None, progress: Any = None) -> Heartbeat:
        """As of :class:`Context`, blocking."""
        return self._wait(self._inner.heartbeat(checkpoint=checkpoint, progress=progress))

    def checkpoint(self, value: Any) -> None:
        """As of :class:`Context`, blocking."""
        self._wait(self._inner.checkpoint(value))

    def progress(self, note: Any) -> None:
        """As of :class:`Context`, blocking."""
        self._wait(self._inner.progress(note))

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        sent: Future[T] = asyncio.run_coroutine_threadsafe(call, self._loop)
        return sent.result()
