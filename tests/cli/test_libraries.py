"""Function libraries that another version left in the server: ``lokiredis doctor`` tells of them and removes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis import Redis

from lokiredis import AsyncQueue, Queue
from lokiredis.cli import libraries
from lokiredis.scripts import NAMES, Script, load

from ..conftest import lacking
from ..servers import RedisServer, programs
from .conftest import Cli

NAME = "q"
_FOREIGN = ("other", "lokiredis_claim_ours", "lokiredis_nothing_0123456789ab", "my_lokiredis_claim_0123456789ab")
_OWN = {load(name).for_server((7,)).name for name in NAMES}


class _Older:
    """A client with other texts of the scripts."""

    def _prepare(self, script: Script) -> Script:
        return replace(script, source=f"local OLDER = 1\n{script.source}")


class _OlderQueue(_Older, Queue):
    pass


class _OlderAsyncQueue(_Older, AsyncQueue):
    pass


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server for these tests alone: they look at all the libraries that it has."""
    with RedisServer(programs().get("redis7") or lacking("redis7: no such server program on this machine")) as started:
        yield started


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Redis]:
    """A client of that server, which is empty."""
    with server.client() as client:
        client.flushall()
        client.function_flush()
        client.config_resetstat()
        yield client


@pytest.fixture
def doctor(server: RedisServer) -> Cli:
    """The command line on that server."""
    return Cli({"LOKIREDIS_URL": server.url, "LOKIREDIS_QUEUE": NAME})


def _here(redis: Redis) -> set[str]:
    return {libraries._name(entry) for entry in redis.function_list()}


def _said(data: Any) -> list[tuple[str, str]]:
    """Level and message of the check."""
    return [(check["level"], check["message"]) for check in data["checks"] if check["name"] == "libraries"]


def _work(queue: Queue) -> None:
    queue.enqueue(type="build", idempotency_key="")
    claim = queue.claim("agent", "build")
    assert claim
    queue.complete(claim, decision_report={"why": "a test"})


def _url_of_user(redis: Any, server: RedisServer, rule: str) -> str:
    """The server's, for a user who may do all but that."""
    redis.execute_command("ACL", "SETUSER", "plain", "reset", "on", ">secret", "~*", "&*", "+@all", rule)
    return server.url.replace("//", "//plain:secret@", 1)


@pytest.mark.parametrize("option", ["", "protocol=2", "protocol=3", "decode_responses=true"])
def test_the_doctor_tells_how_many_there_are(option: str, redis: Redis, server: RedisServer, doctor: Cli) -> None:
    """As a note: the server is as fit as without them, and keeps them."""
    assert _said(doctor.json("doctor")) == [("ok", "none of other versions")]
    _work(_OlderQueue(redis, NAME))
    before = _here(redis)
    assert len(before) == len(_OWN) + 3
    ran = doctor("doctor", "--json", environment={"LOKIREDIS_URL": f"{server.url}?{option}"})
    note = "3 of other versions lie here too; lokiredis doctor --clean removes them"
    assert (ran.data["ok"], _said(ran.data)) == (True, [("ok", note)])
    # A narrow terminal folds the line.
    assert note in " ".join(doctor("doctor").out.split())
    assert _here(redis) == before


def test_clean_removes_exactly_those(redis: Redis, doctor: Cli) -> None:
    """None of this version, and none that is not ours, whatever it is called."""
    for name in _FOREIGN:
        function = f"redis.register_function('{name}', function() return 1 end)"
        redis.function_load(f"#!lua name={name}\n{function}")
    _work(Queue(redis, NAME))
    _work(_OlderQueue(redis, NAME))
    assert len(_here(redis)) == len(_FOREIGN) + 3 + 3
    assert _said(doctor.json("doctor", "--clean")) == [("ok", "3 of other versions removed")]
    assert _here(redis) == {*_FOREIGN, *_OWN}
    assert _said(doctor.json("doctor", "--clean")) == [("ok", "none of other versions")]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_of_another_version_goes_on(kind: str, redis: Redis, server: RedisServer, doctor: Cli) -> None:
    """Its libraries are removed between two of its calls: it loads them again and answers as before."""

    def clean() -> None:
        assert _said(doctor.json("doctor", "--clean")) == [("ok", "2 of other versions removed")]

    async def run() -> list[str]:
        async with server.async_client() as client, _OlderAsyncQueue(client, NAME) as older:
            ids = []
            for _ in range(2):
                await older.enqueue(type="build", idempotency_key="")
                ids += [claim.id for claim in [await older.claim("agent", "build")] if claim]
                await asyncio.to_thread(clean)
            return ids

    def run_sync() -> list[str]:
        older, ids = _OlderQueue(redis, NAME), []
        for _ in range(2):
            older.enqueue(type="build", idempotency_key="")
            ids += [claim.id for claim in [older.claim("agent", "build")] if claim]
            clean()
        return ids

    assert len(set(asyncio.run(run()) if kind == "async" else run_sync())) == 2
    assert "cmdstat_evalsha" not in redis.info("commandstats")


def test_a_refused_removal_is_a_failure(redis: Redis, server: RedisServer, doctor: Cli) -> None:
    """Who asked for it must hear that it was not done."""
    _work(_OlderQueue(redis, NAME))
    url = _url_of_user(redis, server, "-function|delete")
    ran = doctor("doctor", "--clean", "--json", code=1, environment={"LOKIREDIS_URL": url})
    [(level, message)] = _said(ran.data)
    assert (ran.data["ok"], level) == (False, "FAIL")
    assert message.startswith("3 of other versions could not all be removed: ")
    assert len(_here(redis)) == len(_OWN) + 3


def test_one_that_is_gone_already_is_no_failure(redis: Redis) -> None:
    """Two people clean at once."""
    _work(_OlderQueue(redis, NAME))
    found = libraries.of_other_versions(redis)
    assert found is not None
    redis.function_delete(found[0])
    libraries.remove(redis, found)
    assert _here(redis) == set()


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--clean"]])
def test_nothing_is_said_of_them_to_a_user_without_functions(
    words: list[str], redis: Redis, server: RedisServer, doctor: Cli
) -> None:
    """He works with plain scripts, and the libraries are none of his business."""
    _work(_OlderQueue(redis, NAME))
    before = _here(redis)
    url = _url_of_user(redis, server, "-function")
    assert _said(doctor(*words, "--json", environment={"LOKIREDIS_URL": url}).data) == []
    assert _here(redis) == before


@pytest.mark.parametrize("words", [["doctor"], ["doctor", "--clean"]])
def test_nothing_is_said_of_them_on_redis_6(words: list[str], redis6_server: RedisServer) -> None:
    """It has none."""
    cli = Cli({"LOKIREDIS_URL": redis6_server.url, "LOKIREDIS_QUEUE": NAME})
    assert _said(cli.json(*words)) == []
