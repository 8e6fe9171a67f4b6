"""lua/reset_breaker.lua: closed by hand."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask

from ..clock import ClockedQueue
from .moves import add, done, forget_marks, let_pass, marks, stored, take, trip_by_failures


def test_an_open_breaker(clocked: ClockedQueue) -> None:
    """It lets everything through at once, wakes those who wait, and counts from 0."""
    trip_by_failures(clocked)
    add(clocked, "x")
    forget_marks(clocked)
    clocked.reset_breaker("a")
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.failures, marks(clocked)) == ("closed", 0, {"a"})
    assert take(clocked).id == "x"


def test_the_probe_is_forgotten(clocked: ClockedQueue) -> None:
    """After a reset the old probe is a task like any other: its failure opens nothing."""
    trip_by_failures(clocked)
    for id in ("x", "y"):
        add(clocked, id)
    let_pass(clocked, 60)
    probe = take(clocked)
    clocked.reset_breaker("a")
    clocked.fail(probe, "no")
    assert (clocked.breakers()["a"].state, clocked.breakers()["a"].failures) == ("closed", 0)
    done(clocked, take(clocked))


def test_without_a_history(clocked: ClockedQueue) -> None:
    """Nothing to reset changes nothing; a bad type is refused."""
    clocked.reset_breaker("a")
    assert clocked.breakers() == {}
    assert not {key for key in stored(clocked) if ":request:" not in key}
    with pytest.raises(InvalidTask):
        clocked.reset_breaker("a b")
