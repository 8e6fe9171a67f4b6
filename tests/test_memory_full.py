"""When Redis is out of memory only enqueue and import are refused; everything that drains the queue works (rule 18)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

from lokiredis import (
    Claim,
    Enqueued,
    Failed,
    Finished,
    Outcome,
    Queue,
    QueueFull,
    Released,
    State,
    TaskExists,
    commands,
)
from lokiredis.commands import Command
from lokiredis.files.snapshot import Snapshot
from lokiredis.scripts import NAMES, load
from lokiredis.server import read_server

from .conftest import real_backend
from .lua.moves import REPORT, add, add_many, bury, done, drive_on, places, stored, take
from .servers import Backend


@pytest.fixture(params=["redis6", "redis7"])
def server(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A real server, whose memory is not full any more afterwards."""
    found = real_backend(request.param, request.getfixturevalue(f"{request.param}_server"))
    try:
        yield found
    finally:
        found.redis.config_set("maxmemory", 0)
        found.redis.flushall()
        found.redis.close()


@pytest.fixture
def queue(server: Backend, queue_name: str) -> Iterator[Queue]:
    """An empty queue, and afterwards the check that its data is sound."""
    yield Queue(server.redis, queue_name)
    server.redis.config_set("maxmemory", 0)
    importlib.import_module("tests.invariants").check(server.redis, queue_name)


def _fill(queue: Queue) -> None:
    """From now on the server has no memory for anything, and knows no script."""
    queue.redis.config_set("maxmemory", 1)
    queue.redis.script_flush()
    if read_server(queue.redis).version >= (7,):  # type: ignore[operator]
        queue.redis.function_flush()
    with pytest.raises(OutOfMemoryError):
        queue.redis.set("more", "x")


def test_nothing_new_is_taken(queue: Queue) -> None:
    """Enqueue and import say QueueFull, and nothing of them is stored; then there is room again."""
    add(queue, "x")
    _fill(queue)
    before = stored(queue)
    with pytest.raises(QueueFull):
        queue.enqueue(type="a")
    with pytest.raises(QueueFull):
        queue.enqueue_many([{"type": "a", "payload": {"i": i}} for i in range(2500)])
    words = ["", "", "", "id", "a", 5, 1000, 3, 0, "pending", *[""] * 13, "{}", *[""] * 9, 0]
    script = load("import")
    keys = [queue.keys.fixed(name) for name in script.keys]
    with pytest.raises(QueueFull):
        queue.run(Command(script, keys, [queue.keys.prefix, *words], lambda reply: reply))
    with pytest.raises(QueueFull):
        queue.run(commands.import_breakers(queue.keys, [commands.RestoredBreaker("a", "closed", 1)], request="r"))
    assert stored(queue) == before
    queue.redis.config_set("maxmemory", 0)
    assert queue.enqueue(type="a").created


def test_what_stores_nothing_is_answered(queue: Queue) -> None:
    """By Redis 6.2, which refuses writes; Redis 7 refuses the call before it knows what it is."""
    old = read_server(queue.redis).version < (7,)  # type: ignore[operator]
    queue.enqueue(type="a", id="x", request="r", idempotency_key="k")
    _fill(queue)
    before = stored(queue)
    made = {"r": True, "another": False}
    for request, created in made.items():
        if old:
            again = queue.enqueue(type="a", id="x", request=request, idempotency_key="k")
            assert again == Enqueued("x", created, State.PENDING)
        else:
            with pytest.raises(QueueFull):
                queue.enqueue(type="a", id="x", request=request, idempotency_key="k")
    with pytest.raises(TaskExists if old else QueueFull):
        queue.enqueue(type="a", id="x", idempotency_key="")
    assert stored(queue) == before


def test_a_whole_life(queue: Queue) -> None:
    """Claim, heartbeat with a checkpoint, and every ending."""
    add_many(queue, 6)
    _fill(queue)
    claims = [take(queue) for _ in range(6)]
    queue.heartbeat(claims[0], checkpoint={"x": "x" * 10_000}, progress="half")
    assert queue.heartbeat_many(claims)
    assert done(queue, claims[0]).state is State.COMPLETED
    assert queue.fail(claims[1], "e" * 10_000).state is State.PENDING
    assert queue.fail(claims[2], "e", retry=False).state is State.DEAD_LETTER
    assert queue.release(claims[3], reason="r" * 1000).state is State.PENDING
    assert queue.cancel(claims[4].id, "no").count == 1
    assert queue.rate_limited(claims[5], "429", retry_after=30, checkpoint=[1]).wait == 30
    assert places(queue) == {
        "x0": "completed",
        "x1": "delayed",
        "x2": "dead",
        "x3": "ready",
        "x4": "cancelled",
        "x5": "leased",
    }


def test_many_at_once(queue: Queue) -> None:
    """claim_many and exchange, and the dependents of what they finished."""
    add_many(queue, 5)
    add_many(queue, 700, "y", "b", dependencies=("x0",))
    _fill(queue)
    claims = queue.claim_many("me", "a", 3, lease=60)
    ended: list[Finished | Failed | Released] = [
        Finished(claims[0], decision_report=REPORT),
        Failed(claims[1], "e"),
        Released(claims[2]),
    ]
    reply = queue.exchange("me", "a", finished=ended, limit=2)
    assert [type(outcome) for outcome in reply.outcomes] == [Outcome] * 3
    assert [c.id for c in reply.claims] == ["x2", "x3"]
    drive_on(queue)
    assert queue.stats().types["b"].ready == 700


def test_dead_letters(queue: Queue) -> None:
    """Groups, retry, resolve, discard and escalate, a canary; and what was decided can be read."""
    for id in ("x", "y", "z", "canary", "other"):
        bury(queue, id)
    _fill(queue)
    assert sum(len(group.letters) for group in queue.dead_groups()) == 5
    assert queue.canary_dead("canary", ["other"]) == 1
    queue.escalate_dead("x", "ask")
    assert queue.retry_dead("x").state is State.PENDING
    assert queue.resolve_dead("y", {"decisionReport": REPORT}).state is State.COMPLETED
    assert queue.discard_dead("z", "no").done
    assert places(queue) == {"x": "ready", "y": "completed", "canary": "ready", "other": "dead"}
    queue.reset_breaker("a")  # five dead letters have opened it
    for _ in range(2):
        done(queue, take(queue))
    drive_on(queue)
    assert places(queue)["other"] == "ready"
    assert len(queue.decisions()) >= 5


def test_switches(queue: Queue) -> None:
    """Pause, resume, slowdown, breakers and settings can be changed, and everything can be read."""
    add(queue, "x")
    _fill(queue)
    assert queue.pause()
    assert queue.pause("a")
    assert queue.resume()
    assert queue.resume("a")
    assert queue.slowdown(30) > 0
    assert queue.slowdown(0) == 0
    queue.trip_breaker("a")
    assert queue.breakers()["a"].state == "open"
    queue.reset_breaker("a")
    assert queue.configure(keep_count=5) == 1
    assert queue.settings().keep_count == 5
    assert (queue.get("x").id, len(queue.list("pending").tasks), queue.counts()["pending"]) == ("x", 1, 1)
    assert queue.stats().types["a"].ready == 1
    assert queue.announce("me", ["a"]) == 1
    assert [agent.name for agent in queue.agents()] == ["me"]
    assert queue.explain("x").ready
    assert queue.explain_agent("me", "a").task == "x"
    assert list(queue.graph().nodes) == ["x"]
    assert [wait.id for wait in queue.waits()] == ["x"]


def test_a_snapshot(queue: Queue, tmp_path: Path) -> None:
    """The files are written as ever."""
    add(queue, "x")
    _fill(queue)
    with Snapshot(queue, tmp_path) as job:
        assert job.take().counts["pending"] == 1


def test_a_waiting_claim(queue: Queue) -> None:
    """An agent that waits gets the task that is released meanwhile due, without more memory."""
    add(queue, "x", delay=0.2)
    _fill(queue)
    claim = queue.claim("me", "a", wait=20)
    assert isinstance(claim, Claim)
    queue.close()


def test_an_expired_lease(queue: Queue) -> None:
    """What was lost is reaped."""
    add(queue, "x", timeout=0.01)
    _fill(queue)
    take(queue)
    claim = queue.claim("me", "a", wait=20)
    assert isinstance(claim, Claim)
    assert claim.task.retries == 1
    done(queue, claim)
    queue.close()


def test_every_script_is_covered_here() -> None:
    """A new operation must be added to these tests: does it drain the queue, or fill it?"""
    draining = """
        agents announce canary_dead cancel claim complete configure dead_groups decisions discard_dead escalate_dead
        exchange explain explain_agent fail get graph heartbeat list pause rate_limited release reset_breaker
        resolve_dead resume retry_dead settings slowdown snapshot stats trip_breaker waits
    """
    assert set(NAMES) == {*draining.split(), "enqueue", "import", "import_breakers"}
