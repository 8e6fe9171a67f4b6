"""lua/cancel.lua: rules 13 and 16."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lokiredis import Cancelled, InvalidState, Outcome, StaleClaim, State, TaskNotFound

from ..clock import ClockedQueue
from ..waiting import wait_until
from .moves import (
    AGENT,
    add,
    add_many,
    bury,
    done,
    drive_on,
    every,
    marks,
    moment,
    places,
    refused,
    somebody_waits,
    stored,
    take,
)


def test_a_pending_task(clocked: ClockedQueue) -> None:
    """Ready, delayed or blocked: it is cancelled, with time and reason."""
    add(clocked, "ready")
    add(clocked, "delayed", delay=60)
    add(clocked, "parent")
    add(clocked, "blocked", dependencies=["parent"])
    for id in ("ready", "delayed", "blocked"):
        assert clocked.cancel(id, "not needed") == Cancelled(1, [id], True)
        task = clocked.get(id)
        assert (task.state, task.cancel_reason, task.cancelled_at) == (State.CANCELLED, "not needed", moment(clocked))
    assert places(clocked)["parent"] == "ready"
    assert clocked.get("blocked").waiting_on == frozenset()
    assert clocked.get("blocked").dependencies == ("parent",)


def test_a_running_task(clocked: ClockedQueue) -> None:
    """Its token dies at once: no ending counts any more. The ledger says cancelled."""
    add(clocked, "x")
    claim = take(clocked)
    clocked.cancel("x", "stop")
    before = stored(clocked)
    endings: list[Callable[[], Outcome]] = [
        lambda: done(clocked, claim),
        lambda: clocked.fail(claim, "e"),
        lambda: clocked.release(claim),
    ]
    for ending in endings:
        with pytest.raises(StaleClaim) as caught:
            ending()
        assert caught.value.state == "cancelled"
    assert stored(clocked) == before
    (attempt,) = clocked.get("x").attempts
    assert (attempt.agent, attempt.outcome, attempt.error) == (AGENT, "cancelled", "stop")


def test_the_agent_is_signalled(clocked: ClockedQueue) -> None:
    """A cancel under an agent is published with the task, the token and the agent."""
    add(clocked, "x")
    claim = take(clocked)
    found: list[dict[str, object]] = []
    with clocked.redis.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe(clocked.keys.signals)
        channel.get_message(timeout=1)
        clocked.cancel("x", "stop")

        def heard() -> bool:
            message = channel.get_message(timeout=0.01)
            if message is not None:
                found.append(json.loads(message["data"]))
            return any(m["signal"] == "CANCEL" for m in found)

        wait_until(heard)
    message = next(m for m in found if m["signal"] == "CANCEL")
    assert message == {
        "signal": "CANCEL",
        "queue": clocked.name,
        "at": clocked.clock.now,
        "id": "x",
        "token": claim.token,
        "agent": AGENT,
        "reason": "stop",
    }


def test_the_cascade(clocked: ClockedQueue) -> None:
    """Every transitive dependent is cancelled and names the parent that was reached first; others go on."""
    clocked.enqueue_many(
        [
            {"id": "a", "type": "t"},
            {"id": "b", "type": "t", "dependencies": ["a"]},
            {"id": "c", "type": "t", "dependencies": ["a"], "title": "c"},
            {"id": "d", "type": "t", "dependencies": ["b", "c"]},
            {"id": "e", "type": "t", "dependencies": ["d"], "delay": 5},
            {"id": "f", "type": "t", "title": "f"},
        ]
    )
    result = clocked.cancel("a", "no")
    assert (result.count, sorted(result.ids), result.done) == (5, ["a", "b", "c", "d", "e"], True)
    assert {t.id: t.cancel_reason for t in every(clocked)} == {
        "a": "no",
        "b": "Parent a cancelled",
        "c": "Parent a cancelled",
        "d": "Parent b cancelled",
        "e": "Parent d cancelled",
        "f": None,
    }
    assert clocked.counts() == {"pending": 1, "in-progress": 0, "completed": 0, "dead-letter": 0, "cancelled": 5}


def test_the_reason_names_the_parent_that_was_reached_first(clocked: ClockedQueue) -> None:
    """That is the older one, whatever their names are."""
    add(clocked, "root")
    add(clocked, "z", dependencies=["root"])
    add(clocked, "a", dependencies=["root"])
    add(clocked, "last", dependencies=["a", "z"])
    assert clocked.cancel("root").ids == ["root", "z", "a", "last"]
    assert clocked.get("last").cancel_reason == "Parent z cancelled"


@pytest.mark.parametrize("state", ["completed", "cancelled", "dead-letter"])
def test_what_can_not_be_cancelled(clocked: ClockedQueue, state: str) -> None:
    """A task that has ended is refused, naming its state, and nothing changes."""
    if state == "dead-letter":
        bury(clocked, "x")
    else:
        add(clocked, "x")
        if state == "completed":
            done(clocked, take(clocked))
        else:
            clocked.cancel("x", "no")
    before = stored(clocked)
    with pytest.raises(InvalidState) as caught:
        clocked.cancel("x", "again")
    assert (caught.value.state, caught.value.id, stored(clocked)) == (state, "x", before)


def test_an_unknown_task(clocked: ClockedQueue) -> None:
    """Cancelling what isn't there says so, and leaves nothing."""
    with pytest.raises(TaskNotFound):
        clocked.cancel("nobody", "no")
    assert stored(clocked) == {}


def test_a_repeated_cancel(clocked: ClockedQueue) -> None:
    """The same request answers the same and changes nothing."""
    add(clocked, "x")
    add(clocked, "y", dependencies=["x"])
    first = clocked.cancel("x", "no", request="r")
    before = stored(clocked)
    assert clocked.cancel("x", "no", request="r") == first == Cancelled(2, ["x", "y"], True)
    assert stored(clocked) == before


def test_a_long_cascade(clocked: ClockedQueue) -> None:
    """It goes on in later calls: done is False meanwhile, the counts become right, and a mark wakes somebody."""
    add(clocked, "parent")
    add_many(clocked, 1500, type="b", dependencies=("parent",))
    somebody_waits(clocked)
    result = clocked.cancel("parent", "no")
    assert not result.done
    assert 1 < result.count == len(result.ids) < 1501
    assert "b" in marks(clocked)
    assert refused(clocked, "b").retry_after in (0, None)
    drive_on(clocked)
    assert clocked.counts()["cancelled"] == 1501


def test_the_answer_is_of_its_own_cascade(clocked: ClockedQueue) -> None:
    """A call carries on what others left over, before its own; that is not what its caller cancelled."""
    add(clocked, "before")
    add_many(clocked, 1500, type="b", dependencies=("before",))
    add(clocked, "x")
    add(clocked, "y", dependencies=["x"])
    add(clocked, "z", dependencies=["y"])
    assert not clocked.cancel("before", "no").done
    result = clocked.cancel("x", "no")
    assert not result.done
    assert result.ids == ["x", "y", "z"][: result.count]
    drive_on(clocked)
    assert clocked.counts()["cancelled"] == 1504


def test_a_new_dependent_of_a_cancelled_task_can_not_slip_in(clocked: ClockedQueue) -> None:
    """While a cascade is under way, tasks that it has not reached yet can't be claimed: they are still blocked."""
    add(clocked, "parent")
    add_many(clocked, 1500, type="b", dependencies=("parent",))
    clocked.cancel("parent", "no")
    assert clocked.claim_many("me", "b", 1000) == []
    drive_on(clocked)
    assert clocked.counts()["cancelled"] == 1501


def test_the_ids_are_the_first_thousand(clocked: ClockedQueue) -> None:
    """The reply stays small whatever the cascade."""
    add(clocked, "parent")
    add_many(clocked, 400, type="b", dependencies=("parent",))
    result = clocked.cancel("parent", "no")
    assert (result.count, len(result.ids), result.done) == (401, 401, True)
    assert result.ids[0] == "parent"
