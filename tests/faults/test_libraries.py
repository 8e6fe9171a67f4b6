"""Function libraries, which Redis 7 gets: loaded when they lack, done without where they can't be."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from lokiredis import LokiRedisError, Queue

from ..invariants import check
from ..servers import RedisServer
from .calling import CLIENTS, NAME, caller
from .conftest import program_of

pytestmark = pytest.mark.faults

_REPORT = {"why": "a test"}

both = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture(scope="module")
def started() -> Iterator[RedisServer]:
    """A server for these tests alone: they take its libraries away."""
    with RedisServer(program_of("redis7"), tcp=True) as made:
        yield made


@pytest.fixture
def server(started: RedisServer) -> Iterator[RedisServer]:
    """A Redis 7 without data and without any library."""
    with started.client() as redis:
        redis.flushall()
        redis.function_flush()
        redis.config_resetstat()
        yield started
        check(redis, NAME)


def _calls(redis: Redis, name: str) -> int:
    return int(redis.info("commandstats").get(f"cmdstat_{name}", {}).get("calls", 0))


def _enqueue(queue: Any) -> Any:
    return queue.enqueue(type="build", idempotency_key="")


def _work(queue: Queue, number: int) -> None:
    queue.enqueue(type="build", payload={"n": number})
    claim = queue.claim("agent", "build")
    assert claim
    queue.complete(claim, decision_report=_REPORT)


@both
def test_a_server_that_lost_them_gets_them_again(client: str, server: RedisServer) -> None:
    """They are gone after FUNCTION FLUSH, or a restart without a file: the call that meets that loads its own."""
    with caller(client, server.url) as made, server.client() as redis:
        for _ in range(2):
            made.call(_enqueue)
            assert made.call(lambda q: q.claim("agent", "build"))
            redis.function_flush()
        assert _calls(redis, "evalsha") == 0


def test_many_who_load_the_same_at_once(server: RedisServer) -> None:
    """One of them is first; for the others it is there already."""

    def start(number: int) -> None:
        with Queue.from_url(server.url, NAME) as queue:
            _work(queue, number)

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(start, range(48)))) == 48
    with server.client() as redis:
        assert len(redis.function_list()) == 3


@both
@pytest.mark.parametrize("rule", ["-fcall", "-function|load", "-function"])
def test_a_user_without_functions_gets_scripts(rule: str, client: str, server: RedisServer) -> None:
    """Where the ACL allows no libraries, or not to load one, plain scripts do the same; that is asked once."""
    with server.client() as redis:
        redis.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", rule)
        redis.config_resetstat()
        before = int(redis.info("stats").get("acl_access_denied_cmd", 0))
        url = server.url.replace("//", "//plain:secret@")
        with caller(client, url) as made:
            for _ in range(3):
                made.call(_enqueue)
                assert made.call(lambda q: q.claim("agent", "build"))
        assert _calls(redis, "evalsha") >= 6
        assert _calls(redis, "fcall") <= 1
        assert int(redis.info("stats").get("acl_access_denied_cmd", 0)) - before <= 1
        redis.execute_command("ACL", "DELUSER", "plain")


def test_a_call_that_failed_leaves_nothing_to_the_next(server: RedisServer) -> None:
    """What a library keeps beside its functions is set anew: also after an error in the middle of a call."""
    with Queue.from_url(server.url, NAME) as queue, server.client() as redis:
        queue.enqueue(id="x", type="build")
        ready = f"{queue.keys.prefix}ready:build"
        kept = redis.dump(ready)
        redis.set(ready, "no sorted set")
        with pytest.raises(LokiRedisError):
            queue.claim("agent", "build")
        redis.restore(ready, 0, kept, replace=True)
        claim = queue.claim("agent", "build")
        assert claim
        assert claim.id == "x"
        with pytest.raises(ResponseError):
            redis.execute_command("FUNCTION", "LOAD", "#!lua name=broken\nnonsense(")
