"""A worker tells the queue of itself, and costs the server little while it is idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis

from lokiredis import AsyncQueue, Claim, Queue, QueueUnavailable
from lokiredis.connect import may_block_here
from lokiredis.replies import SILENT
from lokiredis.worker import Context, Worker
from lokiredis.worker.announcing import Announcer, News
from lokiredis.worker.outage import Outage

from ..servers import RedisServer
from ..waiting import wait_until
from .conftest import started, until

REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


async def test_it_announces_itself(queue: Queue, make_worker: Make) -> None:
    """With what it works on; and it leaves when it stops."""
    worker = make_worker(lease=1)
    go_on = asyncio.Event()

    @worker.handler("a")
    async def work(context: Context) -> dict[str, Any]:
        await go_on.wait()
        return REPORT

    run = started(worker)
    [agent] = await until(queue.agents)
    assert (agent.name, agent.types, agent.state) == ("me", ("a",), "idle")
    queue.enqueue(type="a", id="x")
    await until(lambda: queue.agents()[0].tasks == ("x",))
    go_on.set()
    await until(lambda: queue.agents()[0].completed == 1)
    worker.stop()
    await asyncio.wait_for(run, 10)
    assert queue.agents() == []


def test_an_idle_worker_announces_itself_less_often(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it asks for work, every other lease: a thousand idle ones shall cost the server little.

    What nobody heard is said again the next time, before anybody takes it for lost; news is told at once.
    """
    second, news = 0, News((), 0, 0, asks=True)
    monkeypatch.setattr("lokiredis.worker.announcing.time", SimpleNamespace(monotonic=lambda: second))
    announcer = Announcer(queue, "me", lambda: ("a",), lambda: news, 60, Outage())
    told: dict[int, int] = {}

    def send(command: Any) -> None:
        told[second] = int(command.argv[-1]) // 1000

    monkeypatch.setattr(queue, "run", send)
    for second in range(601):
        news = News((), int(second >= 50), 0, asks=second < 490)
        if second % 20 == 0:
            announcer.tell(queue)
        if second % 29 == 0 and news.asks and (word := announcer.again()):
            command, heard = word
            send(command)
            if second > 200:
                heard()
    assert told == {
        0: 60,
        60: 60,
        174: 60,
        203: 60,
        319: 60,
        435: 60,
        500: 60,
        520: 60,
        540: 60,
        560: 60,
        580: 60,
        600: 60,
    }
    announcer.tell(queue, True)
    assert told[600] == 0
    times = [0, 60, 203, 319, 435, 500]  # where it was heard
    assert max(later - earlier for earlier, later in pairwise(times)) < SILENT * 60


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
    """Cancelled in its wait it leaves the connection's late answer to nobody."""
    others = {client["id"] for client in queue.redis.client_list()}

    def connections() -> list[str]:
        return [client["cmd"] for client in queue.redis.client_list() if client["id"] not in others]

    async with AsyncQueue.from_url(redis7_server.url, queue.name) as mine:
        for number in range(3):
            claim = asyncio.ensure_future(mine.claim("me", ["a"], lease=60, wait=None))
            await until(lambda: connections() == ["bzpopmin"])
            claim.cancel()
            await asyncio.wait([claim])
            assert await mine.counts() == queue.counts()
            claim = asyncio.ensure_future(mine.claim("me", ["a"], lease=60, wait=None))
            await until(lambda: connections() == ["bzpopmin"])
            queue.enqueue(type="a", id=f"x{number}", payload={"number": number})
            found = await claim
            assert isinstance(found, Claim)
            assert found.id == f"x{number}"
            await mine.complete(found, decision_report=REPORT["decisionReport"])


async def test_a_wait_may_be_longer_than_a_call(redis7_server: RedisServer, queue: Queue) -> None:
    """The time limit of calls is put aside for it, and holds for the next call again."""
    async with AsyncQueue.from_url(redis7_server.url, queue.name) as mine:
        pool = mine.redis.connection_pool
        pool.connection_kwargs["socket_timeout"] = 0.2
        await mine.claim("me", ["a"], lease=60)
        [connection] = pool._available_connections
        before = connection._writer
        assert not await mine.claim("me", ["a"], lease=60, wait=1)
        assert pool._available_connections == [connection]
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


def test_a_word_that_an_outage_may_have_lost_is_said_again(queue: Queue) -> None:
    """With the first claim after it: the server may have come back without it."""
    outage = Outage()
    announcer = Announcer(queue, "me", lambda: ("a",), lambda: News((), 0, 0, asks=True), 60, outage)
    announcer.tell(queue)
    assert announcer.again() is None
    outage.begins(QueueUnavailable("away"))
    word = announcer.again()
    assert word is not None
    word[1]()
    assert announcer.again() is None


def test_a_client_with_a_blocking_pool_waits(redis7_server: RedisServer, queue: Queue) -> None:
    """redis-py fills the list of such a pool with all places that it may have: two thousand million took all memory."""
    pool = redis.BlockingConnectionPool.from_url(redis7_server.url, max_connections=4)
    assert not Queue(redis.Redis(connection_pool=pool), queue.name).claim("me", "a", wait=0.2)


def test_only_connections_of_our_own_kind_are_shared_with_a_wait(redis7_server: RedisServer) -> None:
    """An older fakeredis keeps one whose wait was cancelled, and its late reply goes to the next call."""
    assert may_block_here(AsyncQueue.from_url(redis7_server.url, "q").redis)
    other = AsyncRedis.from_url(redis7_server.url, max_connections=2**31)
    assert not may_block_here(other)
