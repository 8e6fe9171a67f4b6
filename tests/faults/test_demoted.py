"""A failover by name: the URL leads to another server now, and the old one lives on as its replica."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio as aioredis

from lokiredis import AsyncQueue, Queue

from ..servers import RedisServer
from ..waiting import wait_until
from .calling import CLIENTS, caller

pytestmark = pytest.mark.faults


class Pair:
    """Two servers, and the path of a socket that leads to the one or to the other."""

    def __init__(self, servers: list[RedisServer], path: Path) -> None:
        self.old, self.new = servers
        self.path = path
        self._lead_to(self.old)
        self._replicate(self.new, self.old)

    def _lead_to(self, server: RedisServer) -> None:
        beside = self.path.with_suffix(".new")
        os.symlink(server.socket, beside)
        beside.rename(self.path)

    def _replicate(self, replica: RedisServer, primary: RedisServer) -> None:
        with replica.client() as client:
            client.replicaof("127.0.0.1", primary.port)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", 30)

    def fail_over(self) -> None:
        """The new one takes over with all data, and the old one becomes its replica."""
        with self.old.client() as old, self.new.client() as new:
            wait_until(lambda: _offset(new, "slave_repl_offset") == _offset(old, "master_repl_offset"), 30)
            new.replicaof("NO", "ONE")
        self._lead_to(self.new)
        self._replicate(self.old, self.new)


def _offset(client: redis.Redis, name: str) -> int:
    return int(client.info("replication")[name])


@pytest.fixture
def pair(program: Path, tmp_path: Path) -> Iterator[Pair]:
    """Both run, and the new one has all that the old one has."""
    config = {"repl-diskless-sync-delay": 0}
    with RedisServer(program, tcp=True, config=config) as old, RedisServer(program, tcp=True, config=config) as new:
        yield Pair([old, new], old.folder / "lead")


@pytest.mark.parametrize("options", ["", "?max_connections=5"])
@pytest.mark.parametrize("client", CLIENTS)
def test_the_next_try_goes_to_the_new_server(client: str, options: str, pair: Pair) -> None:
    """By connections that are kept, and by those of redis-py's pool."""
    with caller(client, f"unix://{pair.path}{options}", retry_for=10) as agent:
        agent.call(lambda q: q.enqueue(type="build", id="before", payload={"n": 1}))
        pair.fail_over()
        assert agent.call(lambda q: q.enqueue(type="build", id="after", payload={"n": 2})).created
        assert agent.attempts == 3
        assert agent.call(lambda q: q.claim("agent-1", "build")).id == "before"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_waiting_claim_goes_on_there(client: str, pair: Pair) -> None:
    """It is told that its server is a replica now, and waits at the new one."""
    with (
        caller(client, f"unix://{pair.path}", retry_for=10) as agent,
        caller("sync", f"unix://{pair.path}", retry_for=10) as other,
    ):
        agent.call(lambda q: q.enqueue(type="test", payload={"n": 1}))
        waiting = agent.start(lambda q: q.claim("agent-1", "build", wait=60))
        with pair.old.client() as redis_client:
            wait_until(lambda: redis_client.info("clients")["blocked_clients"] == 1, 10)
        pair.fail_over()
        with pair.new.client() as redis_client:
            wait_until(lambda: redis_client.info("clients")["blocked_clients"] == 1, 10)
        other.call(lambda q: q.enqueue(type="build", id="x", payload={"n": 2}))
        assert waiting.result(timeout=10).id == "x"


def test_a_given_client(pair: Pair) -> None:
    """Of redis-py's own pool only what nobody uses is closed."""
    with redis.Redis(unix_socket_path=str(pair.path)) as client:
        queue = Queue(client, retry_for=10)
        queue.enqueue(type="build", id="before", payload={"n": 1})
        pair.fail_over()
        assert queue.enqueue(type="build", id="after", payload={"n": 2}).created


def test_a_given_client_of_asyncio(pair: Pair) -> None:
    """As with a blocking one."""

    async def run() -> None:
        async with aioredis.Redis(unix_socket_path=str(pair.path)) as client:
            queue = AsyncQueue(client, retry_for=10)
            await queue.enqueue(type="build", id="before", payload={"n": 1})
            await asyncio.to_thread(pair.fail_over)
            assert (await queue.enqueue(type="build", id="after", payload={"n": 2})).created

    asyncio.run(run())
