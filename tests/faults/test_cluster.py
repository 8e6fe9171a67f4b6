"""A Redis Cluster of one node: a queue is one slot, and the server holds the scripts to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis
import redis.asyncio
from redis import Redis
from redis.exceptions import ResponseError

from lokiredis import AsyncQueue, Claim, Queue
from lokiredis.scripts import NAMES, Loaded, load

from ..invariants import check
from ..servers import RedisServer
from .calling import NAME

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    """The only node of a cluster, on Redis 7 or newer."""
    from .conftest import program_of

    with RedisServer(program_of("redis7"), cluster=True) as server:
        yield server


@pytest.fixture(params=["plain", "cluster"])
def client(request: pytest.FixtureRequest, node: RedisServer) -> Iterator[Any]:
    """A client of that node, and one of the whole cluster."""
    made: Any = node.client() if request.param == "plain" else redis.RedisCluster.from_url(node.url)
    with node.client() as plain:
        plain.flushall()
        yield made
        check(plain, NAME)
    made.close()


def _live(queue: Queue) -> None:
    queue.enqueue_many(
        [
            {"id": "a", "type": "build", "payload": {"n": 1}},
            {"id": "b", "type": "test", "payload": {}, "dependencies": ["a"]},
            {"id": "c", "type": "build", "payload": {"n": 2}, "maxRetries": 1},
            {"id": "d", "type": "test", "payload": {}, "dependencies": ["c"]},
        ]
    )
    first, second = queue.claim_many("agent-1", ["build", "test"], 10)
    queue.heartbeat(first, checkpoint={"at": 1}, progress=0.5)
    queue.complete(first, decision_report=_REPORT)
    queue.fail(second, "hopeless")
    queue.escalate_dead("c", "look at it")
    queue.retry_dead("c")
    third = queue.claim("agent-2", "build")
    assert third
    queue.release(third)
    queue.pause("build")
    queue.resume("build")
    fourth = queue.claim("agent-2", "build")
    assert fourth
    queue.rate_limited(fourth, "429", retry_after=1)
    queue.resume(agent="agent-2")
    queue.slowdown(0)
    queue.cancel("c", "not needed")
    queue.trip_breaker("test")
    queue.reset_breaker("test")
    queue.configure(keep_count=10)
    waited = queue.claim("agent-3", "test", wait=5)
    assert isinstance(waited, Claim)
    assert not queue.claim("agent-3", "test", wait=0.2)
    assert not list(queue.listen(timeout=0.05))
    events = list(queue.events())
    assert {"enqueued", "claimed", "escalated"} <= {event.kind for event in events}
    assert list(queue.events(since=events[2].cursor, follow=True, timeout=0.1)) == events[3:]
    queue.complete(waited, decision_report=_REPORT)
    assert queue.counts() == {"pending": 0, "in-progress": 0, "completed": 2, "dead-letter": 0, "cancelled": 2}
    assert len(queue.list(None).tasks) == 4
    assert queue.settings().keep_count == 10


def test_the_whole_life_of_a_task_in_a_cluster(client: Any) -> None:
    """Every operation, a waiting claim too, works with a plain client of the node and with a cluster client."""
    queue = Queue(client, NAME)
    queue.load_scripts()
    _live(queue)
    queue.close()


def test_the_whole_life_of_a_task_in_a_cluster_async(node: RedisServer) -> None:
    """The same for asyncio's cluster client, in short."""

    async def run() -> None:
        async with redis.asyncio.RedisCluster.from_url(node.url) as client, AsyncQueue(client, NAME) as queue:
            await queue.enqueue(id="a", type="build")
            claim = await queue.claim("agent-1", "build", wait=5)
            assert isinstance(claim, Claim)
            assert not await queue.claim("agent-1", "build", wait=0.2)
            assert not [signal async for signal in queue.listen(timeout=0.05)]
            events = [event async for event in queue.events()]
            assert [event.kind for event in events] == ["enqueued", "claimed"]
            assert [event async for event in queue.events(since=events[0].cursor, follow=True, timeout=0.1)] == events[
                1:
            ]
            assert (await queue.complete(claim, decision_report=_REPORT)).state == "completed"

    with node.client() as plain:
        plain.flushall()
        asyncio.run(run())
        check(plain, NAME)


def test_several_queues_share_a_cluster(node: RedisServer) -> None:
    """Queues lie in slots of their own and work side by side."""
    with redis.RedisCluster.from_url(node.url) as client:
        for number in range(5):
            queue = Queue(client, f"project-{number}")
            queue.enqueue(id="a", type="build")
            claim = queue.claim("agent-1", "build")
            assert claim
            queue.complete(claim, decision_report=_REPORT)
            queue.close()
    with node.client() as plain:
        for number in range(5):
            check(plain, f"project-{number}")


def _call(plain: Redis, loaded: Loaded, keys: Sequence[str], argv: Sequence[str]) -> None:
    """As a library's function, or as a script with the line ``#!lua``: both kinds of a new server."""
    assert loaded.source.startswith("#!lua")
    if loaded.is_library:
        plain.function_load(loaded.source, replace=True)
        plain.fcall(loaded.name, len(keys), *keys, *argv)
    else:
        plain.eval(loaded.source, len(keys), *keys, *argv)


@pytest.mark.parametrize("functions", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_key_in_another_slot_is_rejected(name: str, functions: bool, node: RedisServer) -> None:
    """With the line `#!lua` the server refuses a script whose keys are not all in one slot, before it runs."""
    script = load(name)
    prefix = "loki:{elsewhere}:"
    keys = [f"loki:{{here}}:{key}" for key in script.keys] + [f"{prefix}queue"]
    with node.client() as plain:
        plain.flushall()
        with pytest.raises(ResponseError, match=r"(?i)slot"):
            _call(plain, script.for_server(node.version, functions=functions), keys, [prefix for _ in script.argv])
        assert plain.dbsize() == 0


@pytest.mark.parametrize("functions", [True, False])
def test_a_script_that_leaves_its_slot_is_rejected(functions: bool, node: RedisServer) -> None:
    """A key built inside a script from a prefix of another slot is refused too, and nothing is left behind."""
    script = load("pause")
    keys = [f"loki:{{here}}:{key}" for key in script.keys]
    argv = {"prefix": "loki:{elsewhere}:", "request": "r-1", "type": "build"}
    with node.client() as plain:
        plain.flushall()
        with pytest.raises(ResponseError, match=r"(?i)slot"):
            loaded = script.for_server(node.version, functions=functions)
            _call(plain, loaded, keys, [argv[name] for name in script.argv])
        assert plain.dbsize() == 0
