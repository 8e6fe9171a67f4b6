"""lua/escalate_dead.lua: a note that a person must decide."""

from __future__ import annotations

import pytest

from lokiredis import InvalidState, TaskNotFound

from ..clock import ClockedQueue
from .moves import add, bury, moment, stored


def test_a_note(clocked: ClockedQueue) -> None:
    """Note and time stand on the task, which stays a dead letter; a later note replaces it."""
    bury(clocked, "x")
    clocked.escalate_dead("x", "first")
    clocked.clock.advance(5)
    clocked.escalate_dead("x", "ask\nops: 1 2")
    task = clocked.get("x")
    assert (task.place, task.escalated_at, task.escalation_note) == ("dead", moment(clocked), "ask\nops: 1 2")


def test_refused(clocked: ClockedQueue) -> None:
    """Only a dead letter."""
    add(clocked, "x")
    before = stored(clocked)
    with pytest.raises(InvalidState):
        clocked.escalate_dead("x", "n")
    with pytest.raises(TaskNotFound):
        clocked.escalate_dead("nobody", "n")
    assert stored(clocked) == before
