"""What a Redis user of each role can do on a real server, and what it can't. ACL DRYRUN would approve both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from lokiredis import LokiRedisError, Queue
from lokiredis.acl import ROLES, Role, commands_of, rules
from lokiredis.scripts import NAMES, READING, Script, load

from ..invariants import check
from ..servers import RedisServer
from ..waiting import wait_until
from .calling import CLIENTS, NAME, Caller, caller
from .conftest import program_of
from .operations import OPERATIONS, REPORT, Operation
from .session import Step

pytestmark = pytest.mark.faults

_NOT_ALLOWED = "user is not allowed"

# Does a task at once, or takes long when it is called so.
_DO = """
if [ $LOKIREDIS_TASK_ID = long ]; then touch "$0/long"; exec sleep 600; fi
echo '{"decisionReport": {"why": "asked for"}}'
"""
WRITERS: tuple[Role, ...] = ("producer", "agent", "operator")


@pytest.fixture(scope="module", params=["redis6", "redis7"])
def started(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A server with a user of each role, of one queue and (``all-…``) of all of them."""
    with RedisServer(program_of(request.param), tcp=True) as server, server.client() as admin:
        for role in ROLES:
            for user, queue in ((role, NAME), (f"all-{role}", None)):
                words = rules(role, queue, version=server.version)
                admin.execute_command("ACL", "SETUSER", user, "reset", "on", ">secret", *words)
        yield server


@pytest.fixture
def server(started: RedisServer) -> Iterator[RedisServer]:
    """That server without data, without scripts, and with an empty ACL LOG."""
    with started.client() as admin:
        admin.flushall()
        admin.script_flush()
        if started.version >= (7, 0, 0):
            admin.function_flush()
        admin.acl_log_reset()
        yield started
        check(admin, NAME)


def _url(server: RedisServer, user: str) -> str:
    return server.url.replace("//", f"//{user}:secret@")


def _refusals(admin: Redis) -> set[str]:
    """What users were refused, but for what redis-py tells a newer server of itself."""
    return {str(entry["object"]) for entry in admin.acl_log()} - {"client|setinfo", "client"}


def _dumped(admin: Redis) -> dict[Any, Any]:
    return {key: admin.dump(key) for key in admin.scan_iter()}


def _redis(server: RedisServer, user: str) -> Redis:
    return server.client(username=user, password="secret")


def _carry_out(operation: Operation, queue: Any) -> None:
    seen: dict[str, Any] = {}
    for step in (*operation.before, Step(operation.call), *operation.meanwhile):
        try:
            found = step.call(queue, seen)
        except LokiRedisError as e:
            # Without the steps' clock some come too early; what counts is that nothing is refused by the ACL.
            if _NOT_ALLOWED in str(e):
                raise
        else:
            seen |= {step.name: found} if step.name else {}


@pytest.mark.parametrize("role", WRITERS)
def test_who_may_write_can_run_every_script(role: Role, server: RedisServer) -> None:
    """All the way through, whatever the situation: a script that stops half way would leave half of its effects."""
    with server.client() as admin:
        for user in (role, f"all-{role}"):
            for operation in OPERATIONS.values():
                admin.flushdb()
                with Queue.from_url(_url(server, user), NAME) as queue:
                    _carry_out(operation, queue)
        assert _refusals(admin) <= {"function|load"}, admin.acl_log()


@pytest.mark.parametrize("client", CLIENTS)
def test_an_agent_waits_and_listens(client: str, server: RedisServer) -> None:
    """The agent's work, with a waiting claim and a signal."""
    with server.client() as admin, caller(client, _url(server, "agent"), name=NAME) as agent:
        with Queue.from_url(_url(server, "producer"), NAME) as planner:
            assert not agent.call(lambda q: q.claim("agent-1", "build", wait=0.1))
            planner.enqueue(id="a", type="build")
            claim = agent.call(lambda q: q.claim("agent-1", "build", wait=5))
            agent.call(lambda q: q.heartbeat(claim))
            agent.call(lambda q: q.complete(claim, decision_report=REPORT))
            _listen(agent)
        assert _refusals(admin) <= {"function|load"}


def test_a_worker_is_an_agent(server: RedisServer, tmp_path: Path) -> None:
    """Its rights are all that ``lokiredis worker`` needs: to do tasks, hear a cancel, announce itself and leave."""
    words = [sys.executable, "-m", "lokiredis", "--url", _url(server, "agent"), "--queue", NAME, "worker"]
    words += ["--agent", "agent-1", "--type", "build", "--lease", "10m", "--", "sh", "-c", _DO, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    worker = subprocess.Popen(words, cwd=tmp_path, env=environment, start_new_session=True)
    try:
        with server.client() as admin, Queue.from_url(_url(server, "producer"), NAME) as planner:
            planner.enqueue(id="a", type="build", idempotency_key="")
            wait_until(lambda: planner.counts()["completed"] == 1, 30, "a task that is done")
            planner.enqueue(id="long", type="build", idempotency_key="")
            wait_until((tmp_path / "long").exists, 30, "a task that takes long")
            assert [agent.name for agent in planner.agents()] == ["agent-1"]
            wait_until(lambda: admin.pubsub_numsub(planner.keys.signals)[0][1], 30, "a worker that listens")
            planner.cancel("long", "no more")
            planner.enqueue(id="b", type="build", idempotency_key="")
            wait_until(lambda: planner.counts()["completed"] == 2, 30, "the task after a cancelled one")
            worker.terminate()
            assert worker.wait(timeout=30) == 0
            assert planner.agents() == []
            assert _refusals(admin) <= {"function|load"}, admin.acl_log()
    finally:
        worker.kill()
        worker.wait(timeout=20)


def _listen(agent: Caller) -> None:
    async def awaited(queue: Any) -> list[Any]:
        return [signal async for signal in queue.listen(timeout=0.1)]

    agent.call((lambda q: list(q.listen(timeout=0.1))) if isinstance(agent.queue, Queue) else awaited)


def test_who_may_only_read(server: RedisServer) -> None:
    """Every look works; every change is refused, and leaves nothing behind."""
    with Queue.from_url(server.url, NAME) as planner:
        planner.enqueue(id="a", type="build")
        claim = planner.claim("agent-1", "build")
        assert claim
    with server.client() as admin, Queue.from_url(_url(server, "read-only"), NAME) as reader:
        before = _dumped(admin)
        assert reader.get("a").id == "a"
        assert reader.list(None).tasks
        assert reader.counts()["in-progress"] == 1
        assert reader.breakers() is not None
        assert reader.settings().keep_count
        assert reader.agents()
        assert [event.kind for event in reader.events()] == ["enqueued", "claimed"]
        assert not list(reader.events(follow=True, timeout=0.05))
        assert not list(reader.listen(timeout=0.05))
        assert _refusals(admin) <= {"function|load"}
        for change in (
            lambda: reader.enqueue(type="build"),
            lambda: reader.claim("agent-1", "build"),
            lambda: reader.claim("agent-1", "build", wait=0.1),
            lambda: reader.complete(claim, decision_report=REPORT),
            lambda: reader.cancel("a", "no"),
            lambda: reader.pause(),
            lambda: reader.slowdown(5),
            lambda: reader.configure(keep_count=1),
        ):
            with pytest.raises(LokiRedisError, match=_NOT_ALLOWED):
                change()
        _writes_nothing(_redis(server, "read-only"))
        assert _dumped(admin) == before


def _writes_nothing(redis: Any) -> None:
    """Nor past the scripts of lokiredis: neither a command of its own nor a script of its own can write."""
    key = f"loki:{{{NAME}}}:index"
    with redis:
        for words in (("ZADD", key, 1, "x"), ("ZREM", key, "a"), ("DEL", key), ("SET", key, "x")):
            with pytest.raises(NoPermissionError):
                redis.execute_command(*words)
        own = redis.script_load("return redis.call('ZREM', KEYS[1], 'a')")
        with pytest.raises(ResponseError, match="can't run this command"):
            redis.evalsha(own, 1, key)


@pytest.mark.parametrize("role", ROLES)
def test_another_queue(role: Role, server: RedisServer) -> None:
    """A user of one queue can't look into another, nor hear its signals."""
    with Queue.from_url(server.url, "other") as theirs, server.client() as admin:
        theirs.enqueue(id="a", type="build")
        with Queue.from_url(_url(server, role), "other") as queue, pytest.raises(LokiRedisError, match=_NOT_ALLOWED):
            queue.get("a")
        with _redis(server, role) as redis, pytest.raises(NoPermissionError):
            redis.hgetall("loki:{other}:documents")
        with _redis(server, role) as redis, redis.pubsub() as channel, pytest.raises(NoPermissionError):
            channel.subscribe("loki:{other}:signals")
            channel.get_message(timeout=5)
        admin.delete(*admin.keys("loki:{other}:*"))


_FOR_NOBODY = (
    "FLUSHALL;FLUSHDB;KEYS *;SCAN 0;CONFIG GET *;CONFIG SET maxmemory 1;SHUTDOWN;DEBUG SLEEP 0;ACL LIST;MONITOR;"
    "CLIENT LIST;CLIENT KILL ID 1;SCRIPT FLUSH;REPLICAOF NO ONE;SAVE;EVAL return 0;MIGRATE h 1 k 0 1;PSUBSCRIBE *"
).split(";")
_FOR_OPERATORS = ("FUNCTION LIST", "FUNCTION DELETE x", "FUNCTION LOAD x")


@pytest.mark.parametrize("role", ROLES)
def test_what_no_role_needs(role: Role, server: RedisServer) -> None:
    """The server itself is out of reach; libraries are the operator's, since everybody runs them."""
    words = [*_FOR_NOBODY, *(("FUNCTION FLUSH", *_FOR_OPERATORS) if server.version >= (7, 0, 0) else ())]
    with _redis(server, f"all-{role}") as redis:
        for line in words:
            if role == "operator" and line in _FOR_OPERATORS:
                continue
            with pytest.raises(NoPermissionError):
                redis.execute_command(*line.split())
        if role != "agent":
            with pytest.raises(NoPermissionError):
                redis.bzpopmin(f"loki:{{{NAME}}}:wake:build", timeout=0.01)


def test_libraries_that_the_operator_loaded(server: RedisServer) -> None:
    """The others call them; before that, or without, they do with scripts."""
    if server.version < (7, 0, 0):
        return
    with server.client() as admin, Queue.from_url(_url(server, "agent"), NAME) as agent:
        agent.enqueue(type="build", idempotency_key="")
        assert admin.function_list() == []
        with Queue.from_url(_url(server, "operator"), NAME) as operator:
            operator.load_scripts()
        admin.config_resetstat()
        with Queue.from_url(_url(server, "agent"), NAME) as other:
            other.enqueue(type="build", idempotency_key="")
        assert "cmdstat_evalsha" not in admin.info("commandstats")


def test_the_reading_scripts_are_those_that_never_write(server: RedisServer) -> None:
    """Each script that is not one of them changes something, in one of the operations at least."""
    assert {operation.script for operation in OPERATIONS.values()} >= set(NAMES) - READING


def _script(source: str) -> Script:
    return Script("made-up", source, (), ())


def test_a_command_that_cannot_be_read_off() -> None:
    """A name in a variable is followed to the calls of that function; what can't be followed is an error."""
    through = (
        "local function each(command, key)\n  redis.call(command, key)\nend\neach('HSET', 'x')\neach('ZADD', 'x')\n"
    )
    assert commands_of(_script(through + "redis.pcall('GET', 'x')")) == {"hset", "zadd", "get"}
    for broken in (
        through + "each(word, 'x')",
        through + "other(each)",
        "redis.call(word)",
        "local call = redis.call",
        "local function each(key, command)\n  redis.call(command, key)\nend\neach('x', 'HSET')",
    ):
        with pytest.raises(ValueError, match="made-up"):
            commands_of(_script(broken))
    for name in NAMES:
        assert "time" in commands_of(load(name))
