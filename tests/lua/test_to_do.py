"""lua/lib/carry_on.lua: a call does what it has found itself, after what others left over, and writes down the rest."""

from __future__ import annotations

import pytest

from lokiredis import Finished, commands

from ..clock import ClockedQueue
from .moves import AGENT, REPORT, add, add_many, bury, done, drive_on, in_one_call, stored, take


def _sets(queue: ClockedQueue) -> set[str]:
    """The tasks that still have a set of dependents."""
    prefix = queue.keys.prefix + "dependents:"
    return {key.decode().removeprefix(prefix) for key in queue.redis.scan_iter(match=prefix + "*", count=1000)}


def _end(queue: ClockedQueue, ids: list[str]) -> None:
    """Complete them all by one call, in this order."""
    claims = {claim.id: claim for claim in queue.claim_many(AGENT, "a", 1000)}
    ended = [Finished(claims[id], decision_report=REPORT) for id in ids]
    queue.run(commands.exchange(queue.keys, AGENT, (), in_one_call(ended), limit=0))


def _met(queue: ClockedQueue) -> list[tuple[str, str]]:
    """What each release told: who waited, and for whom."""
    return [(event.id or "", event.text) for event in queue.events() if event.kind == "dependency-met"]


def _large_and_small(queue: ClockedQueue) -> None:
    """A completion that leaves most of 3,000 releases over, and a task "x" that one other waits for."""
    add(queue, "many", "m")
    add_many(queue, 3000, type="b", dependencies=["many"])
    add(queue, "x")
    add(queue, "next", "c", dependencies=["x"])
    done(queue, take(queue, "m"))


@pytest.mark.parametrize("way", ["complete", "exchange", "cancel", "resolve", "discard"])
def test_what_is_done_at_once_leaves_nothing_behind(clocked: ClockedQueue, way: str) -> None:
    """No to-do, and no set of those who waited."""
    if way in ("resolve", "discard"):
        bury(clocked, "parent")
    else:
        add(clocked, "parent")
    add_many(clocked, 3, type="b", dependencies=["parent"])
    if way == "complete":
        done(clocked, take(clocked))
    elif way == "exchange":
        _end(clocked, ["parent"])
    elif way == "cancel":
        clocked.cancel("parent", "no need")
    elif way == "resolve":
        clocked.resolve_dead("parent", {"decisionReport": REPORT}, reason="by hand")
    else:
        clocked.discard_dead("parent", reason="no need")
    assert clocked.stats().todo == 0
    assert _sets(clocked) == set()
    assert clocked.counts()["cancelled" if way in ("cancel", "discard") else "pending"] >= 3


def test_a_small_job_does_not_wait_for_the_end_of_a_large_one(clocked: ClockedQueue) -> None:
    """What others left over comes first, but a slice at a time."""
    _large_and_small(clocked)
    before = len(_met(clocked))
    done(clocked, take(clocked))
    assert clocked.get("next").place == "ready"
    assert clocked.stats().todo == 1
    told = _met(clocked)[before:]
    assert told.index(("next", "x")) >= 100
    drive_on(clocked)
    assert clocked.stats().types["b"].ready == 3000
    assert _sets(clocked) == set()


def test_the_rest_is_written_down_in_order(clocked: ClockedQueue) -> None:
    """The endings of one call release in their order, also those whose turn comes in a later call."""
    parents = [f"p{n}" for n in (3, 1, 2, 5, 4, 7, 6, 9, 8, 0)]
    for parent in parents:
        add(clocked, parent)
    for parent in parents:
        add_many(clocked, 130, parent + "-", type="b", dependencies=[parent])
    _end(clocked, parents)
    assert clocked.stats().todo
    drive_on(clocked)
    assert list(dict.fromkeys(parent for _, parent in _met(clocked))) == parents
    assert len(set(_met(clocked))) == len(_met(clocked)) == 1300
    assert clocked.stats().types["b"].ready == 1300
    assert _sets(clocked) == set()


def test_a_thousand_endings_with_dependents(clocked: ClockedQueue) -> None:
    """More than one call reads ahead, some of them without anybody who waits: none of these is a job."""
    ids = add_many(clocked, 1000)
    clocked.enqueue_many(
        {"id": f"after-{id}-{n}", "type": "b", "dependencies": [id], "idempotencyKey": ""}
        for place, id in enumerate(ids)
        if place % 3
        for n in range(2)
    )
    _end(clocked, ids)
    assert 0 < clocked.stats().todo <= 666
    drive_on(clocked)
    assert clocked.stats().types["b"].ready == 2 * 666
    assert _sets(clocked) == set()


@pytest.mark.parametrize("later", [40, 60])
def test_the_reason_names_the_parent_that_was_reached_first(clocked: ClockedQueue, later: int) -> None:
    """Also of a task that stands behind more than a slice of others of that parent (design rule 13)."""
    add(clocked, "root")
    add_many(clocked, 61, "c", type="b", dependencies=["root"])
    for number in range(2, 60):
        add(clocked, f"d{number}", "b", dependencies=[f"c{number}"])
    add_many(clocked, 110, "many", type="b", dependencies=["c1"])
    add(clocked, "both", "b", dependencies=["c1", f"c{later}"])
    clocked.cancel("root", "no need")
    drive_on(clocked)
    assert clocked.get("both").cancel_reason == "Parent c1 cancelled"
    assert clocked.counts()["cancelled"] == 1 + 61 + 58 + 110 + 1
    assert _sets(clocked) == set()


def test_entries_of_an_earlier_task_are_passed_over(clocked: ClockedQueue) -> None:
    """Those of a task that is gone, or whose id is another's now; they go with the set."""
    add(clocked, "parent")
    add(clocked, "child", "b", dependencies=["parent"])
    key = clocked.keys.prefix + "dependents:parent"
    clocked.redis.zadd(key, {"gone": 7, "child": clocked.redis.zscore(key, "child"), "parent": 99})
    done(clocked, take(clocked))
    assert clocked.get("child").place == "ready"
    assert _sets(clocked) == set()


def test_a_claim_that_is_only_tried_works_on_what_is_left_over(clocked: ClockedQueue) -> None:
    """As explain does: it sees what a claim would release, and writes nothing."""
    _large_and_small(clocked)
    done(clocked, take(clocked))
    while clocked.stats().types["b"].ready < 2900:
        clocked.claim("bystander", "no-such-work")
    last = clocked.get("x2999")
    assert last.place == "blocked"
    before = stored(clocked)
    assert clocked.explain("x2999").expected == "ready"
    assert stored(clocked) == before
    clocked.claim("bystander", "no-such-work")
    assert clocked.get("x2999").place == "ready"
