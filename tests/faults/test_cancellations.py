"""An asyncio task that is cancelled in the middle of a claim: no task is left with an agent that is not told of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from lokiredis import AsyncQueue, Claim, Exchange, Finished, Heartbeat, NoClaim, Queue
from lokiredis.commands import Command

from ..lua.moves import REPORT
from ..servers import Backend, RedisServer
from .calling import NAME

pytestmark = pytest.mark.faults

TYPE = "build"
_WAYS: dict[str, Callable[..., Awaitable[Any]]] = {
    "claim": lambda queue, **more: queue.claim("me", TYPE, **more),
    "claim_many": lambda queue, **more: queue.claim_many("me", TYPE, 3, **more),
    "exchange": lambda queue, **more: queue.exchange("me", TYPE, limit=5, **more),
}
each_way = pytest.mark.parametrize("way", _WAYS)


class _Slow(AsyncQueue):
    """A client whose first answer is there, but on its way until ``arrive`` is set. ``sent`` are its scripts."""

    def __init__(self, redis_client: Any, name: str, **options: Any) -> None:
        super().__init__(redis_client, name, **options)
        self.sent: list[str] = []
        self.acted, self.arrive = asyncio.Event(), asyncio.Event()

    async def _send(self, command: Command[Any]) -> Any:
        self.sent.append(command.script.name)
        answer = await super()._send(command)
        if len(self.sent) == 1:
            self.acted.set()
            await self.arrive.wait()
        return answer


async def _cancelled(call: Awaitable[Any], agent: _Slow) -> None:
    """Cancel a call while its answer is on its way."""
    calling = asyncio.ensure_future(call)
    await agent.acted.wait()
    calling.cancel()
    # It has heard of that before its answer comes.
    await asyncio.sleep(0)
    agent.arrive.set()
    with pytest.raises(asyncio.CancelledError):
        await calling


def _claims(found: Claim | NoClaim | list[Claim] | Exchange) -> list[Claim]:
    if isinstance(found, Claim):
        return [found]
    if isinstance(found, NoClaim):
        return []
    return list(found.claims if isinstance(found, Exchange) else found)


def _plan(queue: Queue) -> None:
    queue.enqueue_many({"id": f"t-{n}", "type": TYPE, "payload": {"n": n}} for n in range(5))


@each_way
def test_the_tasks_of_a_cancelled_call_are_handed_back(way: str, queue: Queue, backend: Backend) -> None:
    """What its answer gives out is released, uncharged, by one more call."""
    _plan(queue)

    async def run() -> None:
        async with backend.async_client() as redis, _Slow(redis, queue.name) as agent:
            await _cancelled(_WAYS[way](agent), agent)
            assert agent.sent == [way.removesuffix("_many"), "exchange"]

    asyncio.run(run())
    counts = queue.counts()
    assert (counts["pending"], counts["in-progress"]) == (5, 0)
    assert [attempt.outcome for attempt in queue.get("t-0").attempts] == ["released"]
    assert queue.get("t-0").retries == 0


def test_a_cancelled_exchange_of_several_calls(queue: Queue, backend: Backend) -> None:
    """It is carried to its end: each ending counts, and what its last call claims is handed back."""
    queue.enqueue_many({"type": TYPE, "payload": {"n": n}} for n in range(253))
    finished = [Finished(claim, decision_report=REPORT) for claim in queue.claim_many("me", TYPE, 250)]

    async def run() -> None:
        async with backend.async_client() as redis, _Slow(redis, queue.name) as agent:
            await _cancelled(agent.exchange("me", TYPE, finished=finished, limit=5), agent)
            assert agent.sent == ["exchange"] * 4

    asyncio.run(run())
    counts = queue.counts()
    assert (counts["completed"], counts["pending"], counts["in-progress"]) == (250, 3, 0)


@each_way
def test_what_has_an_id_of_the_callers_own_is_kept(way: str, queue: Queue, backend: Backend) -> None:
    """After a cancellation too: its caller asks for it again by that id, and the claim must still hold."""
    _plan(queue)

    async def run() -> Any:
        async with backend.async_client() as redis, _Slow(redis, queue.name) as agent:
            await _cancelled(_WAYS[way](agent, request="job7"), agent)
            assert len(agent.sent) == 1
            return await _WAYS[way](agent, request="job7")

    found = asyncio.run(run())
    claims = _claims(found)
    assert len(claims) == queue.counts()["in-progress"] > 0
    assert all(isinstance(beat, Heartbeat) for beat in queue.heartbeat_many(claims))


@each_way
def test_the_end_of_asyncio_run_loses_no_task(way: str, queue: Queue, backend: Backend) -> None:
    """It cancels every task there is, so that nobody is left to read the answer: the same request gives it again."""
    _plan(queue)

    async def run() -> tuple[asyncio.Future[Any], _Slow]:
        agent = _Slow(backend.async_client(), queue.name)
        calling = asyncio.ensure_future(_WAYS[way](agent))
        await agent.acted.wait()
        return calling, agent

    calling, agent = asyncio.run(run())
    assert calling.cancelled()
    assert agent.sent == [way.removesuffix("_many")] * 2 + ["exchange"]
    counts = queue.counts()
    assert (counts["pending"], counts["in-progress"]) == (5, 0)


@each_way
def test_an_outage_while_handing_back_is_not_raised(way: str, program7: Path) -> None:
    """The server goes with the cancellation: the cancellation is what the caller gets, soon."""

    async def run(server: RedisServer) -> None:
        async with server.async_client() as redis, _Slow(redis, NAME, retry_for=0.2) as agent:
            calling = asyncio.ensure_future(_WAYS[way](agent))
            await agent.acted.wait()
            await asyncio.to_thread(server.kill)
            began = time.monotonic()
            calling.cancel()
            await asyncio.sleep(0)
            agent.arrive.set()
            with pytest.raises(asyncio.CancelledError):
                await calling
            assert time.monotonic() - began < 5

    with RedisServer(program7, tcp=True) as server:
        with Queue.from_url(server.url, NAME) as queue:
            _plan(queue)
        asyncio.run(run(server))


@pytest.mark.parametrize("way", ["claim_many", "exchange"])
async def test_a_call_cancelled_at_any_moment_loses_no_task(way: str, server7: RedisServer, queue_name: str) -> None:
    """100 calls are cancelled after a moment: each task was given to somebody or is still there."""
    chance = random.Random(7)
    queue = AsyncQueue(server7.async_client(), queue_name)
    got = 0
    for number in range(100):
        await queue.enqueue(type=TYPE, payload={"n": number})
        calling = asyncio.ensure_future(_WAYS[way](queue))
        await asyncio.sleep(chance.uniform(0, 0.001))
        calling.cancel()
        try:
            got += len(_claims(await calling))
        except asyncio.CancelledError:
            pass
    counts = await queue.counts()
    assert (counts["in-progress"], counts["pending"]) == (got, 100 - got)
    await queue.close()
    await queue.redis.aclose()
