"""A worker tells the queue of itself, seldom while it is idle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio

from lokiredis import AsyncQueue, Queue
from lokiredis.replies import SILENT
from lokiredis.worker import Context, Worker
from lokiredis.worker.announcing import Announcer, News

from ..conftest import lacking
from ..servers import RedisServer, programs
from .conftest import started, until

REPORT: dict[str, Any] = {"decisionReport": {"why": "asked for"}}
Make = Callable[..., Worker]


def _asynchronous(queue: Queue) -> AsyncQueue:
    return AsyncQueue(redis.asyncio.Redis(), queue.name)


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
    announcer = Announcer(_asynchronous(queue), "me", lambda: ("a",), lambda: news, 60)
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


async def test_a_word_that_a_restart_has_lost_is_said_again(queue_name: str) -> None:
    """With the first claim after it, though the server was away for a moment only and nobody speaks of an outage."""
    with RedisServer(programs().get("redis7") or lacking("redis7: no such server")) as server:
        async with AsyncQueue.from_url(server.url, queue_name) as mine:
            worker = Worker(mine, agent="me", lease=600)
            worker.handler("a")(lambda context: None)
            run = started(worker)

            def listed() -> bool:
                with server.client() as client:
                    return [agent.name for agent in Queue(client, queue_name).agents()] == ["me"]

            def waits() -> bool:
                with server.client() as client:
                    return bool(client.info("clients")["blocked_clients"])

            await until(lambda: listed() and waits())
            server.kill()
            server.start()  # without its data
            await until(lambda: listed() and waits())
            assert not worker.away
            worker.stop()
            await asyncio.wait_for(run, 10)


def test_however_long_the_lease_a_day_is_not_passed_in_silence(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is silent for a day is forgotten."""
    announcer = Announcer(_asynchronous(queue), "me", lambda: ("a",), lambda: News((), 0, 0, asks=True), 30 * 86_400)
    told: list[int] = []
    monkeypatch.setattr(queue, "run", lambda command: told.append(int(command.argv[-1]) // 1000))
    announcer.tell(queue)
    assert 2 * told[0] < 86_400
