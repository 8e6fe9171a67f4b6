"""lua/resolve_dead.lua: a person did it."""

from __future__ import annotations

from typing import Any

import pytest

from lokiredis import DecisionReportMissing, InvalidState, InvalidTask, Outcome, State, TaskNotFound

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
