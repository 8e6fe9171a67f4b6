"""lua/retry_dead.lua: a dead letter gets another chance."""

from __future__ import annotations

import pytest

from lokiredis import DuplicateTask, InvalidState, InvalidTask, Outcome, State, TaskNotFound

from ..clock import ClockedQueue
from .moves import add, bury, done, forget_marks, marks, moment, stored, take


def test_pending_again(clocked: ClockedQueue) -> None:
    """All its attempts are there again, its place and its history are kept, and a waiter is woken."""
    add(clocked, "x", max_retries=2, backoff_seconds=5)
    for _ in range(2):
        clocked.fail(take(clocked), "no")
        clocked.clock.advance(5)
    add(clocked, "young")
    forget_marks(clocked)
    assert clocked.retry_dead("x") == Outcome(State.PENDING, 0, None)
    task = clocked.get("x")
    assert (task.place, task.retries, task.backoff_seconds, len(task.attempts)) == ("ready", 0, 5, 2)
    assert (marks(clocked), take(clocked).id) == ({"a"}, "x")


def test_with_a_delay(clocked: ClockedQueue) -> None:
    """It waits for so long."""
    bury(clocked, "x")
    assert clocked.retry_dead("x", delay=9).available_at == moment(clocked, 9)
    assert clocked.get("x").place == "delayed"


def test_its_dependents_go_on(clocked: ClockedQueue) -> None:
    """What waited for the dead letter is freed when it completes in the end."""
    add(clocked, "x")
    add(clocked, "y", dependencies=["x"])
    clocked.fail(take(clocked), "no", retry=False)
    clocked.retry_dead("x")
    done(clocked, take(clocked))
    assert take(clocked).id == "y"


def test_while_an_equal_one_lives(clocked: ClockedQueue) -> None:
    """An equal task that is waiting, running or done refuses it, unless it is forced; a dead one doesn't."""
    clocked.enqueue(type="a", id="x", idempotency_key="k")
    clocked.fail(take(clocked), "no", retry=False)
    clocked.enqueue(type="a", id="y", idempotency_key="k")
    for state in ("pending", "in-progress"):
        before = stored(clocked)
        with pytest.raises(DuplicateTask) as caught:
            clocked.retry_dead("x")
        assert (caught.value.state, caught.value.data, stored(clocked)) == (state, {"equal": "y"}, before)
        if state == "pending":
            claim = take(clocked)
    clocked.fail(claim, "no", retry=False)
    assert clocked.retry_dead("x").state is State.PENDING
    with pytest.raises(DuplicateTask):
        clocked.retry_dead("y")
    assert clocked.retry_dead("y", force=True).state is State.PENDING


def test_a_repeated_retry(clocked: ClockedQueue) -> None:
    """The same request answers the same, though the task has gone on."""
    bury(clocked, "x")
    first = clocked.retry_dead("x", delay=5, request="r")
    before = stored(clocked)
    clocked.clock.advance(3)
    assert clocked.retry_dead("x", delay=5, request="r") == first
    assert stored(clocked) == before


def test_refused(clocked: ClockedQueue) -> None:
    """Only a dead letter, and a delay from 0 to 10 years."""
    bury(clocked, "dead")
    add(clocked, "x")
    before = stored(clocked)
    with pytest.raises(InvalidState) as caught:
        clocked.retry_dead("x")
    assert caught.value.state == "pending"
    with pytest.raises(TaskNotFound):
        clocked.retry_dead("nobody")
    for delay in (-1, 3650 * 86400 + 1):
        with pytest.raises(InvalidTask):
            clocked.retry_dead("dead", delay=delay)
    assert stored(clocked) == before


def test_forced_beside_its_equal_it_does_not_take_the_key_away(clocked: ClockedQueue) -> None:
    """When the forced one dies again, the equal that waited all the time still is the answer (design rule 12)."""
    bury(clocked, "x", idempotency_key="k", priority=9)
    clocked.enqueue(type="a", id="y", idempotency_key="k")
    clocked.retry_dead("x", force=True)
    assert clocked.enqueue(type="a", idempotency_key="k").id == "x"
    claim = take(clocked)
    assert claim.id == "x"
    clocked.fail(claim, "no", retry=False)
    assert clocked.enqueue(type="a", idempotency_key="k").id == "y"
