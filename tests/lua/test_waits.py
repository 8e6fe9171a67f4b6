"""lua/waits.lua: the oldest ready task of each priority."""

from __future__ import annotations

from ..clock import ClockedQueue
from .moves import add, moment, take


def test_the_oldest_of_each_priority(clocked: ClockedQueue) -> None:
    """Over all types; what is not ready doesn't count, and a delayed task waits from its time on."""
    assert clocked.waits() == []
    add(clocked, "late", "c", priority=10, delay=7)
    add(clocked, "p1", priority=1)
    clocked.clock.advance(2)
    for id, type, priority in (("a5", "a", 5), ("b5", "b", 5), ("b9", "b", 9), ("a9", "a", 9)):
        add(clocked, id, type, priority=priority)
        clocked.clock.advance(1)
    add(clocked, "blocked", priority=8, dependencies=["a5"])
    clocked.clock.advance(4)
    take(clocked, "c")
    clocked.release(take(clocked, "b"))
    found = [(wait.priority, wait.id, wait.type, wait.since) for wait in clocked.waits()]
    assert found == [
        (9, "b9", "b", moment(clocked, -6)), (5, "a5", "a", moment(clocked, -8)), (1, "p1", "a", moment(clocked, -10)),
    ]  # fmt: skip


def test_a_task_that_was_delayed(clocked: ClockedQueue) -> None:
    """It has waited since it became due, not since it was made."""
    add(clocked, "x", delay=5)
    add(clocked, "y", delay=6)
    clocked.clock.advance(8)
    take(clocked)
    assert [(wait.id, wait.since) for wait in clocked.waits()] == [("y", moment(clocked, -2))]
