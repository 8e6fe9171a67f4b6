"""lua/resolve_dead.lua: a person did it."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import (
    DecisionReportMissing,
    DuplicateTask,
    Enqueued,
    InvalidState,
    InvalidTask,
    Outcome,
    State,
    TaskNotFound,
)

from ..clock import ClockedQueue
from .moves import REPORT, add, bury, moment, stored, take


def test_completed_with_its_dependents_released(clocked: ClockedQueue) -> None:
    """It counts as completed, its result is the person's, and what waited goes on; the breaker is not told."""
    add(clocked, "x")
    add(clocked, "y", dependencies=["x"])
    clocked.fail(take(clocked), "no", retry=False)
    clocked.clock.advance(5)
    assert clocked.resolve_dead("x", {"decisionReport": REPORT, "output": 1}) == Outcome(State.COMPLETED, 1, None)
    task = clocked.get("x")
    assert (task.place, task.completed_at) == ("completed", moment(clocked))
    assert task.result == {"status": "success", "decisionReport": REPORT, "output": 1}
    assert (clocked.breakers()["a"].failures, clocked.stats().totals["completed"]) == (1, 1)
    assert take(clocked).id == "y"


def test_refused(clocked: ClockedQueue) -> None:
    """Only a dead letter, with a report, within the limits; nothing is written."""
    clocked.configure(result_bytes=100)
    bury(clocked, "dead")
    add(clocked, "x")
    before = stored(clocked)
    reports: list[Any] = [None, {}, "x"]
    for report in reports:
        with pytest.raises(DecisionReportMissing):
            clocked.resolve_dead("dead", {"decisionReport": report})
    with pytest.raises(InvalidTask):
        clocked.resolve_dead("dead", {"decisionReport": REPORT, "output": "x" * 100})
    with pytest.raises(InvalidState) as caught:
        clocked.resolve_dead("x", {"decisionReport": REPORT})
    assert caught.value.state == "pending"
    with pytest.raises(TaskNotFound):
        clocked.resolve_dead("nobody", {"decisionReport": REPORT})
    assert stored(clocked) == before


def test_repeated(clocked: ClockedQueue) -> None:
    """The same request answers the same; another finds the task completed."""
    bury(clocked, "x")
    first = clocked.resolve_dead("x", {"decisionReport": REPORT}, request="r")
    before = stored(clocked)
    assert clocked.resolve_dead("x", {"decisionReport": REPORT}, request="r") == first
    assert stored(clocked) == before
    with pytest.raises(InvalidState) as caught:
        clocked.resolve_dead("x", {"decisionReport": REPORT})
    assert caught.value.state == "completed"


def test_its_key_is_its_own_again(clocked: ClockedQueue) -> None:
    """Finished work is not made again, though its equal had the key meanwhile, and was cancelled (design rule 12)."""
    bury(clocked, "x", idempotency_key="k")
    assert clocked.enqueue(type="a", id="y", idempotency_key="k").created
    clocked.cancel("y", "no")
    clocked.resolve_dead("x", {"decisionReport": REPORT})
    assert clocked.enqueue(type="a", idempotency_key="k") == Enqueued("x", False, State.COMPLETED)


def test_an_equal_one_that_lives_keeps_the_key_beside_it(clocked: ClockedQueue) -> None:
    """Two own it: the one that had it answers, the other does when that one ends badly or is removed."""
    bury(clocked, "x", idempotency_key="k")
    clocked.enqueue(type="a", id="y", idempotency_key="k")
    clocked.resolve_dead("x", {"decisionReport": REPORT})
    assert clocked.enqueue(type="a", idempotency_key="k").id == "y"
    clocked.fail(take(clocked), "no", retry=False)
    assert clocked.enqueue(type="a", idempotency_key="k").id == "x"
    with pytest.raises(DuplicateTask):
        clocked.retry_dead("y")
    clocked.discard_dead("y", "done by hand")
    assert clocked.enqueue_many([{"type": "a", "idempotencyKey": "k"}, {"type": "b"}])[0].id == "x"


def test_many_equal_ones(clocked: ClockedQueue) -> None:
    """A hundred own the key, and no more: what is asked of it stays small."""
    for number in range(103):
        bury(clocked, f"x{number}", idempotency_key="k")
        clocked.reset_breaker("a")
    for number in range(103):
        clocked.resolve_dead(f"x{number}", {"decisionReport": REPORT})
    [owners] = clocked.redis.hgetall(clocked.keys.fixed("unique")).values()
    assert len(owners.split()) == 100
    assert clocked.enqueue(type="a", idempotency_key="k").id == "x0"
