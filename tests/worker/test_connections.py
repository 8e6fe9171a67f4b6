"""How many connections waiting agents hold, and that a wait leaves every other call its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from lokiredis import AsyncQueue, Claim, Queue
from lokiredis.connect import may_block_here
from lokiredis.worker import Context, Worker

from ..conftest import lacking
from ..servers import RedisServer, programs
from ..waiting import wait_until
from .conftest import started, until

REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


async def test_an_idle_worker_holds_two_connections(queue: Queue, make_worker: Make) -> None:
    """One by which it claims, waits and tells of itself, one by which it listens. The heartbeats' own is given back."""
    others = {client["id"] for client in queue.redis.client_list()}

    def connections() -> list[str]:
        return sorted(client["cmd"] for client in queue.redis.client_list() if client["id"] not in others)

    worker = make_worker(lease=1)

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        await until(lambda: len(connections()) == 3)
        return REPORT

    started(worker)
    await until(lambda: connections() == ["bzpopmin", "subscribe"])
    queue.enqueue(type="a", id="x")
    await until(lambda: queue.counts()["completed"] == 1)
    await until(lambda: connections() == ["bzpopmin", "subscribe"])


async def test_a_waiting_claim_holds_one_connection(redis7_server: RedisServer, queue: Queue) -> None:
    """Cancelled in its wait it leaves that connection to nobody: its late answer would be the next call's."""
    others = {client["id"] for client in queue.redis.client_list()}

    def connections() -> list[str]:
        return [client["cmd"] for client in queue.redis.client_list() if client["id"] not in others]

    async with AsyncQueue.from_url(redis7_server.url, queue.name) as mine:
        for number in range(3):
            claim = asyncio.ensure_future(mine.claim("me", ["a"], lease=60, wait=None))
            await until(lambda: connections() == ["bzpopmin"])
            claim.cancel()
            await asyncio.wait([claim])
            assert await asyncio.wait_for(mine.counts(), 10) == queue.counts()
            claim = asyncio.ensure_future(mine.claim("me", ["a"], lease=60, wait=None))
            await until(lambda: connections() == ["bzpopmin"])
            queue.enqueue(type="a", id=f"x{number}", payload={"number": number})
            found = await asyncio.wait_for(claim, 10)
            assert isinstance(found, Claim)
            assert found.id == f"x{number}"
            await mine.complete(found, decision_report=REPORT["decisionReport"])


async def test_a_wait_may_be_longer_than_a_call(redis7_server: RedisServer, queue: Queue) -> None:
    """The time limit of calls is put aside for it, and holds for the next call again."""
    async with AsyncQueue.from_url(redis7_server.url, queue.name) as mine:
        mine.redis.connection_pool.connection_kwargs["socket_timeout"] = 0.2
        await mine.claim("me", ["a"], lease=60)
        assert mine._kept is not None
        [connection] = mine._kept._idle
        before = connection._writer
        assert not await mine.claim("me", ["a"], lease=60, wait=1)
        assert mine._kept._idle == [connection]
        assert connection._writer is before
        assert connection.socket_timeout == 0.2


@pytest.mark.parametrize("limit", ["", "?max_connections=3"])
async def test_other_calls_go_on_beside_many_waiting_claims(
    redis7_server: RedisServer, queue: Queue, limit: str
) -> None:
    """In one process, more than a pool of redis-py has places for. Where the URL sets a limit, it is for calls."""
    count = 3 if limit else 150
    async with AsyncQueue.from_url(redis7_server.url + limit, queue.name, retry_for=5 if limit else 0) as mine:
        claims = [asyncio.ensure_future(mine.claim(f"agent-{n}", ["a"], lease=60, wait=None)) for n in range(count)]
        await until(lambda: queue.redis.info("clients")["blocked_clients"] == count)
        added = [mine.enqueue(type="a", id=f"x{n}", payload={"number": n}) for n in range(count)]
        for call in added:
            await call
        found = await asyncio.wait_for(asyncio.gather(*claims), 30)
        assert {claim.id for claim in found if isinstance(claim, Claim)} == {f"x{n}" for n in range(count)}


def test_many_threads_wait_with_one_queue(redis7_server: RedisServer, queue: Queue) -> None:
    """More than a pool of redis-py has places for: each gets a task."""
    count = 110
    with Queue.from_url(redis7_server.url, queue.name) as mine, ThreadPoolExecutor(count) as threads:
        claims = [threads.submit(mine.claim, f"agent-{number}", ["a"], lease=60, wait=60) for number in range(count)]
        wait_until(lambda: queue.redis.info("clients")["blocked_clients"] == count, 30, "all wait")
        mine.enqueue_many([{"id": f"x{number}", "type": "a", "payload": {"n": number}} for number in range(count)])
        found = [claim.result(30) for claim in claims]
    assert {claim.id for claim in found if isinstance(claim, Claim)} == {f"x{number}" for number in range(count)}


def test_a_client_with_a_blocking_pool_waits(redis7_server: RedisServer, queue: Queue) -> None:
    """redis-py fills the list of such a pool with all places that it may have: two thousand million took all memory."""
    pool = redis.BlockingConnectionPool.from_url(redis7_server.url, max_connections=4)
    assert not Queue(redis.Redis(connection_pool=pool), queue.name).claim("me", "a", wait=0.2)


def test_only_connections_of_our_own_kind_are_shared_with_a_wait(redis7_server: RedisServer) -> None:
    """An older fakeredis keeps one whose wait was cancelled, and its late reply goes to the next call."""
    assert may_block_here(AsyncQueue.from_url(redis7_server.url, "q").redis)
    other = AsyncRedis.from_url(redis7_server.url, max_connections=2**31)
    assert not may_block_here(other)


async def test_a_wait_ends_on_a_server_that_says_nothing(queue_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A little after the wait itself would have ended: a connection that is dead unnoticed would hold it for ever."""
    monkeypatch.setattr("lokiredis.connect._BLOCK_MARGIN", 0.2)
    with RedisServer(programs().get("redis7") or lacking("redis7: no such server")) as server:
        async with AsyncQueue.from_url(server.url, queue_name) as mine:
            claim = asyncio.ensure_future(mine.claim("me", ["a"], wait=1))
            with server.client() as client:
                await until(lambda: client.info("clients")["blocked_clients"] == 1)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                await until(lambda: mine._failed_at, "the end of the wait")
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert not await asyncio.wait_for(claim, 30)
