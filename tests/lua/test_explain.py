"""lua/explain.lua: why a task doesn't run, as the claim itself has it; the random histories hold both together."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import Claim, Explanation, NewTask, TaskNotFound
from lokiredis.acl import commands_of
from lokiredis.scripts import load

from ..clock import ClockedAsyncQueue, ClockedQueue
from ..servers import Backend
from .moves import AGENT, add, add_many, bury, done, let_pass, moment, raw, size, stored, take, trip_by_failures


def _line(queue: ClockedQueue, *ids: str) -> list[tuple[bool, int | None, str]]:
    found = [queue.explain(id) for id in ids]
    return [(one.ready, one.position, one.expected) for one in found]


def test_the_place_in_line(clocked: ClockedQueue) -> None:
    """By priority and age within its type; the first one is ready now."""
    for id, priority in (("low", 1), ("mid", 5), ("top", 9)):
        add(clocked, id, priority=priority)
    add(clocked, "other", "b", priority=10)
    assert _line(clocked, "top", "mid", "low", "other") == [
        (True, 1, "ready"), (False, 2, "ready"), (False, 3, "ready"), (True, 1, "ready"),
    ]  # fmt: skip
    with pytest.raises(TaskNotFound):
        clocked.explain("nobody")


def test_nothing_is_written(clocked: ClockedQueue) -> None:
    """However much a claim would do first: due tasks, lost leases, a long release."""
    add(clocked, "parent", "b")
    add_many(clocked, 700, "y", dependencies=["parent"])
    add(clocked, "lost", timeout=30, max_retries=1)
    add(clocked, "late", delay=40)
    take(clocked, lease=20)
    done(clocked, take(clocked, "b"))
    let_pass(clocked, 45)
    before = stored(clocked)
    assert clocked.explain("late").expected == "ready"
    assert clocked.explain("lost").expected == "dead"
    assert clocked.explain_agent("me", "a").task == "y0"
    assert stored(clocked) == before


@pytest.mark.parametrize("name", ["explain", "explain_agent"])
def test_the_scripts_call_nothing_that_writes(name: str) -> None:
    """Whatever the pieces of a claim would write goes through lua/lib/trial.lua, which has no such call."""
    writing = {"hset", "hdel", "hincrby", "zadd", "zrem", "set", "del", "xadd", "publish"}
    assert commands_of(load("claim")) & writing
    assert not commands_of(load(name)) & writing


def test_what_a_claim_does_first(clocked: ClockedQueue) -> None:
    """A due task and a claim that nobody renewed are in line."""
    add(clocked, "lost", timeout=30)
    take(clocked)
    add(clocked, "late", delay=40)
    let_pass(clocked, 39)
    assert _line(clocked, "lost", "late") == [(True, 1, "ready"), (False, None, "delayed")]
    assert clocked.explain("lost").state == "in-progress"
    let_pass(clocked, 1)
    assert _line(clocked, "lost", "late") == [(True, 1, "ready"), (False, 2, "ready")]


def test_the_roots_of_a_blocked_task(clocked: ClockedQueue) -> None:
    """What it waits for in the end, each once, in whatever state; what is completed is waited for no more."""
    for id in ("done", "dead", "runs", "ready"):
        add(clocked, id, id)
    clocked.fail(take(clocked, "dead"), "the registry is down", retry=False)
    done(clocked, take(clocked, "done"))
    take(clocked, "runs")
    add(clocked, "late", "late", delay=60)
    add(clocked, "left", dependencies=["done", "dead", "runs"])
    add(clocked, "right", dependencies=["late", "runs", "ready"])
    add(clocked, "x", dependencies=["left", "right"])
    found = clocked.explain("x")
    assert (found.ready, found.position, found.expected, found.roots, found.walked_all) == (
        False,
        None,
        "blocked",
        4,
        True,
    )
    assert {task.id: task.place for task in found.waits_for} == {
        "dead": "dead", "runs": "leased", "late": "delayed", "ready": "ready",
    }  # fmt: skip
    assert next(task for task in found.waits_for if task.id == "dead").last_error == "the registry is down"


def test_a_root_of_the_same_type(clocked: ClockedQueue) -> None:
    """It is told as it stands: the claim that is tried for the type would take it, and nothing of that is kept."""
    add(clocked, "p")
    add(clocked, "q", dependencies=["p"])
    (root,) = clocked.explain("q").waits_for
    assert (root.id, root.place, root.claimed_by, root.lease_expires_at) == ("p", "ready", None, None)


def test_a_chain_of_ten_thousand(clocked: ClockedQueue) -> None:
    """It is followed as far as one call may go, and the answer says that there is more."""
    plan: list[dict[str, Any]] = [{"id": "x0", "type": "a"}]
    plan += [{"id": f"x{i}", "type": "a", "payload": {"n": i}, "dependencies": [f"x{i - 1}"]} for i in range(1, 10_000)]
    clocked.enqueue_many(plan)
    found = clocked.explain("x9999")
    assert (found.expected, found.roots, found.walked_all, found.waits_for) == ("blocked", 0, False, ())
    assert not clocked.explain("x1001").walked_all
    found = clocked.explain("x1000")
    assert (found.roots, found.walked_all, [task.id for task in found.waits_for]) == (1, True, ["x0"])


def test_roots_without_their_documents(clocked: ClockedQueue) -> None:
    """What they hold is not sent, however many they are; what is to be known of them is."""
    names = [add(clocked, f"x{i}", "b", payload={"x": "x" * 100_000}) for i in range(120)]
    add(clocked, "top", dependencies=names)
    clocked.fail(take(clocked, "b"), "no" * 50, retry=False)
    clocked.escalate_dead("x0", "ask somebody")
    take(clocked, "b", lease=30)
    assert size(raw(clocked, "explain", "top", 3)) < 50_000
    found = clocked.explain("top")
    assert (found.roots, found.walked_all, [root.id for root in found.waits_for]) == (120, True, names[:100])
    dead, runs, ready = found.waits_for[:3]
    assert (dead.state, dead.last_error, dead.escalated_at) == ("dead-letter", "no" * 50, moment(clocked))
    assert (runs.state, runs.claimed_by, runs.lease_expires_at) == ("in-progress", AGENT, moment(clocked, 30))
    assert (ready.state, ready.place, ready.type, ready.last_error) == ("pending", "ready", "b", None)


def test_more_names_than_one_call_reads(clocked: ClockedQueue) -> None:
    """Of 40 tasks that wait for 500 each, some are read: what was met of these is told, and that there may be more."""
    names = add_many(clocked, 1000, "x" * 100)
    middle = [f"y{i}" for i in range(40)]
    for first in range(0, 40, 10):
        plan = [
            NewTask(type="a", id=f"y{i}", idempotency_key="", dependencies=tuple(names[5 * i : 5 * i + 500]))
            for i in range(first, first + 10)
        ]
        clocked.enqueue_many(plan)
    add(clocked, "top", dependencies=middle)
    found = clocked.explain("top")
    assert (found.walked_all, len(found.waits_for)) == (False, 100)
    assert 500 < found.roots < 695


def test_tasks_that_wait_for_the_same_ones(clocked: ClockedQueue) -> None:
    """40 layers of 50, each of which waits for the whole one before: 100,000 names, and nothing is left out."""
    for layer in range(40):
        before = [f"x{layer - 1}-{i}" for i in range(50)] if layer else []
        add_many(clocked, 50, f"x{layer}-", dependencies=before)
    found = clocked.explain("x39-0")
    assert (found.roots, found.walked_all) == (50, True)
    assert [root.id for root in found.waits_for] == [f"x0-{i}" for i in range(50)]


def test_what_stops_the_type(clocked: ClockedQueue) -> None:
    """Pauses of queue and type, a slowdown, a breaker with its next probe: each told, and the place in line kept."""
    add(clocked, "x")
    clocked.pause("a")
    found = clocked.explain("x")
    assert (found.reason, found.gate.paused, found.paused, found.position, found.ready) == (
        "paused",
        True,
        False,
        1,
        False,
    )
    clocked.pause()
    assert clocked.explain("x").paused
    clocked.resume()
    clocked.resume("a")
    clocked.slowdown(30)
    found = clocked.explain("x")
    assert (found.reason, found.retry_after, found.slowdown_until) == ("slowdown", 30, moment(clocked, 30))
    clocked.slowdown(0)
    clocked.trip_breaker("a")
    found = clocked.explain("x")
    assert (found.reason, found.gate.probe_at, found.gate.probe) == ("breaker", moment(clocked, 60), None)
    assert found.gate.breaker is not None
    assert found.gate.breaker.state == "open"
    let_pass(clocked, 60)
    add(clocked, "y")
    assert _line(clocked, "x", "y") == [(True, 1, "ready"), (False, 2, "ready")]
    take(clocked)
    found = clocked.explain("y")
    assert (found.reason, found.gate.probe, found.position) == ("breaker", "x", 1)


def test_a_probe_that_failed_gives_way(clocked: ClockedQueue) -> None:
    """The next of its type is first in line, as for the claim."""
    trip_by_failures(clocked)
    add(clocked, "old", max_retries=5, backoff_seconds=0)
    add(clocked, "young")
    let_pass(clocked, 60)
    clocked.fail(take(clocked), "no")
    let_pass(clocked, 300)
    assert _line(clocked, "young", "old") == [(True, 1, "ready"), (False, 2, "ready")]
    assert take(clocked).id == "young"


def test_the_agents_that_could_do_it(clocked: ClockedQueue) -> None:
    """Those that announced the type and are not silent, and those that run a task of it; each once."""
    add_many(clocked, 3)
    assert clocked.explain("x0").agents == 0
    clocked.announce("one", ["b", "a"], every=20)
    clocked.announce("two", ["aa"], every=20)
    assert clocked.explain("x0").agents == 1
    take(clocked, agent="one", lease=30)
    take(clocked, agent="three", lease=30)
    assert clocked.explain("x2").agents == 2
    clocked.clock.advance(29)
    assert clocked.explain("x2").agents == 2
    clocked.clock.advance(1)
    assert clocked.explain("x2").agents == 1  # one has announced itself, and is not silent yet
    assert {agent.name for agent in clocked.agents() if agent.state != "lost"} >= {"one"}
    clocked.clock.advance(31)
    assert clocked.explain("x2").agents == 0


@pytest.mark.parametrize("end", ["completed", "dead", "cancelled"])
def test_what_has_ended(end: str, clocked: ClockedQueue) -> None:
    """It is in no line."""
    if end == "dead":
        bury(clocked, "x")
    else:
        add(clocked, "x")
        if end == "completed":
            done(clocked, take(clocked))
        else:
            clocked.cancel("x", "no")
    assert _line(clocked, "x") == [(False, None, end)]


async def test_awaited(backend: Backend, queue_name: str, clocked: ClockedQueue) -> None:
    """The same from asyncio."""
    add(clocked, "x")
    client = backend.async_client()
    try:
        queue = ClockedAsyncQueue(client, queue_name, clocked.clock)
        found = await queue.explain("x")
        assert isinstance(found, Explanation)
        assert (found, (await queue.explain_agent("me", "a")).task) == (clocked.explain("x"), "x")
        await queue.close()
    finally:
        await client.aclose()
    assert isinstance(clocked.claim("me", "a"), Claim)
