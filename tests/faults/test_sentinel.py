"""A master that dies, watched by sentinels: clients find the new one and carry on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from lokiredis import Claim, Queue, QueueUnavailable
from lokiredis.connect import connect

from ..fleets import PASSWORD, SENTINEL_PASSWORD, SERVICE, SentinelFleet
from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import CLIENTS, NAME, Caller, caller

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}

both = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture
def fleet(program: Path) -> Iterator[SentinelFleet]:
    """A master, a replica and three sentinels, for a test that ends the master."""
    with SentinelFleet(program) as made:
        yield made


def _blocked(redis: Redis) -> bool:
    return int(redis.info("clients")["blocked_clients"]) > 0


def _heard(agent: Caller) -> Callable[[Any], Any]:
    def sync(queue: Any) -> Any:
        return next(iter(queue.listen(timeout=60)))

    async def awaited(queue: Any) -> Any:
        async for signal in queue.listen(timeout=60):
            return signal

    return sync if isinstance(agent.queue, Queue) else awaited


@both
def test_a_killed_master(client: str, fleet: SentinelFleet) -> None:
    """Who enqueues, claims, waits or listens while the master is killed goes on with the promoted replica."""
    url = fleet.url
    with (
        caller(client, url) as planner,
        caller(client, url) as agent,
        caller(client, url) as waiter,
        caller(client, url) as listener,
    ):
        planner.call(lambda q: q.enqueue(id="before", type="build", payload={"n": 1}))
        claim = agent.call(lambda q: q.claim("agent-1", "build"))
        waiting = waiter.start(lambda q: q.claim("agent-2", "build", wait=60))
        hearing = listener.start(_heard(listener))
        with fleet.client(0) as master:
            wait_until(lambda: _blocked(master), what="a claim that waits")
            wait_until(lambda: master.pubsub_numsub(f"loki:{{{NAME}}}:signals")[0][1], what="a listener")
        fleet.replicate()

        fleet.servers[0].kill()
        planner.call(lambda q: q.enqueue(id="after", type="build"))
        assert agent.call(lambda q: q.complete(claim, decision_report=_REPORT)).state == "completed"
        found = waiting.result(timeout=60)
        assert isinstance(found, Claim)
        assert found.id == "after"
        # Who listens may come back a little later than who calls; what was sent before is gone, as documented.
        while not hearing.done():
            planner.call(lambda q: q.slowdown(0.01))
            time.sleep(0.05)
        assert hearing.result().signal == "SLOWDOWN"
    with fleet.client(1) as promoted:
        assert promoted.info("replication")["role"] == "master"
        check(promoted, NAME)


def _role(client: Redis) -> str | None:
    """None while the server has other things to do: a demoted master closes its connections."""
    try:
        return str(client.info("replication")["role"])
    except RedisConnectionError:
        return None


@both
def test_a_master_that_hands_over(client: str, fleet: SentinelFleet) -> None:
    """After SENTINEL FAILOVER the old master lives on as a replica; nobody keeps writing to it."""
    with caller(client, fleet.url) as planner, caller(client, fleet.url) as waiter:
        planner.call(lambda q: q.pause("other"))
        waiting = waiter.start(lambda q: q.claim("agent-2", "build", wait=60))
        with fleet.client(0) as old:
            wait_until(lambda: _blocked(old), what="a claim that waits")
            fleet.replicate()
            wait_until(lambda: fleet.sentinels[0].ask("SENTINEL FAILOVER", SERVICE), 30, "a failover by hand")
            wait_until(lambda: _role(old) == "slave", 30, "a demoted master")
        planner.call(lambda q: q.enqueue(id="after", type="build"))
        assert waiting.result(timeout=60).id == "after"
    with fleet.client(1) as promoted:
        check(promoted, NAME)


@both
def test_a_master_demoted_in_silence(client: str, program: Path) -> None:
    """Connections that stay open to what is a replica now are given up when it refuses a call, or ends a wait."""
    url = f"redis+sentinel://127.0.0.1:1/{SERVICE}"
    with RedisServer(program, tcp=True) as old, RedisServer(program, tcp=True) as new:
        with caller(client, url, retry_for=10) as planner, caller(client, url, retry_for=10) as waiter:
            master = ["127.0.0.1", old.port]
            for each in (planner, waiter):
                _point(each, master)
            planner.call(lambda q: q.enqueue(id="before", type="test"))
            waiting = waiter.start(lambda q: q.claim("agent-1", "build", wait=20))
            with old.client() as plain:
                wait_until(lambda: _blocked(plain), what="a claim that waits")
                master[1] = new.port
                plain.execute_command("REPLICAOF", "127.0.0.1", new.port)
            planner.call(lambda q: q.enqueue(id="after", type="build"))
            assert waiting.result(timeout=30).id == "after"
        with new.client() as plain:
            check(plain, NAME)


def _point(agent: Caller, master: list[Any]) -> None:
    """Lets this list be what the sentinels say."""
    locator = agent.queue.redis.connection_pool.sentinel_manager

    async def awaited(service: str) -> Any:
        return tuple(master)

    locator.discover_master = (lambda service: tuple(master)) if isinstance(agent.queue, Queue) else awaited


@pytest.fixture(scope="module")
def quiet(request: pytest.FixtureRequest) -> Iterator[SentinelFleet]:
    """A fleet that nobody disturbs."""
    from .conftest import program_of

    with SentinelFleet(program_of("redis7")) as made:
        yield made


@both
def test_sentinels_that_do_not_answer(client: str, quiet: SentinelFleet) -> None:
    """The URL may name sentinels that are gone: the next one is asked."""
    hosts = "127.0.0.1:1,127.0.0.1:2,"
    with caller(client, quiet.url.replace("@", "@" + hosts)) as made:
        made.call(lambda q: q.counts())
    gone = f"redis+sentinel://:{PASSWORD}@{hosts[:-1]}/{SERVICE}"
    with caller(client, gone, retry_for=0.2) as made, pytest.raises(QueueUnavailable, match="none of the sentinels"):
        made.call(lambda q: q.counts())


@both
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (f"/{SERVICE}", "/nobody", "no master by the name nobody"),
        (f"sentinel_password={SENTINEL_PASSWORD}", "", "sentinel_password"),
        (f"sentinel_password={SENTINEL_PASSWORD}", "sentinel_password=geheim-x", "sentinel_password"),
        (f":{PASSWORD}@", ":geheim-x@", "password"),
    ],
)
def test_what_no_waiting_mends(before: str, after: str, told: str, client: str, quiet: SentinelFleet) -> None:
    """A wrong name or password is told at once, without any password in it, in words that name what is wrong."""
    with caller(client, quiet.url.replace(before, after), retry_for=8) as made:
        began = time.monotonic()
        with pytest.raises(QueueUnavailable, match=told) as refused:
            made.call(lambda q: q.counts())
        assert time.monotonic() - began < 5
        assert "geheim" not in str(refused.value)
        assert made.attempts == 1


@both
def test_a_server_is_no_sentinel(client: str, quiet: SentinelFleet) -> None:
    """A URL that names the master itself among the hosts."""
    url = f"redis+sentinel://127.0.0.1:{quiet.servers[0].port}/{SERVICE}?sentinel_password={PASSWORD}"
    with caller(client, url, retry_for=8) as made, pytest.raises(QueueUnavailable, match="no sentinel"):
        made.call(lambda q: q.counts())


def test_the_database_and_the_options(quiet: SentinelFleet) -> None:
    """The number after the service is the database; the options are those of the connections to it."""
    with connect(quiet.url.replace("?", "/3?client_name=me&")) as client:
        assert client.client_info()["db"] == 3
        assert client.client_info()["name"] == "me"


def test_the_command_line(quiet: SentinelFleet) -> None:
    """--url takes it, and shows it without passwords when nobody answers."""
    from click.testing import CliRunner

    from lokiredis.cli import main

    assert CliRunner().invoke(main, ["--url", quiet.url, "status"]).exit_code == 0
    gone = f"redis+sentinel://:{PASSWORD}@127.0.0.1:1,127.0.0.1:2/{SERVICE}?sentinel_password={SENTINEL_PASSWORD}"
    ran = CliRunner().invoke(main, ["--url", gone, "status"])
    assert ran.exit_code == 6
    assert "geheim" not in ran.output
    assert f"redis+sentinel://:***@127.0.0.1:1,127.0.0.1:2/{SERVICE}" in ran.output
