"""lua/canary_dead.lua: one dead letter goes first, the others when it has completed."""

from __future__ import annotations

import pytest

from lokiredis import DuplicateTask, Failed, Finished, InvalidState, InvalidTask, TaskNotFound

from ..clock import ClockedAsyncQueue, ClockedQueue
from ..servers import Backend
from .moves import REPORT, add, bury, done, drive_on, places, raw, take
from .test_import import _import, _words


@pytest.fixture
def dead(clocked: ClockedQueue) -> ClockedQueue:
    """Three dead letters, and a breaker that bears many more."""
    clocked.configure(breaker_defaults={"failure_threshold": 100_000})
    for id in ("x", "y", "z"):
        bury(clocked, id)
    return clocked


def test_the_others_wait_for_it(dead: ClockedQueue) -> None:
    """They stay dead letters until the canary has completed, then they are pending with all their attempts."""
    assert dead.canary_dead("x", ["y", "z", "x", "nobody"]) == 2
    assert places(dead) == {"x": "ready", "y": "dead", "z": "dead"}
    claim = take(dead)
    assert places(dead) == {"x": "leased", "y": "dead", "z": "dead"}
    done(dead, claim)
    assert places(dead) == {"x": "completed", "y": "ready", "z": "ready"}
    assert dead.get("y").retries == 0
    assert take(dead).id == "y"


def test_it_fails_again(dead: ClockedQueue) -> None:
    """Nobody is released; a second try of the canary releases them."""
    dead.canary_dead("x", ["y", "z"])
    dead.fail(take(dead), "still broken", retry=False)
    assert set(places(dead).values()) == {"dead"}
    dead.retry_dead("x")
    done(dead, take(dead))
    assert places(dead) == {"x": "completed", "y": "ready", "z": "ready"}


@pytest.mark.parametrize("end", ["cancel", "discard"])
def test_it_is_given_up(end: str, dead: ClockedQueue) -> None:
    """The others are not cancelled with it: they are dead letters as before, and wait for nothing any more."""
    dead.canary_dead("x", ["y", "z"])
    if end == "cancel":
        dead.cancel("x", "no")
    else:
        dead.fail(take(dead), "still broken", retry=False)
        dead.discard_dead("x", "no")
    assert dead.stats().todo == 0
    assert {id: place for id, place in places(dead).items() if id != "x"} == {"y": "dead", "z": "dead"}
    assert [letter.canary for group in dead.dead_groups() for letter in group.letters] == [None, None]
    assert dead.retry_dead("y").state == "pending"


def test_a_decision_about_another_takes_it_out(dead: ClockedQueue) -> None:
    """Retried, resolved or discarded by itself, it has nothing to do with the canary any more."""
    bury(dead, "w")
    dead.canary_dead("w", ["x", "y", "z"])
    dead.retry_dead("x", delay=100)
    dead.resolve_dead("y", {"decisionReport": {"why": "by hand"}})
    dead.discard_dead("z", "no use")
    done(dead, take(dead))
    assert places(dead) == {"w": "completed", "x": "delayed", "y": "completed"}


def test_a_new_canary_takes_over(dead: ClockedQueue) -> None:
    """The last one that was named counts."""
    dead.canary_dead("x", ["y", "z"])
    dead.fail(take(dead), "still broken", retry=False)
    assert dead.canary_dead("y", ["x", "z"]) == 2
    assert {letter.id: letter.canary for group in dead.dead_groups() for letter in group.letters} == {
        "x": "y",
        "z": "y",
    }
    done(dead, take(dead))
    assert places(dead) == {"x": "ready", "y": "completed", "z": "ready"}


def test_its_own_dependents(dead: ClockedQueue) -> None:
    """What really depends on the canary goes on beside the others."""
    add(dead, "child", "b", dependencies=["x"])
    dead.canary_dead("x", ["y"])
    done(dead, take(dead))
    assert places(dead) == {"child": "ready", "x": "completed", "y": "ready", "z": "dead"}


def test_an_equal_task_lives(dead: ClockedQueue) -> None:
    """An equal one stands in the way of the canary unless forced, and of another that is released."""
    for id, key in (("one", "k1"), ("two", "k2")):
        bury(dead, id, idempotency_key=key)
    add(dead, "k1-again", "b", idempotency_key="k1")
    with pytest.raises(DuplicateTask):
        dead.canary_dead("one", ["x"])
    assert dead.get("one").place == "dead"
    assert dead.canary_dead("x", ["one", "two"]) == 2
    done(dead, take(dead))
    assert (dead.get("one").place, dead.get("two").place) == ("dead", "ready")


def test_a_large_group(dead: ClockedQueue) -> None:
    """It takes several calls, and the release is done in slices by whoever calls next."""
    ids = [f"n{number}" for number in range(2500)]
    dead.enqueue_many([{"id": id, "type": "a", "maxRetries": 1, "idempotencyKey": ""} for id in ids])
    for _ in range(3):
        claims = dead.claim_many("me", "a", 1000)
        dead.exchange("me", "a", finished=[Failed(claim, "no") for claim in claims], limit=0)
    assert dead.canary_dead("x", ids) == 2500
    done(dead, take(dead))
    drive_on(dead)
    assert dead.stats().types["a"].ready == 2500


def test_whom_it_is_not_for(dead: ClockedQueue) -> None:
    """Only a dead letter can be a canary."""
    with pytest.raises(TaskNotFound):
        dead.canary_dead("nobody", ["x"])
    add(dead, "new")
    with pytest.raises(InvalidState):
        dead.canary_dead("new", ["x"])
    with pytest.raises(InvalidTask):
        raw(dead, "canary_dead", "", "x", "me", "", "", "", "go", *["y"] * 1001)
    assert dead.get("x").place == "dead"


def test_a_lost_reply(dead: ClockedQueue) -> None:
    """The same request gets the same answer, though the canary is no dead letter any more."""
    assert dead.canary_dead("x", ["y"], request="r") == 1
    assert dead.canary_dead("x", ["y"], request="r") == 1
    assert len(dead.decisions()) == 1


async def test_awaited(backend: Backend, dead: ClockedQueue) -> None:
    """The same from asyncio."""
    client = backend.async_client()
    try:
        queue = ClockedAsyncQueue(client, dead.keys.name, dead.clock)
        assert [len(group.letters) for group in await queue.dead_groups()] == [3]
        assert await queue.canary_dead("x", ["y"], by="me") == 1
        assert [decision.by for decision in await queue.decisions()] == ["me"]
        await queue.close()
    finally:
        await client.aclose()


def test_a_worker_completes_it(dead: ClockedQueue) -> None:
    """In an exchange, too, though no task waits for any other."""
    dead.canary_dead("x", ["y", "z"])
    dead.exchange("me", "a", finished=[Finished(take(dead), decision_report=REPORT)], limit=0)
    assert places(dead) == {"x": "completed", "y": "ready", "z": "ready"}


def test_two_equal_ones_wait_for_it(dead: ClockedQueue) -> None:
    """The first is released; it lives then, and stands in the way of the second, also within one call."""
    for id in ("one", "two"):
        bury(dead, id, idempotency_key="k")
    dead.canary_dead("x", ["one", "two"])
    dead.exchange("me", "a", finished=[Finished(take(dead), decision_report=REPORT)], limit=0)
    assert (dead.get("one").place, dead.get("two").place) == ("ready", "dead")


def test_one_that_waits_for_a_task_as_well(dead: ClockedQueue) -> None:
    """As an imported dead letter may: released by both in one call, it is in one index."""
    add(dead, "d", "b")
    _import(dead, _words("w", ["d"], state="dead-letter"))
    assert dead.canary_dead("x", ["w"]) == 1
    both = [Finished(take(dead, type), decision_report=REPORT) for type in ("a", "b")]
    dead.exchange("me", "a", finished=both, limit=0)
    assert places(dead)["w"] == "ready"
    assert dead.stats().types["a"].blocked == 0
