"""The connections that a blocking client keeps from call to call: whose reply comes over them, and when they go."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis

from lokiredis import AsyncQueue, Queue, QueueUnavailable, StaleClaim, TaskNotFound
from lokiredis.connect import connect, connect_async
from lokiredis.kept_connections import AsyncKeptConnections, KeptConnections

from ..servers import RedisServer


@pytest.fixture(params=["tcp", "socket"])
def url(request: pytest.FixtureRequest, redis7_server: RedisServer) -> str:
    return redis7_server.url if request.param == "tcp" else redis7_server.socket_url


@pytest.fixture
def queue(url: str, queue_name: str) -> Iterator[Queue]:
    with Queue.from_url(url, queue_name) as made:
        made.enqueue(type="a", id="first")
        yield made


def _own(queue: Queue) -> Any:
    """The connection that calls go over."""
    queue.counts()  # after a refusal it is the pool's, until the next call
    assert queue._kept is not None
    [connection] = queue._kept._idle
    return connection


def _connections(redis: Any, *, of: set[str]) -> int:
    return len([client for client in redis.client_list() if client["id"] not in of])


def test_one_connection_serves_call_after_call(queue: Queue) -> None:
    """After a refusal, too, and when the scripts are gone: that is how many the server sees."""
    before = _own(queue)
    for number in range(3):
        queue.enqueue(type="a", id=f"x{number}", payload={"n": number})
        claim = queue.claim("me", "a")
        assert claim
        queue.complete(claim, decision_report={"why": "asked for"})
        with pytest.raises(StaleClaim):
            queue.fail(claim, "too late")
    assert _own(queue) is before


def test_a_client_has_one_connection_however_its_calls_end(url: str, queue_name: str) -> None:
    with connect(url) as other:
        before = {client["id"] for client in other.client_list()}
        with Queue.from_url(url, queue_name) as queue:
            queue.enqueue(type="a", id="x")
            with pytest.raises(TaskNotFound):
                queue.get("y")
            other.function_flush()
            other.script_flush()
            assert queue.get("x").id == "x"
            assert _connections(other, of=before) == 1


async def test_an_async_client_too(url: str, queue_name: str) -> None:
    with connect(url) as other:
        before = {client["id"] for client in other.client_list()}
        async with AsyncQueue.from_url(url, queue_name) as queue:
            await queue.enqueue(type="a", id="x")
            with pytest.raises(TaskNotFound):
                await queue.get("y")
            other.function_flush()
            other.script_flush()
            assert (await queue.get("x")).id == "x"
            assert not await queue.claim("me", "b", wait=0.1)
            assert _connections(other, of=before) == 1


def _close_all(url: str) -> None:
    """As a server with a ``timeout`` closes idle connections, or its restart all."""
    with connect(url) as other:
        assert other.client_kill_filter(_type="normal", skipme=True) >= 1


def test_connections_that_were_closed_meanwhile_cost_nobody_a_call(url: str, queue: Queue) -> None:
    """The caller does not hear of it, not even one who wants no retries."""
    queue.retry_for = 0
    count = 6
    together = threading.Barrier(count)

    def work(thread: int) -> None:
        together.wait(30)
        assert queue.get("first").id == "first"

    with ThreadPoolExecutor(count) as threads:
        for _ in range(5):
            list(threads.map(work, range(count)))
            _close_all(url)


async def test_connections_of_an_async_client_that_were_closed_meanwhile(url: str, queue: Queue) -> None:
    async with AsyncQueue.from_url(url, queue.name, retry_for=0) as mine:
        for _ in range(5):
            found = await asyncio.gather(*(mine.get("first") for _ in range(6)))
            assert [task.id for task in found] == ["first"] * 6
            _close_all(url)


def test_a_late_reply_goes_to_nobody(program7: Path, queue_name: str) -> None:
    """The server stands still for longer than a call waits: the next call has its own answer."""
    with (
        RedisServer(program7) as server,
        Queue.from_url(server.url + "?socket_timeout=0.3", queue_name, retry_for=0) as queue,
    ):
        queue.enqueue(type="a", id="first")
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(QueueUnavailable):
                queue.get("first")
        finally:
            os.kill(server.pid, signal.SIGCONT)
        queue.retry_for = 10
        assert queue.counts()["pending"] == 1
        assert queue.get("first").id == "first"


@pytest.mark.parametrize("part", ["send_command", "read_response"])
def test_an_interrupted_call_leaves_its_connection_to_nobody(
    url: str, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    """Ctrl-C before the reply was read: over that connection it would be the next call's."""
    kept = KeptConnections.of(connect(url))
    assert kept is not None
    assert kept.call(("ECHO", "before")) == b"before"
    [connection] = kept._idle
    whole = getattr(connection, part)

    def interrupted(*words: Any) -> None:
        if part == "send_command":
            whole(*words)
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, part, interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept.call(("ECHO", "interrupted"))
    monkeypatch.undo()
    assert kept.call(("ECHO", "after")) == b"after"
    kept.drop()


async def test_a_cancelled_call_leaves_its_connection_to_nobody(program7: Path, queue_name: str) -> None:
    """Cancelled before its reply came, which comes later: the next call has its own."""
    with RedisServer(program7) as server:
        async with AsyncQueue.from_url(server.url, queue_name) as queue:
            await queue.enqueue(type="a", id="first")
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(queue.counts(), 0.2)
            finally:
                os.kill(server.pid, signal.SIGCONT)
            assert (await queue.get("first")).id == "first"
            assert (await queue.counts())["pending"] == 1


def test_a_forked_process_has_its_own(queue: Queue) -> None:
    """Both would read from one socket, each the other's replies."""
    before = _own(queue)
    child = os.fork()
    if child == 0:
        try:
            for number in range(200):
                assert (
                    queue.enqueue(type="a", id=f"child-{number}", payload={"by": "child", "n": number}).id
                    == f"child-{number}"
                )
            os._exit(0 if _own(queue) is not before else 1)
        finally:
            os._exit(2)
    for number in range(200):
        assert (
            queue.enqueue(type="a", id=f"parent-{number}", payload={"by": "parent", "n": number}).id
            == f"parent-{number}"
        )
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _own(queue) is before
    assert queue.counts()["pending"] == 401


def test_threads_share_them_and_they_can_be_given_back(queue: Queue) -> None:
    """At most one for each thread that ever called at once; each thread gets its own replies."""
    count = 8
    together = threading.Barrier(count)

    def work(thread: int) -> None:
        for number in range(20):
            together.wait(30)
            assert (
                queue.enqueue(type="a", id=f"{thread}-{number}", payload={"by": thread, "n": number}).id
                == f"{thread}-{number}"
            )

    with ThreadPoolExecutor(count) as threads:
        for done in [threads.submit(work, thread) for thread in range(count)]:
            done.result(60)
    kept = queue._kept
    assert kept is not None
    assert 1 <= len(kept._idle) <= count
    queue._drop_idle()
    assert kept._idle == []
    assert not [connection for connection in kept._pool._available_connections if connection.is_connected]
    assert queue.counts()["pending"] == 1 + count * 20


def test_closing_the_queue_closes_them(redis7_server: RedisServer, queue_name: str) -> None:
    with Queue.from_url(redis7_server.url, queue_name) as queue:
        queue.enqueue(type="a")
        connection = _own(queue)
        assert connection.is_connected
    assert not connection.is_connected


def test_where_the_pool_has_a_say_nothing_is_kept(redis7_server: RedisServer) -> None:
    """A limit in the URL, a server that may move, fakeredis, a client of the caller's own."""
    url = redis7_server.url
    for one in (url, url.replace("redis:", "rediss:"), redis7_server.socket_url):
        assert KeptConnections.of(connect(one)) is not None
        assert AsyncKeptConnections.of(connect_async(one)) is not None
    for other in (
        url + "?max_connections=3",
        "redis+sentinel://127.0.0.1:1/main",
        "redis+cluster://127.0.0.1:1",
        "memory://",
    ):
        assert KeptConnections.of(connect(other)) is None, other
        assert AsyncKeptConnections.of(connect_async(other)) is None, other
    assert Queue(redis.Redis.from_url(url), "q")._kept is None
    assert AsyncQueue(redis.asyncio.Redis.from_url(url), "q")._kept is None


def test_one_connection_is_enough_where_the_url_says_so(redis7_server: RedisServer, queue_name: str) -> None:
    with Queue.from_url(redis7_server.url + "?max_connections=1", queue_name, retry_for=0) as queue:
        queue.enqueue(type="a", id="x")
        assert queue.claim("me", "a")
        assert next(iter(queue.events())).id == "x"
