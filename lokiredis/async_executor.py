"""As executor.py, for asyncio."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any, TypeVar

from redis.exceptions import MovedError, ResponseError

from . import steps
from .commands import Command
from .connect import (
    AsyncRedis,
    block_here,
    blocking_twin,
    leave_server_async,
    may_block_here,
    node_of,
)
from .errors import LokiRedisError
from .executor import LOADS, REFUSED_PAUSE, Client, Progress
from .kept_connections import AsyncKeptConnections
from .outages import FAILURES, async_retries, is_demoted, translate
from .scripts import Loaded, Script
from .server import is_loaded_already, lacks_script, read_server_async, refuses_functions

T = TypeVar("T")


class AsyncExecutor(Client):
    """Awaited calls. It belongs to the event loop that it is first used in."""

    def __init__(self, redis_client: AsyncRedis, name: str, retry_for: float) -> None:
        super().__init__(name, retry_for)
        self.redis = redis_client
        self._blocking: AsyncRedis | None = None
        self._kept: AsyncKeptConnections | None = None
        self._owned = False
        self._loop: asyncio.AbstractEventLoop | None = None
        #: time.monotonic() when Redis last was away for an attempt: a call that is repeated does not stand still.
        self._failed_at = 0.0

    def _failed(self) -> None:
        self._failed_at = time.monotonic()

    def _stay_in_loop(self) -> None:
        """Connections work only in the event loop that they were made in: asyncio says that in its own words."""
        here = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = here
        if self._loop is not here:
            raise LokiRedisError("an AsyncQueue belongs to one event loop: make one of its own in each asyncio.run()")

    async def run(self, command: Command[T]) -> T:
        """Send a command, again while Redis is away, and read its reply. Cancelled, it hands back what it claimed."""
        if command.undo is None:
            return await self._answer(command)
        return await self._drive_to_end(steps.one(command))

    async def _answer(self, command: Command[T]) -> T:
        self._stay_in_loop()
        try:
            return command.parse(await self._send(command))
        except FAILURES as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
        self._failed()
        try:
            async for attempt in async_retries(lambda: min(self.retry_for, command.patience), self._failed):
                with attempt:
                    return command.parse(await self._send(command))
        except FAILURES as e:
            raise self._translated(e) from e
        raise AssertionError("tenacity ended without a result")

    async def _send(self, command: Command[Any]) -> Any:
        try:
            return await self._send_once(command)
        except ResponseError as e:
            await self._leave_replica(e)
            raise

    async def _leave_replica(self, error: BaseException) -> None:
        """As :meth:`Executor._leave_replica`."""
        if not is_demoted(error):
            return
        if self._kept is not None:
            await self._kept.drop()
        for client in filter(None, (self.redis, self._blocking)):
            await leave_server_async(client)

    async def _send_once(self, command: Command[Any]) -> Any:
        if self._server is None:
            self._server = await read_server_async(self.redis)
        try:
            return await self._call(self._loaded(command.script), command)
        except ResponseError as e:
            if not lacks_script(e) and not (refuses_functions(e) and self._goes_without(e)):
                raise
        self._server = (await read_server_async(self.redis)).as_known_from(self._server)
        for _ in range(LOADS):
            try:
                return await self._call(await self._load(command.script), command)
            except ResponseError as e:
                if not lacks_script(e):
                    raise
                refused = e
        raise refused

    async def _call(self, loaded: Loaded, command: Command[Any]) -> Any:
        words = self._words(loaded, command)
        if self._kept is not None:
            return await self._kept.call(words)
        return await self.redis.execute_command(*words)

    async def _load(self, script: Script) -> Loaded:
        loaded = self._loaded(script)
        try:
            if loaded.is_library:
                await self.redis.execute_command(
                    "FUNCTION LOAD", loaded.source, **node_of(self.redis, self.keys.prefix)
                )
            else:
                await self.redis.execute_command("SCRIPT LOAD", loaded.source, **node_of(self.redis, self.keys.prefix))
        except ResponseError as e:
            if loaded.is_library and self._goes_without(e):
                return await self._load(script)
            if not is_loaded_already(e):
                raise
        return loaded

    async def _drive_to_end(self, todo: steps.Steps[T]) -> T:
        """As :meth:`_drive`, for steps whose last answer may hold claims: cancelled, they are handed back first."""
        progress = Progress()
        inner = asyncio.ensure_future(self._drive(todo, progress))
        try:
            await asyncio.wait([inner])
        except asyncio.CancelledError:
            await asyncio.shield(self._give_up(inner, progress))
            raise
        return inner.result()

    async def _drive(self, todo: steps.Steps[T], progress: Progress | None = None) -> T:
        progress = progress or Progress()
        answer: Any = None
        raised: LokiRedisError | None = None
        try:
            while True:
                step = todo.throw(raised) if raised else todo.send(answer)
                answer, raised = None, None
                progress.at(step)
                if isinstance(step, Command):
                    try:
                        answer = await self._answer(step)
                    except LokiRedisError as e:
                        raised = e
                elif isinstance(step, steps.Sleep):
                    await asyncio.sleep(step.seconds)
                else:
                    await self._block(step)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]

    async def _drive_in_thread(self, todo: steps.Steps[T]) -> T:
        """As :meth:`_drive`, for commands between which files are read or written: the loop goes on meanwhile."""
        answer: Any = None
        raised: LokiRedisError | None = None
        while True:
            step = await asyncio.to_thread(steps.advance, todo, answer, raised)
            answer, raised = None, None
            if isinstance(step, steps.Done):
                return step.value  # type: ignore[no-any-return]
            assert isinstance(step, Command), "steps with files don't wait"
            try:
                answer = await self._answer(step)
            except LokiRedisError as e:
                raised = e

    async def _block(self, step: steps.Block) -> None:
        try:
            if may_block_here(self.redis):
                await block_here(self._kept or self.redis.connection_pool, step.marks, step.seconds)
            else:
                await self._block_beside(step)
        except MovedError:
            self._blocking = None
        except FAILURES as e:
            if not translate.is_outage(e):
                raise self._translated(e) from None
            self._failed()
            await self._leave_replica(e)
            await asyncio.sleep(min(step.seconds, random.uniform(*REFUSED_PAUSE)))

    async def _block_beside(self, step: steps.Block) -> None:
        """On a client of our own: the given one may be a cluster's, or its pool too small for a call that lasts."""
        if self._blocking is None:
            self._blocking = blocking_twin(self.redis, steps.LONGEST_BLOCK, step.marks[0])
        await self._blocking.bzpopmin(list(step.marks), timeout=str(step.seconds))

    async def _give_up(self, inner: asyncio.Future[Any], progress: Progress) -> None:
        """End cancelled steps without losing a task: what was claimed while the cancellation came is handed back.

        A call under way is waited for. Waiting is cancelled until it has heard: redis-py sends through
        asyncio.wait_for, which before Python 3.12 swallows a cancellation that comes as the sending ends.
        """
        while not inner.done():
            if progress.waits:
                inner.cancel()
            await asyncio.wait([inner], timeout=0.05)
        command = progress.command
        if command is None or command.undo is None:
            return
        try:
            # asyncio.run() cancels every task when it ends, this one too, in the middle of its call. Whether that had
            # come through or not, the same request has the same answer (design rule 9). One try, as somebody leaves.
            found = command.parse(await self._send(command)) if inner.cancelled() else inner.result()
            following = command.undo(found)
            while following is not None:
                found = await self._answer(following)
                following = None if following.undo is None else following.undo(found)
        except (*FAILURES, LokiRedisError):
            pass  # the cancellation is what the caller gets; the tasks come back with the end of their leases
