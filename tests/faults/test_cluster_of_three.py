"""A cluster of several nodes: queues live on different ones, move, and outlive a node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import redis
import redis.asyncio
from redis import Redis

from lokiredis import AsyncQueue, LokiRedisError, Queue, QueueUnavailable
from lokiredis.connect import connect

from ..fleets import Cluster
from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import CLIENTS, caller
from .conftest import program_of

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}

both = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(scope="module", params=["redis6", "redis7"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Three masters that all stay alive."""
    with Cluster(program_of(request.param)) as made:
        yield made


@pytest.fixture
def names(cluster: Cluster) -> Iterator[tuple[str, str, str]]:
    """A queue on each node; all of them are empty."""
    for node in cluster.nodes:
        with node.client() as plain:
            plain.flushall()
    found = cluster.name_on(0), cluster.name_on(1), cluster.name_on(2)
    yield found
    for name in found:
        with connect(cluster.url, f"loki:{{{name}}}:") as plain:
            check(plain, name)


def _blocked(plain: Redis) -> bool:
    return int(plain.info("clients")["blocked_clients"]) > 0


def _keys(node: RedisServer) -> int:
    with node.client() as plain:
        return int(plain.dbsize())


def _wakes(client: str, url: str, name: str, node: RedisServer) -> None:
    with caller(client, url, name=name) as planner, caller(client, url, name=name) as agent:
        waiting = agent.start(lambda q: q.claim("agent-1", "build", wait=60))
        with node.client() as plain:
            wait_until(lambda: _blocked(plain), what="a claim that waits on this node")
        planner.call(lambda q: q.enqueue(id="a", type="build"))
        claim = waiting.result(timeout=20)
        assert claim.id == "a"
        agent.call(lambda q: q.complete(claim, decision_report=_REPORT))
        assert planner.call(lambda q: q.counts())["completed"] == 1


@both
def test_queues_on_different_nodes(client: str, cluster: Cluster, names: tuple[str, str, str]) -> None:
    """Each queue talks to the node that has it; a claim that waits there wakes, and signals come."""
    for name, node in zip(names, cluster.nodes, strict=True):
        _wakes(client, cluster.url, name, node)
        assert _keys(node) > 0
    with Queue.from_url(cluster.url, names[1]) as queue:
        assert not list(queue.listen(timeout=0.05))


@both
def test_a_queue_that_moves(client: str, cluster: Cluster, names: tuple[str, str, str]) -> None:
    """Its slot goes to another node while a claim waits: the wait goes on there, and so does everybody else."""
    name, source, target = names[0], cluster.nodes[0], cluster.nodes[1]
    with caller(client, cluster.url, name=name) as planner, caller(client, cluster.url, name=name) as waiter:
        planner.call(lambda q: q.enqueue(id="a", type="test"))
        waiting = waiter.start(lambda q: q.claim("agent-1", "build", wait=60))
        with source.client() as plain:
            wait_until(lambda: _blocked(plain), what="a claim that waits")
        try:
            cluster.move(name, source, target)
            planner.call(lambda q: q.enqueue(id="b", type="build"))
            assert waiting.result(timeout=20).id == "b"
            assert planner.call(lambda q: q.counts())["pending"] == 1
            assert _keys(source) == 0
        finally:
            cluster.move(name, target, source)


@both
def test_a_queue_that_is_being_moved(client: str, cluster: Cluster, names: tuple[str, str, str]) -> None:
    """While a slot is between two nodes nobody is sent to the new one, which has a part of the queue: calls wait."""
    name, source, target = names[0], cluster.nodes[0], cluster.nodes[1]
    slot = cluster.slot(name)
    with caller(client, cluster.url, name=name) as planner, source.client() as old, target.client() as new:
        planner.call(lambda q: q.pause())
        old.flushall()
        new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", cluster.id(source))
        old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", cluster.id(target))
        before = planner.attempts
        call = planner.start(lambda q: q.enqueue(id="a", type="build"))
        wait_until(lambda: planner.attempts > before + 2, what="a call that is repeated")
        assert _keys(target) == 0
        for each in (new, old):
            each.execute_command("CLUSTER SETSLOT", slot, "STABLE")
        assert call.result(timeout=20).created
    assert _keys(source) > 0


def _forget_scripts(node: RedisServer) -> None:
    with node.client() as plain:
        plain.script_flush()
        if node.version >= (7, 0, 0):
            plain.function_flush()


def _one_node(cluster: Cluster) -> str:
    return cluster.nodes[0].url


def test_a_hand_made_client(cluster: Cluster, names: tuple[str, str, str]) -> None:
    """redis-py's own cluster client works too, also when only the other nodes have the scripts."""
    for name, node in zip(names, cluster.nodes, strict=True):
        _forget_scripts(node)
        with redis.RedisCluster.from_url(_one_node(cluster)) as made:
            queue = Queue(made, name)
            queue.enqueue(type="build")
            assert queue.claim("agent", "build")
            queue.close()


def test_a_hand_made_async_client(cluster: Cluster, names: tuple[str, str, str]) -> None:
    """The same for asyncio."""

    async def run(name: str) -> None:
        async with redis.asyncio.RedisCluster.from_url(_one_node(cluster)) as made, AsyncQueue(made, name) as queue:
            await queue.enqueue(type="build")
            assert await queue.claim("agent", "build")

    for name, node in zip(names, cluster.nodes, strict=True):
        _forget_scripts(node)
        asyncio.run(run(name))


@both
@pytest.mark.parametrize("program", ["redis6", "redis7"])
def test_a_killed_node(client: str, program: str) -> None:
    """Its replica takes over, and who enqueues or waits carries on; until then calls are repeated."""
    with Cluster(program_of(program), replica=True) as cluster:
        name = cluster.name_on(0)
        with caller(client, cluster.url, name=name) as planner, caller(client, cluster.url, name=name) as waiter:
            planner.call(lambda q: q.enqueue(id="before", type="test"))
            waiting = waiter.start(lambda q: q.claim("agent-1", "build", wait=60))
            with cluster.nodes[0].client() as plain:
                wait_until(lambda: _blocked(plain), what="a claim that waits")
                plain.wait(1, 10_000)
            cluster.nodes[0].kill()
            planner.call(lambda q: q.enqueue(id="after", type="build"))
            assert waiting.result(timeout=60).id == "after"
            assert planner.call(lambda q: q.counts())["pending"] == 1
        with cluster.nodes[3].client() as promoted:
            check(promoted, name)


@both
def test_a_cluster_that_is_down(client: str) -> None:
    """A cluster that lacks a node takes nothing: that may pass, so calls are repeated, and then it is told."""
    with Cluster(program_of("redis7")) as cluster:
        name = cluster.name_on(0)
        with caller(client, cluster.url, retry_for=0.3, name=name) as made, cluster.nodes[0].client() as plain:
            made.call(lambda q: q.enqueue(type="build"))
            cluster.nodes[2].kill()
            wait_until(lambda: plain.execute_command("CLUSTER INFO")["cluster_state"] == "fail", 20, "a cluster down")
            before = made.attempts
            with pytest.raises(QueueUnavailable, match="cluster is down"):
                made.call(lambda q: q.enqueue(type="build"))
            assert made.attempts > before + 2


@pytest.mark.parametrize("program", ["redis6", "redis7"])
def test_a_hand_made_client_of_a_cluster_that_is_gone(program: str) -> None:
    """What redis-py says of EVALSHA then is no RedisError, and is told as an outage all the same."""
    with Cluster(program_of(program)) as cluster, redis.RedisCluster.from_url(_one_node(cluster)) as made:
        queue = Queue(made, "q", retry_for=0.2)
        queue.enqueue(type="build")
        for node in cluster.nodes:
            node.kill()
        with pytest.raises(QueueUnavailable):
            queue.enqueue(type="build")


@both
def test_nodes_that_are_gone(client: str, cluster: Cluster) -> None:
    """The URL may name nodes that left: the next one is asked."""
    with caller(client, cluster.url.replace("://", "://127.0.0.1:1,")) as made:
        made.call(lambda q: q.counts())
    with (
        caller(client, "redis+cluster://127.0.0.1:1", retry_for=0.2) as made,
        pytest.raises(QueueUnavailable, match="no node of the cluster"),
    ):
        made.call(lambda q: q.counts())


@both
def test_a_server_that_is_in_no_cluster(client: str, server7: RedisServer) -> None:
    """That is told at once: it will not join one in the next seconds."""
    with RedisServer(server7.program, tcp=True) as alone:
        url = f"redis+cluster://127.0.0.1:{alone.port}"
        with caller(client, url, retry_for=60) as made, pytest.raises(LokiRedisError, match="no node of a cluster"):
            made.call(lambda q: q.counts())
            assert made.attempts == 1
