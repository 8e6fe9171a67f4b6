"""A failover by name: what the client connects to means another server now, and the old one is its replica."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as aioredis

from lokiredis import AsyncQueue, Queue

from ..invariants import check
from ..servers import RedisServer, free_port
from ..waiting import wait_until
from .calling import NAME

pytestmark = pytest.mark.faults

#: A client of ours keeps its connections; with a limit they are the pool's, as those of a client that is given.
_OURS = ("url", "url?max_connections=9")
_MADE = (*_OURS, "given", "given, of one connection")
each = pytest.mark.parametrize("made", _MADE)


@dataclass(frozen=True)
class _Name:
    """A path that leads to one server's socket, and after a failover to another's."""

    path: Path
    first: RedisServer
    second: RedisServer

    def moves(self, *, up: bool = True) -> None:
        """Not *up*: the demoted server never hears of its new primary."""
        port = self.second.port if up else free_port()
        with self.first.client() as demoted:
            demoted.config_set("replica-serve-stale-data", "yes" if up else "no")
            demoted.replicaof("127.0.0.1", str(port))
            wait_until(lambda: demoted.info("replication")["master_link_status"] == ("up" if up else "down"), 30)
        moved = self.path.with_name("moved")
        moved.symlink_to(self.second.socket)
        moved.replace(self.path)

    def is_waited_on(self, server: RedisServer) -> bool:
        with server.client() as asked:
            return int(asked.info("clients")["blocked_clients"]) > 0

    def queue(self, made: str, retry_for: float = 0) -> Queue:
        if made in _OURS:
            return Queue.from_url(f"unix://{self.path}{made[3:]}", NAME, retry_for=retry_for)
        client = redis.Redis(unix_socket_path=str(self.path), single_connection_client=made != "given")
        return Queue(client, NAME, retry_for=retry_for)

    def async_queue(self, made: str, retry_for: float = 0) -> AsyncQueue:
        if made in _OURS:
            return AsyncQueue.from_url(f"unix://{self.path}{made[3:]}", NAME, retry_for=retry_for)
        client = aioredis.Redis(unix_socket_path=str(self.path), single_connection_client=made != "given")
        return AsyncQueue(client, NAME, retry_for=retry_for)


@pytest.fixture
def name(program: Path) -> Iterator[_Name]:
    options: dict[str, Any] = {"tcp": True, "config": {"repl-diskless-sync-delay": 0}}
    with RedisServer(program, **options) as first, RedisServer(program, **options) as second:
        path = first.folder / "name"
        os.symlink(first.socket, path)
        yield _Name(path, first, second)
        with second.client() as found:
            check(found, NAME)


up = pytest.mark.parametrize("up", [True, False], ids=["READONLY", "MASTERDOWN"])


@each
@up
def test_the_next_try_asks_the_server_that_the_name_means_now(name: _Name, made: str, up: bool) -> None:
    """One refusal by the old one, and the call succeeds: its connections are closed, also those that were idle."""
    with name.queue(made) as queue:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: queue.enqueue(type="a", id=f"before-{n}"), range(4)))
        name.moves(up=up)
        assert queue.enqueue(type="a", id="after").created
        assert queue.claim("me", "a", wait=0)
        assert queue.counts()["in-progress"] == 1
        if not queue._owned:
            queue.redis.close()


@each
@up
async def test_an_async_client_too(name: _Name, made: str, up: bool) -> None:
    """As with a blocking one."""
    async with name.async_queue(made) as queue:
        await asyncio.gather(*(queue.enqueue(type="a", id=f"before-{n}") for n in range(4)))
        await asyncio.to_thread(name.moves, up=up)
        assert (await queue.enqueue(type="a", id="after")).created
        assert await queue.claim("me", "a", wait=0)
        assert (await queue.counts())["in-progress"] == 1
        if not queue._owned:
            await queue.redis.aclose()


@pytest.mark.parametrize("made", ["url", "given"])
def test_a_claim_that_waits_goes_there(name: _Name, made: str) -> None:
    """It hears of the failover as it waits, and gets what comes on the new server, from a wait there."""
    with (
        name.queue(made, retry_for=20) as queue,
        ThreadPoolExecutor(1) as thread,
        Queue.from_url(name.second.url, NAME) as other,
    ):
        found = thread.submit(queue.claim, "me", "a", wait=60)
        wait_until(lambda: name.is_waited_on(name.first), 30, "a claim that waits")
        name.moves()
        wait_until(lambda: name.is_waited_on(name.second), 30, "a claim that waits on the new server")
        other.enqueue(type="a", id="after")
        claim = found.result(timeout=60)
        assert claim
        assert claim.id == "after"
        if not queue._owned:
            queue.redis.close()


@pytest.mark.parametrize("made", ["url", "given"])
async def test_an_async_claim_that_waits_too(name: _Name, made: str) -> None:
    """As with a blocking one."""
    async with name.async_queue(made, retry_for=20) as queue, AsyncQueue.from_url(name.second.url, NAME) as other:
        found = asyncio.ensure_future(queue.claim("me", "a", wait=60))
        await asyncio.to_thread(wait_until, lambda: name.is_waited_on(name.first), 30, "a claim that waits")
        await asyncio.to_thread(name.moves)
        await asyncio.to_thread(wait_until, lambda: name.is_waited_on(name.second), 30, "one on the new server")
        await other.enqueue(type="a", id="after")
        claim = await asyncio.wait_for(found, 60)
        assert claim
        assert claim.id == "after"
        if not queue._owned:
            await queue.redis.aclose()


def test_a_wait_on_a_connection_from_before_goes_there(name: _Name) -> None:
    """The connection for waiting was idle meanwhile, and the old server stays a replica: it is not waited on again."""
    with name.queue("url") as queue:
        assert not queue.claim("me", "a", wait=0.05)
        name.moves()
        with ThreadPoolExecutor(1) as thread, Queue.from_url(name.second.url, NAME) as other:
            found = thread.submit(queue.claim, "me", "a", wait=60)
            wait_until(lambda: name.is_waited_on(name.second), 30, "a claim that waits on the new server")
            other.enqueue(type="a", id="after")
            assert found.result(timeout=60)


def test_a_connection_in_use_is_left_alone(name: _Name) -> None:
    """The caller listens on one of their client, to the old server, which hears all from the new one."""
    with name.queue("given") as queue, queue.redis, queue.redis.pubsub(ignore_subscribe_messages=True) as channel:
        queue.enqueue(type="a", id="before")
        channel.subscribe("news")
        name.moves()
        assert queue.enqueue(type="a", id="after").created
        with name.second.client() as new:
            new.publish("news", "heard")
        heard = wait_until(lambda: channel.get_message(timeout=1), 30, "the message")
        assert heard["data"] == b"heard"
        with name.first.client() as old:
            assert old.pubsub_numsub("news") == [(b"news", 1)]


async def test_a_connection_in_use_of_an_async_client_is_left_alone(name: _Name) -> None:
    """As with a blocking one."""
    async with (
        name.async_queue("given") as queue,
        queue.redis,
        queue.redis.pubsub(ignore_subscribe_messages=True) as channel,
    ):
        await queue.enqueue(type="a", id="before")
        await channel.subscribe("news")
        await asyncio.to_thread(name.moves)
        assert (await queue.enqueue(type="a", id="after")).created
        with name.second.client() as new:
            new.publish("news", "heard")
        heard = None
        while heard is None:
            heard = await channel.get_message(timeout=30)
        assert heard["data"] == b"heard"
        with name.first.client() as old:
            assert old.pubsub_numsub("news") == [(b"news", 1)]
