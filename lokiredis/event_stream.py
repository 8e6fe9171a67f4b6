"""Reading the event stream: the steps of event_steps.py, carried out by either client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator
from typing import TypeVar

from redis.exceptions import MovedError, RedisError

from .async_executor import AsyncExecutor
from .connect import AsyncRedis, SyncRedis, blocking_twin
from .errors import QueueUnavailable
from .event_cursor import BEGIN
from .event_steps import Found, Plan, Reading, Since
from .executor import Client, Executor
from .models import Event
from .outages import translate
from .steps import LONGEST_BLOCK, Sleep

T = TypeVar("T")


def reading(client: Client, since: Since, *, follow: bool, timeout: float | None) -> Reading:
    """What one call of events() does."""
    return Reading(
        client.keys.events,
        since,
        follow=follow,
        timeout=timeout,
        retry_for=client.retry_for,
        now=time.monotonic,
    )


def _lost(client: Client, error: BaseException) -> QueueUnavailable:
    """The outage that the steps are told of. Any other error is raised."""
    # The queue is on another node of the cluster now: the next connection goes there.
    if isinstance(error, MovedError) or translate.is_outage(error):
        return QueueUnavailable(client._translated(error).message)
    raise client._translated(error) from None


def read(queue: Executor, plan: Plan[T]) -> Generator[Event, None, T]:
    """The events that *plan* finds, then its result."""
    blocking = answer = lost = None
    try:
        while True:
            try:
                step = plan.throw(lost) if lost else plan.send(answer)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            answer = lost = None
            if isinstance(step, Found):
                yield from step.events
            elif isinstance(step, Sleep):
                time.sleep(step.seconds)
            else:
                try:
                    if step.blocks and blocking is None:
                        blocking = blocking_twin(queue.redis, LONGEST_BLOCK, queue.keys.events)
                    client: SyncRedis = blocking if step.blocks else queue.redis
                    answer = client.execute_command(*step.words)
                except (RedisError, OSError) as e:
                    lost = _lost(queue, e)
                    _close(blocking)
                    blocking = None
                except Exception:
                    raise
                except BaseException:
                    # Interrupted: the reply may still come on this connection.
                    queue._give_up(None)
                    raise
    finally:
        _close(blocking)


def _close(blocking: SyncRedis | None) -> None:
    if blocking is not None:
        blocking.close()
        blocking.connection_pool.disconnect()


def newest(queue: Executor) -> str:
    """The cursor behind the last event that is kept. Raises QueueUnavailable."""
    steps = read(queue, reading(queue, None, follow=False, timeout=None).newest())
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return str(done.value or BEGIN)


async def read_async(queue: AsyncExecutor, plan: Plan[None]) -> AsyncIterator[Event]:
    """As :func:`read`, for asyncio."""
    queue._stay_in_loop()
    blocking = answer = lost = None
    try:
        while True:
            try:
                step = plan.throw(lost) if lost else plan.send(answer)
            except StopIteration:
                return
            answer = lost = None
            if isinstance(step, Found):
                for event in step.events:
                    yield event
            elif isinstance(step, Sleep):
                await asyncio.sleep(step.seconds)
            else:
                try:
                    if step.blocks and blocking is None:
                        await queue.redis.initialize()  # a cluster client knows its nodes only then
                        blocking = blocking_twin(queue.redis, LONGEST_BLOCK, queue.keys.events)
                    client: AsyncRedis = blocking if step.blocks else queue.redis
                    answer = await client.execute_command(*step.words)
                except (RedisError, OSError) as e:
                    lost = _lost(queue, e)
                    await _aclose(blocking)
                    blocking = None
    finally:
        await _aclose(blocking)


async def _aclose(blocking: AsyncRedis | None) -> None:
    if blocking is not None:
        await blocking.aclose(close_connection_pool=True)
