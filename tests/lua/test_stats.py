"""lua/stats.lua: counts, breakers and switches at one moment."""

from __future__ import annotations

from lokiredis import Stats, TypeStats

from ..clock import ClockedQueue
from .moves import add, add_many, bury, done, moment, take

ZERO = {"pending": 0, "in-progress": 0, "completed": 0, "dead-letter": 0, "cancelled": 0}


def test_an_empty_queue(clocked: ClockedQueue) -> None:
    """Nothing is anywhere."""
    assert clocked.stats() == Stats(
        now=moment(clocked),
        counts=ZERO,
        types={},
        breakers={},
        paused=False,
        slowdown_until=None,
        todo=0,
        totals={"completed": 0, "failed": 0, "dead": 0},
    )
    assert clocked.counts() == ZERO
    assert clocked.breakers() == {}


def test_one_of_each(clocked: ClockedQueue) -> None:
    """Every place is counted by type; switches and totals are told."""
    bury(clocked, "dead")
    add(clocked, "done")
    done(clocked, take(clocked))
    add(clocked, "running")
    take(clocked)
    add(clocked, "ready")
    add(clocked, "delayed", delay=5)
    add(clocked, "blocked", dependencies=["ready"])
    add(clocked, "gone")
    clocked.cancel("gone", "no")
    add(clocked, "other", "b")
    clocked.pause("b")
    clocked.pause("empty")
    clocked.pause()
    clocked.slowdown(9)
    found = clocked.stats()
    assert found.types == {
        "a": TypeStats(1, 1, 1, 1, 1, 1, 1, False),
        "b": TypeStats(1, 0, 0, 0, 0, 0, 0, True),
        "empty": TypeStats(0, 0, 0, 0, 0, 0, 0, True),
    }
    assert found.counts == {"pending": 4, "in-progress": 1, "completed": 1, "dead-letter": 1, "cancelled": 1}
    assert (found.paused, found.slowdown_until, found.todo) == (True, moment(clocked, 9), 0)
    assert found.totals == {"completed": 1, "failed": 1, "dead": 1}
    clocked.clock.advance(9)
    assert clocked.stats().slowdown_until is None


def test_the_to_do_list_is_counted(clocked: ClockedQueue) -> None:
    """Work that is carried on by later calls shows."""
    add(clocked, "parent")
    add_many(clocked, 1500, dependencies=("parent",), type="b")
    done(clocked, take(clocked))
    assert clocked.stats().todo == 1


def test_a_type_without_tasks_is_gone(clocked: ClockedQueue) -> None:
    """A type is listed as long as a task of it is there."""
    bury(clocked, "x")
    clocked.discard_dead("x", "gone")
    assert clocked.stats().types == {}
