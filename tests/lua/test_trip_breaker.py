"""lua/trip_breaker.lua: opened by hand."""

from __future__ import annotations

import pytest

from lokiredis import InvalidTask, NoClaim

from ..clock import ClockedQueue
from .moves import add, done, let_pass, moment, refused, take, trip_by_failures


def test_it_opens(clocked: ClockedQueue) -> None:
    """The type is stopped at once, and due after halfOpenAfter; then the probe closes it."""
    add(clocked, "x")
    clocked.trip_breaker("a")
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.failures, breaker.opened_at) == ("open", 0, moment(clocked))
    assert refused(clocked) == NoClaim("breaker", 60)
    let_pass(clocked, 60)
    done(clocked, take(clocked))
    assert clocked.breakers()["a"].state == "closed"


def test_the_probe_is_forgotten(clocked: ClockedQueue) -> None:
    """Tripped while half-open, the old probe's end changes nothing."""
    trip_by_failures(clocked)
    add(clocked, "x")
    let_pass(clocked, 60)
    probe = take(clocked)
    clocked.trip_breaker("a")
    done(clocked, probe)
    breaker = clocked.breakers()["a"]
    assert (breaker.state, breaker.opened_at) == ("open", moment(clocked))


def test_a_bad_type(clocked: ClockedQueue) -> None:
    """What is no type has no breaker."""
    with pytest.raises(InvalidTask):
        clocked.trip_breaker("")
    assert clocked.breakers() == {}
